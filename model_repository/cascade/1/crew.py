"""The threads that run the stages' calls."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from course import Piece, Visit
    from station import Station


class Crew:
    """Let any of some threads run any stage's next call.

    Where there are more threads than calls that may be under way, another thread makes the next call as soon as one
    ends, while the first hands over what it got: a GPU is not to wait for Python.

    Which stage's turn it is matters where fewer calls may be under way than the stages could take, as in a process that
    runs them itself, on its cores. It is the one whose oldest request has waited longest for what an image takes
    (highest response ratio next, Brinch Hansen 1971): an easy image does not wait behind many long calls, and a hard
    one is never passed over for good.
    """

    def __init__(self, stations: Sequence[Station], calls: int, threads: int) -> None:
        """Prepare threads for at most that many calls at once, of all stages."""
        self._stations = stations
        self._free_calls = calls
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(threads)]
        self._changed = threading.Condition()
        self._busy = 0
        self._is_open = True

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def put(self, visits: Sequence[Visit]) -> None:
        """Let images wait, each visit's at its stage."""
        with self._changed:
            for visit in visits:
                self._stations[visit.stage].put(visit)
            self._wake()

    def close(self) -> None:
        """Return when everything that waits has been answered."""
        with self._changed:
            self._is_open = False
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (turn := self._take()) is not None:
            station, pieces = turn
            station.call(pieces)
            self._end_call(station)
            station.hand_over(pieces)
            self._end_turn()

    def _take(self) -> tuple[Station, list[Piece]] | None:
        with self._changed:
            while (station := self._next()) is None:
                if not self._is_open and not self._busy:  # who is busy may still send images on
                    return None
                self._changed.wait()
            self._busy += 1
            self._free_calls -= 1
            pieces = station.take()
            self._wake()
            return station, pieces

    def _end_call(self, station: Station) -> None:
        with self._changed:
            station.end_call()
            self._free_calls += 1
            self._wake()

    def _end_turn(self) -> None:
        with self._changed:
            self._busy -= 1
            if not self._is_open:
                self._changed.notify_all()

    def _wake(self) -> None:
        """Wake one thread if there is something to do; it wakes the next."""
        if self._next() is not None:
            self._changed.notify()

    def _next(self) -> Station | None:
        if not self._free_calls:
            return None
        now_s = time.monotonic()
        ready = [station for station in self._stations if station.is_ready]
        return max(ready, key=lambda station: station.response_ratio(now_s), default=None)
