"""Calls of one stage's model."""

from __future__ import annotations

from typing import Any

import numpy as np

from cascade_core.spec import Stage
from cascade_serving.backends import Images, Predictions, Way
from cascade_serving.errors import StageError
from cascade_serving.shared_lock import Turns

MOST = 1.001  # a probability, with what rounding may add


class StageCaller:
    """Ask one stage about images."""

    def __init__(self, stage: Stage, classes: int, way: Way) -> None:
        self._stage = stage
        self._classes = classes
        self._way = way
        self._turns = Turns()

    def predict(self, images: Images, tensor: Any = None) -> tuple[Predictions, dict[int, StageError]]:  # noqa: ANN401
        """Ask about UINT8 [n, S, S, 3], no more than the stage takes.

        Args:
            images: The images.
            tensor: Triton's tensor of those very images, if there is one: it goes on without being copied.

        Returns:
            FP32 [n, C], NaN where the stage failed, and why it did, for each such image.
        """
        try:
            with self._turns.together():
                return self._call(images, tensor), {}
        except StageError:
            return self._predict_one_by_one(images)

    def _predict_one_by_one(self, images: Images) -> tuple[Predictions, dict[int, StageError]]:
        """Ask about each image alone: whatever upsets the stage in one must not fail the others.

        Alone in Triton, too, which else puts the calls of several workers into one batch, and fails the whole of it.
        """
        predictions = np.full((len(images), self._classes), np.nan, np.float32)
        failures: dict[int, StageError] = {}
        with self._turns.alone():
            for place in range(len(images)):
                try:
                    predictions[place] = self._call(images[place : place + 1])[0]
                except StageError as error:
                    failures[place] = error
        return predictions, failures

    def _call(self, images: Images, tensor: Any = None) -> Predictions:  # noqa: ANN401
        predictions = self._way(images, tensor)
        name, wanted = self._stage.model, (len(images), self._classes)
        if predictions.shape != wanted:
            raise StageError(
                f"stage {name!r} answered {list(predictions.shape)} where images and classes are {list(wanted)}; "
                "serve the backbone that cascade.json was made with"
            )
        if not (predictions.min() >= 0 and predictions.max() <= MOST):  # NaN is neither
            raise StageError(f"stage {name!r} answered NaN, infinity or other numbers instead of probabilities")
        return predictions
