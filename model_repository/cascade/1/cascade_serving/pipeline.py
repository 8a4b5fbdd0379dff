"""The cascade at work: requests come in, go from station to station, and are answered as soon as they can be."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from cascade_core.spec import Cascade
from cascade_serving.backends import Way
from cascade_serving.errors import Full, Refusal, as_refusal
from cascade_serving.metrics import Metrics
from cascade_serving.request import INPUT, Job, send
from cascade_serving.request_state import Course
from cascade_serving.scheduler import Crew, CrewSize
from cascade_serving.stage_executor import Station
from cascade_serving.stage_model import StageCaller
from cascade_serving.stage_queue import Room


class Pipeline:
    """Answer requests from many threads; each is answered once, whatever happens."""

    def __init__(self, cascade: Cascade, metrics: Metrics, ways: Sequence[Way], size: CrewSize) -> None:
        self._cascade = cascade
        self._metrics = metrics
        self._serving = cascade.serving
        self._labels = np.array(cascade.labels, dtype=object)
        self._names = [stage.model for stage in cascade.stages]
        self._room = Room(self._serving.max_images_in_flight)
        classes = len(cascade.labels)
        stations = [
            Station(stage, StageCaller(stage, classes, way), metrics, self._wave_is_over, size)
            for stage, way in zip(cascade.stages, ways, strict=True)
        ]
        self._crew = Crew(stations, size)

    def start(self) -> None:
        """Start the threads."""
        self._crew.start()

    def close(self) -> None:
        """Return when every request has been answered."""
        self._crew.close()

    def take(self, request: Any, *, is_alone: bool = False) -> None:  # noqa: ANN401 (Triton's request has no stub)
        """Take a request in, or refuse it; its answer comes later, or at once if it is alone and of one image."""
        try:
            job = Job(request, self._cascade, self._labels)
        except Exception as error:  # raising would fail every request of the batch
            self._refuse_at_the_door(request, as_refusal(error))
            return
        # Room is taken inside execute(): a request without any stays in Triton's queue, whose limits then act.
        if not self._room.take(len(job.images), wait=self._serving.when_full == "wait"):
            limit = self._serving.max_images_in_flight
            self._refuse_at_the_door(request, Full(f"the cascade is full: it holds {limit} images; try again later"))
            return
        self._metrics.add("images", len(job.images))
        self._metrics.add("images_in_flight", len(job.images))
        self._crew.put(Course(job, self._cascade).next_wave(), may_call=is_alone and len(job.images) == 1)

    def _refuse_at_the_door(self, request: Any, refusal: Refusal) -> None:  # noqa: ANN401
        images = len(pb_utils.get_input_tensor_by_name(request, INPUT).as_numpy())
        self._metrics.add("images", images)
        self._metrics.add("failed_images", images, refusal.kind)
        send(request, refusal.response())

    def _wave_is_over(self, course: Course) -> None:
        try:
            course.advance()
        except Exception as error:  # whatever happens, the request is answered
            course.refusal = as_refusal(error)
        self._go_on(course)

    def _go_on(self, course: Course) -> None:
        visits = course.next_wave()
        if not visits:
            self._end(course)
        elif visits[0].stage:
            self._metrics.add("escalations", visits[0].images, self._names[visits[0].stage - 1])
        self._crew.put(visits)

    def _end(self, course: Course) -> None:
        try:
            response = self._response(course)
        except Exception as error:  # whatever happens, the request is answered
            response = self._failure(course, as_refusal(error))
        images = len(course.job.images)
        self._metrics.add("images_in_flight", -images)
        self._room.give_back(images)
        try:
            course.job.send(response)
        except Exception as error:  # a worker that dies would let every later request hang
            pb_utils.Logger.log_error(f"cascade: a response could not be sent: {error}")

    def _response(self, course: Course) -> Any:  # noqa: ANN401
        if course.refusal is not None:
            return self._failure(course, course.refusal)
        outcome, degraded = course.outcome()
        response = course.job.answer(outcome, degraded)
        seconds = time.monotonic() - course.job.arrived_s
        for stage, images in Counter(outcome.exit_stage.tolist()).items():
            self._metrics.add("exits", images, self._names[stage - 1])
            self._metrics.observe("image_seconds", seconds, self._names[stage - 1], images)
        self._metrics.add("degraded_images", int(degraded.sum()))
        return response

    def _failure(self, course: Course, refusal: Refusal) -> Any:  # noqa: ANN401
        self._metrics.add("failed_images", len(course.job.images), refusal.kind)
        return refusal.response()
