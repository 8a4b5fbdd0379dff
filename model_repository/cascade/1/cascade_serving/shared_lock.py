"""A lock that many threads may share, or one may hold exclusively."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class SharedLock:
    """A readers-writer lock that prefers writers: a thread that waits for exclusive use is overtaken by no new sharer.

    It is not reentrant: to acquire it again, in either mode, while holding it can deadlock.
    """

    def __init__(self) -> None:
        self._exclusive = threading.Lock()  # held by the one thread that has or awaits exclusive use
        self._changed = threading.Condition()  # guards the two below; both modes wait on it, so all are woken
        self._sharers = 0
        self._is_closed = False

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Hold the lock beside other sharers; wait while a thread has or awaits exclusive use."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_closed)
            self._sharers += 1
        try:
            yield
        finally:
            with self._changed:
                self._sharers -= 1
                self._changed.notify_all()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the lock alone: keep new sharers out, and wait until those within have left."""
        with self._exclusive:
            with self._changed:
                self._is_closed = True
                self._changed.wait_for(lambda: not self._sharers)
            try:
                yield
            finally:
                with self._changed:
                    self._is_closed = False
                    self._changed.notify_all()
