"""The cascade's pipeline: it admits requests, sends them from stage to stage and answers each as soon as it can be."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

import numpy as np
import triton_python_backend_utils as pb_utils

from cascade_core.contract import DESCRIPTION, IMAGE
from cascade_core.spec import Cascade
from cascade_serving.admission import AdmissionLimit
from cascade_serving.backends import StageBackend
from cascade_serving.errors import Overloaded, RequestError, as_request_error
from cascade_serving.limits import SchedulerLimits
from cascade_serving.metrics import Metrics
from cascade_serving.request import CascadeRequest, description_response, respond
from cascade_serving.request_state import RequestState
from cascade_serving.scheduler import Scheduler
from cascade_serving.stage_executor import StageExecutor
from cascade_serving.stage_model import StageModel


class Pipeline:
    """The stages behind one served cascade; each request gets exactly one response, whatever happens."""

    def __init__(
        self,
        cascade: Cascade,
        metrics: Metrics,
        backends: Sequence[StageBackend],
        limits: SchedulerLimits,
        description: str,
    ) -> None:
        self._cascade = cascade
        self._description = description
        self._metrics = metrics
        self._serving = cascade.serving
        self._labels = np.array(cascade.labels, dtype=object)
        self._names = [stage.model for stage in cascade.stages]
        self._admission = AdmissionLimit(self._serving.max_images_in_flight)
        class_count = len(cascade.labels)
        executors = [
            StageExecutor(stage, StageModel(stage, class_count, backend), metrics, self._on_step_done, limits)
            for stage, backend in zip(cascade.stages, backends, strict=True)
        ]
        self._scheduler = Scheduler(executors, limits)

    def start(self) -> None:
        """Start the threads."""
        self._scheduler.start()

    def close(self) -> None:
        """Return when every request has been answered."""
        self._scheduler.close()

    def submit(self, request: pb_utils.InferenceRequest, *, run_inline: bool = False) -> None:
        """Admit a request, or reject it at once.

        Args:
            request: Triton's request; its response is sent later, from another thread.
            run_inline: Whether the calling thread may run the first stage itself, if the request is of one image.
        """
        if set(request.requested_output_names()) == {DESCRIPTION.name}:  # Triton 2.51 gives a set
            respond(request, description_response(request, self._description))
            return
        try:
            admitted = CascadeRequest(request, self._cascade, self._labels)
        except Exception as error:  # raising would fail every request of the batch
            self._reject(request, as_request_error(error))
            return
        image_count = len(admitted.images)
        # Acquired inside execute(): requests that wait stay in Triton's queue, whose limits then apply.
        if not self._admission.acquire(image_count, wait=self._serving.when_full == "wait"):
            limit = self._serving.max_images_in_flight
            self._reject(request, Overloaded(f"the cascade is full: it holds {limit} images; try again later"))
            return
        self._metrics.add("images", image_count)
        self._metrics.add("images_in_flight", image_count)
        first_step = RequestState(admitted, self._cascade).next_step()
        self._scheduler.submit(first_step, run_inline=run_inline and image_count == 1)

    def _reject(self, request: pb_utils.InferenceRequest, error: RequestError) -> None:
        image_count = len(pb_utils.get_input_tensor_by_name(request, IMAGE.name).as_numpy())
        self._metrics.add("images", image_count)
        self._metrics.add("failed_images", image_count, error.kind)
        respond(request, error.response())

    def _on_step_done(self, state: RequestState) -> None:
        try:
            state.advance()
        except Exception as error:  # whatever happens, the request is answered
            state.error = as_request_error(error)
        tasks = state.next_step()
        if not tasks:
            self._finish(state)
        elif tasks[0].stage:
            self._metrics.add("escalations", tasks[0].pending_count, self._names[tasks[0].stage - 1])
        self._scheduler.submit(tasks)

    def _finish(self, state: RequestState) -> None:
        try:
            response = self._response(state)
        except Exception as error:  # whatever happens, the request is answered
            response = self._failure(state, as_request_error(error))
        image_count = len(state.request.images)
        self._metrics.add("images_in_flight", -image_count)
        self._admission.release(image_count)
        try:
            state.request.respond(response)
        except Exception as error:  # a worker that dies would let every later request hang
            pb_utils.Logger.log_error(f"cascade: a response could not be sent: {error}")

    def _response(self, state: RequestState) -> pb_utils.InferenceResponse:
        if state.error is not None:
            return self._failure(state, state.error)
        outcome, degraded = state.outcome()
        response = state.request.response(outcome, degraded)
        seconds = time.monotonic() - state.request.arrived_s
        for stage, image_count in Counter(outcome.exit_stage.tolist()).items():
            self._metrics.add("exits", image_count, self._names[stage - 1])
            self._metrics.observe("image_seconds", seconds, self._names[stage - 1], image_count)
        self._metrics.add("degraded_images", int(degraded.sum()))
        return response

    def _failure(self, state: RequestState, error: RequestError) -> pb_utils.InferenceResponse:
        self._metrics.add("failed_images", len(state.request.images), error.kind)
        return error.response()
