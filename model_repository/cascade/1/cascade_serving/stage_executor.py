"""The execution of one stage: its queue, and its model's calls for the images that waited there."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from cascade_core.spec import Stage
from cascade_serving.errors import RequestError, as_request_error
from cascade_serving.limits import SchedulerLimits
from cascade_serving.metrics import Metrics
from cascade_serving.request_state import BatchSlice, RequestState, StageTask
from cascade_serving.stage_model import StageModel
from cascade_serving.stage_queue import StageQueue


class StageExecutor:
    """One stage, as `scheduler.Executor` describes it."""

    def __init__(
        self,
        stage: Stage,
        model: StageModel,
        metrics: Metrics,
        on_step_done: Callable[[RequestState], None],
        limits: SchedulerLimits,
    ) -> None:
        """Prepare to call `on_step_done` with each request for which this stage was the last of a step to answer."""
        self._stage = stage
        self._model = model
        self._metrics = metrics
        self._on_step_done = on_step_done
        self._max_batches = limits.max_batches
        self._free_calls = limits.max_calls_per_stage
        self._queue = StageQueue()

    @property
    def is_ready(self) -> bool:
        """Return whether images wait and the stage may have another call."""
        return self._free_calls > 0 and self._queue.pending_count > 0

    @property
    def oldest_sequence(self) -> int:
        """Return the sequence number of the oldest request that waits."""
        return self._queue.oldest_sequence

    def enqueue(self, task: StageTask) -> None:
        """Add a request's images to the queue."""
        self._metrics.add("waiting_images", task.pending_count, self._stage.model)
        self._queue.enqueue(task)

    def begin_call(self) -> list[BatchSlice]:
        """Take the images of a call from the queue, no more than the stage accepts: the call would fail."""
        self._free_calls -= 1
        share = math.ceil(self._queue.pending_count / self._max_batches)
        batch = self._queue.pop_batch(min(share, self._stage.max_batch_size))
        self._metrics.add("waiting_images", -sum(len(part.rows) for part in batch), self._stage.model)
        return batch

    def end_call(self) -> None:
        """Count a call as ended."""
        self._free_calls += 1

    def run(self, batch: Sequence[BatchSlice]) -> None:
        """Call the model for those of the images whose request is still wanted."""
        try:
            self._predict([part for part in batch if self._is_active(part.state)])
        except Exception as error:  # a thread that dies would let every later request hang
            for part in batch:
                part.state.error = as_request_error(error)

    def deliver(self, batch: Sequence[BatchSlice]) -> None:
        """Send each request on whose step is over."""
        for part in batch:
            if part.state.complete(len(part.rows)):
                self._on_step_done(part.state)

    def _is_active(self, state: RequestState) -> bool:
        if state.error is None:
            try:
                state.request.check_active(self._stage.model)
            except RequestError as error:
                state.error = error
        return state.error is None

    def _predict(self, batch: Sequence[BatchSlice]) -> None:
        if not batch:
            return
        only = batch[0] if len(batch) == 1 else None
        images = only.images if only else np.concatenate([part.images for part in batch])
        self._metrics.observe("stage_batch_images", len(images), self._stage.model)
        tensor = only.state.request.tensor if only and only.is_whole_request else None
        predictions, failures = self._model.predict(images, tensor)
        start = 0
        for part in batch:
            stop = start + len(part.rows)
            failed = {place - start: error for place, error in failures.items() if start <= place < stop}
            part.record(predictions[start:stop], failed)
            start = stop
