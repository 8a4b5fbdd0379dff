"""Who may call a stage: many at once, or one alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """Let calls be under way together, until one must be alone."""

    def __init__(self) -> None:
        self._one = threading.Lock()
        self._changed = threading.Condition()
        self._together = 0
        self._is_closed = False

    @contextmanager
    def together(self) -> Iterator[None]:
        """Wait while somebody is alone, or wants to be."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_closed)
            self._together += 1
        try:
            yield
        finally:
            with self._changed:
                self._together -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wait until nobody else is there, and keep everybody out."""
        with self._one:
            with self._changed:
                self._is_closed = True
                self._changed.wait_for(lambda: not self._together)
            try:
                yield
            finally:
                with self._changed:
                    self._is_closed = False
                    self._changed.notify_all()
