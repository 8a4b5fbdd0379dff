"""A stage at work: its queue, and what its calls do for the images that waited."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from cascade_core.spec import Stage
from cascade_serving.errors import Refusal, as_refusal
from cascade_serving.metrics import Metrics
from cascade_serving.request_state import Course, Piece, Visit
from cascade_serving.scheduler import CrewSize
from cascade_serving.stage_model import StageCaller
from cascade_serving.stage_queue import StageQueue


class Station:
    """Run one stage. All but `call` and `hand_over` is done by one thread at a time: the crew sees to that."""

    def __init__(
        self, stage: Stage, caller: StageCaller, metrics: Metrics, done: Callable[[Course], None], size: CrewSize
    ) -> None:
        """Prepare to call `done` with each request that is back from all stages it was sent to."""
        self._stage = stage
        self._caller = caller
        self._metrics = metrics
        self._done = done
        self._parts = size.parts
        self._free_calls = size.calls_of_one
        self._queue = StageQueue()

    @property
    def is_ready(self) -> bool:
        """Tell whether images wait and another call may be made."""
        return self._free_calls > 0 and self._queue.images > 0

    @property
    def oldest(self) -> int:
        """Return the ticket of the oldest request that waits."""
        return self._queue.oldest

    def put(self, visit: Visit) -> None:
        """Let a request's images wait for the stage."""
        self._metrics.add("waiting_images", visit.images, self._stage.model)
        self._queue.put(visit)

    def take(self) -> list[Piece]:
        """Take images for a call, which is then under way: no more than the stage takes, or the call would fail."""
        self._free_calls -= 1
        share = math.ceil(self._queue.images / self._parts)
        pieces = self._queue.take(min(share, self._stage.max_batch_size))
        self._metrics.add("waiting_images", -sum(len(piece.rows) for piece in pieces), self._stage.model)
        return pieces

    def end_call(self) -> None:
        """Take note that a call is over."""
        self._free_calls += 1

    def call(self, pieces: Sequence[Piece]) -> None:
        """Ask the stage about images."""
        try:
            self._ask([piece for piece in pieces if self._is_wanted(piece.course)])
        except Exception as error:  # a thread that dies would let every later request hang
            for piece in pieces:
                piece.course.refusal = as_refusal(error)

    def hand_over(self, pieces: Sequence[Piece]) -> None:
        """Send each request on that is back from everywhere."""
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
