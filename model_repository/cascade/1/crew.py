"""The threads that run the stages' calls."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from course import Piece, Visit
from station import Station


class Crew:
    """Let any of some threads run any stage's next call.

    Which stage's turn it is matters where there are fewer threads than calls that could be under way, as in a process
    that runs the stages itself, on its cores. It is the one whose oldest request has waited longest for what the call
    takes (highest response ratio next, Brinch Hansen 1971): an easy image need not wait behind a long call for long,
    and a hard one is never passed over for good.
    """

    def __init__(self, stations: Sequence[Station], threads: int) -> None:
        self._stations = stations
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(threads)]
        self._changed = threading.Condition()
        self._under_way = 0
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
            self._changed.notify(len(visits))

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
            try:
                station.serve(pieces)
            finally:
                self._give_back(station)

    def _take(self) -> tuple[Station, list[Piece]] | None:
        with self._changed:
            while (station := self._next()) is None:
                if not self._is_open and not self._under_way:  # a call under way may still send images on
                    return None
                self._changed.wait()
            self._under_way += 1
            pieces = station.take()
            if self._next() is not None:  # enough for another thread
                self._changed.notify()
            return station, pieces

    def _next(self) -> Station | None:
        now_s = time.monotonic()
        ready = [station for station in self._stations if station.is_ready]
        return max(ready, key=lambda station: station.response_ratio(now_s), default=None)

    def _give_back(self, station: Station) -> None:
        with self._changed:
            station.end_call()
            self._under_way -= 1
            if not self._is_open:
                self._changed.notify_all()
