"""One line of the doctor's table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """The state of one thing.

    Attributes:
        subject: What was inspected.
        found: Its state.
        advice: What to do; empty if nothing is wrong.
    """

    subject: str
    found: str
    advice: str = ""

    @property
    def is_ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.advice
