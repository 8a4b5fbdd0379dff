"""A request's way through the stages.

It goes in waves. The stages of a wave look at the same images, side by side; when all of them have answered, the gate
says which images leave, and the rest go on to the next wave. A cascade has one stage a wave, an ensemble has one wave.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cascade_core.gating import Outcome, Rows, Walk
from cascade_core.spec import Cascade
from cascade_serving.degraded import answer_by_the_rest
from cascade_serving.errors import Refusal, StageError
from cascade_serving.request import Job


class Course:
    """Hold how far a request's images have come.

    Attributes:
        job: The request.
        refusal: Why it will not be answered, None while it may be.
        predictions: FP32 [K, n, C], NaN where a stage has not answered.
        failures: Why a stage has no answer, for each image that one failed.
    """

    def __init__(self, job: Job, cascade: Cascade) -> None:
        images, stages = len(job.images), len(cascade.stages)
        self.job = job
        self.refusal: Refusal | None = None
        self.predictions = np.full((stages, images, len(cascade.labels)), np.nan, np.float32)
        self.failures: dict[int, StageError] = {}
        self._cascade = cascade
        self._walk = Walk(cascade.rule, job.thresholds[None].repeat(images, axis=0))
        self._wave = range(0)
        self._away = 0
        self._lock = threading.Lock()

    @property
    def open_rows(self) -> Rows:
        """Return the images that are still in."""
        return self._walk.open_rows

    def next_wave(self) -> list[Visit]:
        """Return the visits to make next; none when the request can be answered or refused."""
        if self.refusal is not None or not len(self.open_rows):
            return []
        first, is_ensemble = self._wave.stop, self._cascade.mode == "ensemble"
        self._wave = range(first, self.job.last_stage if is_ensemble else first + 1)
        self._away = len(self.open_rows) * len(self._wave)
        return [Visit(self, stage, self.open_rows) for stage in self._wave]

    def is_wave_over(self, images: int) -> bool:
        """Take note that some images are back from a stage; say whether they were the wave's last."""
        with self._lock:
            self._away -= images
            return self._away == 0

    def advance(self) -> None:
        """Let the gate judge what the stages of the wave have answered.

        Raises:
            Refusal: there is no stage left to send an image to that the gate has kept.
        """
        lost = [row for row in self.failures if self._is_lost(row)]
        if lost and self.refusal is None:
            self.refusal = self.failures[min(lost)]
        if self.refusal is not None:
            return
        if self.failures:
            self._walk.drop(np.array(list(self.failures), np.intp))
        for stage in self._wave:
            self._walk.advance(self.predictions[stage, self.open_rows])
        if self._wave.stop == self.job.last_stage and len(self.open_rows):
            raise Refusal("the confidence is no number at the last stage; are the weights in cascade.json too large?")

    def outcome(self) -> tuple[Outcome, npt.NDArray[np.bool_]]:
        """Return the answers, and which of them are degraded: bool [n]."""
        outcome, degraded = self._walk.outcome(), np.zeros(len(self.job.images), np.bool_)
        if self.failures:
            degraded[list(self.failures)] = True
            outcome = answer_by_the_rest(self._cascade.rule, outcome, self.predictions, list(self.failures))
        return outcome, degraded

    def _is_lost(self, row: int) -> bool:
        return not self._cascade.serving.degraded or bool(np.isnan(self.predictions[:, row]).all())


class Visit:
    """Hold some images of a request that one stage is to look at, in pieces if need be."""

    def __init__(self, course: Course, stage: int, rows: Rows) -> None:
        self.course = course
        self.stage = stage
        self._rows = rows

    @property
    def images(self) -> int:
        """Return how many images have not been taken."""
        return len(self._rows)

    @property
    def is_taken(self) -> bool:
        """Tell whether each of its images has been taken."""
        return not len(self._rows)

    def take(self, most: int) -> Piece:
        """Take at most that many of its images."""
        taken, self._rows = self._rows[:most], self._rows[most:]
        return Piece(self.course, self.stage, taken)


@dataclass(frozen=True)
class Piece:
    """Hold the images of one request in one call of a stage.

    Attributes:
        course: The request's.
        stage: Which stage, from 0.
        rows: The images' places in the request.
    """

    course: Course
    stage: int
    rows: Rows

    @property
    def is_whole(self) -> bool:
        """Tell whether it holds all images of the request."""
        return len(self.rows) == len(self.course.job.images)

    @property
    def images(self) -> npt.NDArray[np.uint8]:
        """Return the images, UINT8 [n, S, S, 3]: the request's own array if the piece is whole, else a copy."""
        return self.course.job.images if self.is_whole else self.course.job.images[self.rows]

    def answer(self, predictions: npt.NDArray[np.float32], failures: dict[int, StageError]) -> None:
        """Hand over the stage's predictions FP32 [n, C], NaN for the failures, by their place in the piece."""
        self.course.predictions[self.stage, self.rows] = predictions
        self.course.failures.update({int(self.rows[place]): error for place, error in failures.items()})
