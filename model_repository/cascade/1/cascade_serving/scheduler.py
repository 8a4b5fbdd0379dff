"""The threads that run the stages' calls."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cascade_serving.request_state import Piece, Visit
    from cascade_serving.stage_executor import Station


@dataclass(frozen=True)
class CrewSize:
    """Say how much may be done at once.

    Attributes:
        calls: Calls under way, of all stages.
        calls_of_one: Calls under way of one stage.
        threads: Where there are more than calls, another makes the next call as soon as one ends, while the first hands
            over what it got: a GPU is not to wait for Python.
        kept_calls: Of all calls, those that only the first stage may have.
        parts: Into how many calls the images that wait for a stage are divided.
        bringer_calls: Whether who brings images while nothing is under way makes their call: no thread is to be woken.
    """

    calls: int
    calls_of_one: int
    threads: int
    kept_calls: int
    parts: int
    bringer_calls: bool = False

    @classmethod
    def by_bls(cls, stages: int, calls_of_one: int | None) -> CrewSize:
        """Return what suits stages that other processes or a GPU run: each has calls of its own."""
        each = calls_of_one or 1
        return cls(calls=each * stages, calls_of_one=each, threads=2 * each * stages, kept_calls=0, parts=1)

    @classmethod
    def in_process(cls, cores: int, calls_of_one: int | None) -> CrewSize:
        """Return what suits stages that run here, on one core a call.

        One call more than cores is kept for the first stage: an easy image then finds one free, however many hard ones
        are under way, and no core idles while a thread waits for Python's lock.
        """
        enough = cores + 1
        each, parts = calls_of_one or enough, min(cores, calls_of_one or cores)
        return cls(enough, each, threads=enough, kept_calls=1, parts=parts, bringer_calls=True)


class Crew:
    """Let any of some threads run any stage's next call.

    Later stages go first, the oldest request before others: what has begun is to end. The first stage has what is left,
    and the calls that are kept for it.
    """

    def __init__(self, stations: Sequence[Station], size: CrewSize) -> None:
        self._first, self._later = stations[0], stations[1:]
        self._stations = stations
        self._kept_calls = size.kept_calls
        self._free_calls = size.calls
        self._bringer_calls = size.bringer_calls
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(size.threads)]
        self._changed = threading.Condition()
        self._busy = 0
        self._is_open = True

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def put(self, visits: Sequence[Visit], *, may_call: bool = False) -> None:
        """Let images wait, each visit's at its stage; who may, calls it for them if nothing else is under way."""
        with self._changed:
            may_call = may_call and self._bringer_calls and not self._busy and self._next() is None
            for visit in visits:
                self._stations[visit.stage].put(visit)
            turn = self._begin() if may_call else None
            self._wake()
        if turn is not None:
            self._make(*turn)

    def close(self) -> None:
        """Return when everything that waits has been answered."""
        with self._changed:
            self._is_open = False
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while self._take_turn():
            pass

    def _take_turn(self) -> bool:
        """Make one call, unless all is over. A thread that waits for the next holds no images of the last."""
        turn = self._take()
        if turn is None:
            return False
        self._make(*turn)
        return True

    def _make(self, station: Station, pieces: list[Piece]) -> None:
        station.call(pieces)
        self._end_call(station)
        station.hand_over(pieces)
        self._end_turn()

    def _take(self) -> tuple[Station, list[Piece]] | None:
        with self._changed:
            while (turn := self._begin()) is None:
                if not self._is_open and not self._busy:  # who is busy may still send images on
                    return None
                self._changed.wait()
            self._wake()
            return turn

    def _begin(self) -> tuple[Station, list[Piece]] | None:
        station = self._next()
        if station is None:
            return None
        self._busy += 1
        self._free_calls -= 1
        return station, station.take()

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
        if self._free_calls > self._kept_calls:
            ready = [station for station in self._later if station.is_ready]
            if ready:
                return min(ready, key=lambda station: station.oldest)
        return self._first if self._free_calls and self._first.is_ready else None
