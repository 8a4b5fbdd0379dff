"""How far a request's images have come.

A request proceeds in steps. The stages of a step answer for the same images, in parallel; when all of them have
answered, the gate decides which images exit, and the others go on to the next step. A cascade has one stage per step,
an ensemble has one step.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cascade_core.gating import GateState, Outcome, Rows
from cascade_core.spec import Cascade
from cascade_serving.degraded import answer_from_remaining_stages
from cascade_serving.errors import RequestError, StageError
from cascade_serving.request import CascadeRequest


class RequestState:
    """The images of one request between arrival and answer.

    The stages of a step record concurrently: predictions each in its own part of the array; `error` and `failures` by
    assignments that are atomic, and of which any may win. The thread whose `complete` ends the step is then alone with
    the request. So only the count of outstanding answers needs a lock.

    Attributes:
        request: The request.
        error: Why it will not be answered, None while it may be.
        predictions: FP32 [K, n, C], NaN where a stage has not answered.
        failures: Why a stage has no answer, by the row of each image that one failed.
    """

    def __init__(self, request: CascadeRequest, cascade: Cascade) -> None:
        image_count, stage_count = len(request.images), len(cascade.stages)
        self.request = request
        self.error: RequestError | None = None
        self.predictions = np.full((stage_count, image_count, len(cascade.labels)), np.nan, np.float32)
        self.failures: dict[int, StageError] = {}
        self._cascade = cascade
        self._gate = GateState(cascade.rule, request.thresholds[None].repeat(image_count, axis=0))
        self._step = range(0)  # its stages, from 0
        self._outstanding = 0  # answers that the step's stages owe
        self._lock = threading.Lock()  # guards _outstanding

    @property
    def open_rows(self) -> Rows:
        """Return the rows of the images that have not left."""
        return self._gate.open_rows

    def next_step(self) -> list[StageTask]:
        """Return the tasks of the next step; none when the request can be answered or has failed."""
        if self.error is not None or not len(self.open_rows):
            return []
        first, is_ensemble = self._step.stop, self._cascade.mode == "ensemble"
        self._step = range(first, self.request.last_stage if is_ensemble else first + 1)
        self._outstanding = len(self.open_rows) * len(self._step)
        return [StageTask(self, stage, self.open_rows) for stage in self._step]

    def complete(self, image_count: int) -> bool:
        """Count images as answered or failed by a stage; return whether the step is over with them."""
        with self._lock:
            self._outstanding -= image_count
            return self._outstanding == 0

    def advance(self) -> None:
        """Apply the gate to what the stages of the step have answered.

        Raises:
            RequestError: an image has not left after the last stage.
        """
        lost = [row for row in self.failures if self._is_lost(row)]
        if lost and self.error is None:
            self.error = self.failures[min(lost)]
        if self.error is not None:
            return
        if self.failures:
            self._gate.drop(np.array(list(self.failures), np.intp))
        for stage in self._step:
            self._gate.advance(self.predictions[stage, self.open_rows])
        if self._step.stop == self.request.last_stage and len(self.open_rows):
            raise RequestError("the confidence at the last stage is NaN; are the weights in cascade.json too large?")

    def outcome(self) -> tuple[Outcome, npt.NDArray[np.bool_]]:
        """Return the answers, and which of them are degraded: bool [n]."""
        outcome, degraded = self._gate.outcome(), np.zeros(len(self.request.images), np.bool_)
        if self.failures:
            degraded[list(self.failures)] = True
            outcome = answer_from_remaining_stages(self._cascade.rule, outcome, self.predictions, list(self.failures))
        return outcome, degraded

    def _is_lost(self, row: int) -> bool:
        return not self._cascade.serving.degraded or bool(np.isnan(self.predictions[:, row]).all())


class StageTask:
    """The images of one request that wait for one stage; they may be answered in several slices.

    Attributes:
        state: The request's state.
        stage: The stage, from 0.
    """

    def __init__(self, state: RequestState, stage: int, rows: Rows) -> None:
        self.state = state
        self.stage = stage
        self._rows = rows

    @property
    def pending_count(self) -> int:
        """Return the number of images that still wait."""
        return len(self._rows)

    def pop_slice(self, max_images: int) -> BatchSlice:
        """Remove and return its first images, `max_images` at most."""
        popped, self._rows = self._rows[:max_images], self._rows[max_images:]
        return BatchSlice(self.state, self.stage, popped)


@dataclass(frozen=True)
class BatchSlice:
    """The images of one request in one call of a stage.

    Attributes:
        state: The request's state.
        stage: The stage, from 0.
        rows: The images' rows in the request, [n].
    """

    state: RequestState
    stage: int
    rows: Rows

    @property
    def is_whole_request(self) -> bool:
        """Return whether it has all images of the request."""
        return len(self.rows) == len(self.state.request.images)

    @property
    def images(self) -> npt.NDArray[np.uint8]:
        """Return the images, UINT8 [n, S, S, 3]: the request's own array if all are in the slice, else a copy."""
        return self.state.request.images if self.is_whole_request else self.state.request.images[self.rows]

    def record(self, predictions: npt.NDArray[np.float32], failures: dict[int, StageError]) -> None:
        """Record the stage's answers in the request's state.

        Args:
            predictions: FP32 [n, C], NaN for an image that the stage failed.
            failures: Why it failed an image, by the image's place in the slice.
        """
        self.state.predictions[self.stage, self.rows] = predictions
        self.state.failures.update({int(self.rows[place]): error for place, error in failures.items()})
