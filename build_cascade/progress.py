"""How a job that takes a while reports its progress."""

from __future__ import annotations

from collections.abc import Callable

OnCount = Callable[[int, int], None]
"""Called with what is done and the total."""

OnProgress = Callable[[str, int, int], None]
"""Called with the title of a job, what is done of it, and the total."""


def ignore_count(done: int, total: int) -> None:
    """Report nothing."""


def ignore_progress(title: str, done: int, total: int) -> None:
    """Report nothing."""
