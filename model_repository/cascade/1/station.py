"""A stage at work: its queue, and the threads that take images from it to the stage's model."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import numpy as np

from cascade_spec import Stage
from course import Course, Piece, Visit
from metrics import Metrics
from queues import StageQueue
from refusals import Refusal, as_refusal
from stage import StageCaller


class Station:
    """Run one stage.

    Several workers, so that the stage's next call is there when one ends: a GPU must not wait for Python.
    """

    def __init__(self, stage: Stage, caller: StageCaller, metrics: Metrics, done: Callable[[Course], None]) -> None:
        """Prepare to call `done` with each request that is back from all stages it was sent to."""
        self._stage = stage
        self._caller = caller
        self._metrics = metrics
        self._done = done
        self._queue = StageQueue()
        self._workers: list[threading.Thread] = []

    def start(self, workers: int) -> None:
        """Start that many threads, as many calls may be under way at once."""
        self._workers = [threading.Thread(target=self._work, daemon=True) for _ in range(workers)]
        for worker in self._workers:
            worker.start()

    def put(self, visit: Visit) -> None:
        """Let a request's images wait for the stage."""
        self._metrics.add("waiting_images", visit.images, self._stage.model)
        self._queue.put(visit)

    def close(self) -> None:
        """Return when everything that waits has been answered."""
        self._queue.close()
        for worker in self._workers:
            worker.join()

    def _work(self) -> None:
        # More images than the stage takes in a call would fail the call.
        while pieces := self._queue.take(self._stage.max_batch_size):
            self._metrics.add("waiting_images", -sum(len(piece.rows) for piece in pieces), self._stage.model)
            try:
                self._ask([piece for piece in pieces if self._is_wanted(piece.course)])
            except Exception as error:  # a worker that dies would let every later request hang
                for piece in pieces:
                    piece.course.refusal = as_refusal(error)
            for piece in pieces:
                if piece.course.is_wave_over(len(piece.rows)):
                    self._done(piece.course)

    def _is_wanted(self, course: Course) -> bool:
        if course.refusal is None:
            try:
                course.job.check_wanted(self._stage.model)
            except Refusal as refusal:
                course.refusal = refusal
        return course.refusal is None

    def _ask(self, pieces: Sequence[Piece]) -> None:
        if not pieces:
            return
        alone = pieces[0] if len(pieces) == 1 else None
        images = alone.images if alone else np.concatenate([piece.images for piece in pieces])
        self._metrics.observe("stage_batch_images", len(images), self._stage.model)
        tensor = alone.course.job.tensor if alone and alone.is_whole else None
        predictions, failures = self._caller.predict(images, tensor)
        start = 0
        for piece in pieces:
            stop = start + len(piece.rows)
            failed = {place - start: error for place, error in failures.items() if start <= place < stop}
            piece.answer(predictions[start:stop], failed)
            start = stop
