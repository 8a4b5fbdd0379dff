"""Checked calls of one stage's model, which isolate an image that the stage fails."""

from __future__ import annotations

import numpy as np
import triton_python_backend_utils as pb_utils

from cascade_core.spec import Stage
from cascade_serving.backends import Images, StageBackend, StageOutput
from cascade_serving.errors import StageError
from cascade_serving.shared_lock import SharedLock

MAX_PROBABILITY = 1.001  # with what rounding may add


class StageModel:
    """One stage's model, called through a backend."""

    def __init__(self, stage: Stage, class_count: int, backend: StageBackend) -> None:
        self._stage = stage
        self._class_count = class_count
        self._backend = backend
        self._lock = SharedLock()

    def predict(
        self, images: Images, tensor: pb_utils.Tensor | None = None
    ) -> tuple[StageOutput, dict[int, StageError]]:
        """Return the stage's predictions.

        Args:
            images: UINT8 [n, S, S, 3], no more than the stage accepts.
            tensor: Triton's tensor of the same images, if there is one: it is passed on without a copy.

        Returns:
            FP32 [n, C], NaN where the stage failed, and why it did, by the place of each such image.
        """
        try:
            with self._lock.shared():  # Triton batches concurrent calls; a retry needs the stage alone
                return self._call(images, tensor), {}
        except StageError:
            return self._predict_one_by_one(images)

    def _predict_one_by_one(self, images: Images) -> tuple[StageOutput, dict[int, StageError]]:
        """Call the model for each image by itself: an image that upsets it must not fail the others.

        By itself within Triton too, which would otherwise batch the calls of several threads, and fail them together.
        """
        predictions = np.full((len(images), self._class_count), np.nan, np.float32)
        failures: dict[int, StageError] = {}
        with self._lock.exclusive():
            for place in range(len(images)):
                try:
                    predictions[place] = self._call(images[place : place + 1])[0]
                except StageError as error:
                    failures[place] = error
        return predictions, failures

    def _call(self, images: Images, tensor: pb_utils.Tensor | None = None) -> StageOutput:
        predictions = self._backend(images, tensor)
        name, expected = self._stage.model, (len(images), self._class_count)
        if predictions.shape != expected:
            raise StageError(
                f"stage {name!r} answered with shape {list(predictions.shape)}, expected {list(expected)} (images, "
                "classes); serve the backbone that cascade.json was made with"
            )
        if not (predictions.min() >= 0 and predictions.max() <= MAX_PROBABILITY):  # NaN fails both
            raise StageError(f"stage {name!r} answered NaN, infinity or other numbers instead of probabilities")
        return predictions
