"""Where images wait: a queue before each stage, and the room inside the whole cascade."""

from __future__ import annotations

import heapq
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cascade_serving.request_state import Piece, Visit


class StageQueue:
    """Hold the images that wait for one stage; the oldest request goes first.

    That is the rule of fairness within a stage: a hard image waits for no image that came after it, whatever stream
    of easy ones comes in. Whoever uses it sees to it that one thread does at a time.

    Attributes:
        images: How many images wait.
    """

    def __init__(self) -> None:
        """Begin empty."""
        self._visits: list[tuple[int, Visit]] = []
        self.images = 0

    @property
    def oldest(self) -> int:
        """Return the ticket of the oldest request that waits."""
        return self._visits[0][0]

    def put(self, visit: Visit) -> None:
        """Let a request's images wait."""
        self.images += visit.images
        heapq.heappush(self._visits, (visit.course.job.ticket, visit))

    def take(self, most: int) -> list[Piece]:
        """Take at most that many images."""
        pieces: list[Piece] = []
        while self._visits and most:
            _, oldest = self._visits[0]
            pieces.append(oldest.take(most))
            most -= len(pieces[-1].rows)
            if oldest.is_taken:
                heapq.heappop(self._visits)
        self.images -= sum(len(piece.rows) for piece in pieces)
        return pieces


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
