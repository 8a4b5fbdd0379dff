"""Progress of long jobs, reported to whatever shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")
OnProgress = Callable[[str, int, int], None]  # title, done, total


def ignore_progress(title: str, done: int, total: int) -> None:
    """Do nothing: progress is not shown."""


def tracked(items: Sequence[Item], title: str, on_progress: OnProgress) -> Iterator[Item]:
    """Yield the items; report how many are done before each of them and after the last."""
    for done, item in enumerate(items):
        on_progress(title, done, len(items))
        yield item
        on_progress(title, done + 1, len(items))
