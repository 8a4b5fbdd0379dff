"""Where images wait: a queue before each stage, and the room inside the whole cascade."""

from __future__ import annotations

import heapq
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from course import Piece, Visit


class StageQueue:
    """Hold the images that wait for one stage; the oldest request goes first.

    That is the rule of fairness. A stage's workers serve that stage alone, and none takes a request before an older
    one: a hard image waits for no image that came after it, whatever stream of easy ones comes in.
    """

    def __init__(self) -> None:
        self._visits: list[tuple[int, Visit]] = []
        self._changed = threading.Condition()
        self._is_open = True

    def put(self, visit: Visit) -> None:
        """Let a request's images wait."""
        with self._changed:
            heapq.heappush(self._visits, (visit.course.job.ticket, visit))
            self._changed.notify()

    def take(self, most: int) -> list[Piece]:
        """Wait for images and take at most that many; none once the queue is closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._visits or not self._is_open)
            pieces: list[Piece] = []
            while self._visits and most:
                _, oldest = self._visits[0]
                pieces.append(oldest.take(most))
                most -= len(pieces[-1].rows)
                if oldest.is_taken:
                    heapq.heappop(self._visits)
            if self._visits:  # enough for another worker
                self._changed.notify()
            return pieces

    def close(self) -> None:
        """Let the workers go once nothing waits any more."""
        with self._changed:
            self._is_open = False
            self._changed.notify_all()


class Room:
    """Bound the images that are inside the cascade."""

    def __init__(self, images: int) -> None:
        self._free = images
        self._changed = threading.Condition()

    def take(self, images: int, *, wait: bool) -> bool:
        """Take room for some images; say whether there was any, or wait until there is."""
        with self._changed:
            if wait:
                self._changed.wait_for(lambda: images <= self._free)
            if images > self._free:
                return False
            self._free -= images
            return True

    def give_back(self, images: int) -> None:
        """Make room again."""
        with self._changed:
            self._free += images
            self._changed.notify_all()
