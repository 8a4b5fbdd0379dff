"""One line of what the doctor says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """Say how one thing stands.

    Attributes:
        subject: What was looked at.
        found: How it stands.
        advice: What to do; empty if it fits.
    """

    subject: str
    found: str
    advice: str = ""

    @property
    def is_ok(self) -> bool:
        """Tell whether there is nothing to do."""
        return not self.advice
