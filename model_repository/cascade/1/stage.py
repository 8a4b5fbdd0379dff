"""Calls of one stage's model."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import triton_python_backend_utils as pb_utils

from cascade_spec import Stage
from job import INPUT
from refusals import StageError
from turns import Turns

PREDICTION = "probabilities"
MOST = 1.001  # a probability, with what rounding may add

Images = npt.NDArray[np.uint8]
Predictions = npt.NDArray[np.float32]


class StageCaller:
    """Ask one stage about images."""

    def __init__(self, stage: Stage, classes: int) -> None:
        self._stage = stage
        self._classes = classes
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
                return self._call(len(images), tensor or pb_utils.Tensor(INPUT, images)), {}
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
                    predictions[place] = self._call(1, pb_utils.Tensor(INPUT, images[place : place + 1]))[0]
                except StageError as error:
                    failures[place] = error
        return predictions, failures

    def _call(self, images: int, tensor: Any) -> Predictions:  # noqa: ANN401
        name = self._stage.model
        response = self._request(tensor).exec()
        if response.has_error():
            raise StageError(f"stage {name!r} failed: {response.error().message()}")
        # A view into shared memory, which is freed with the response: hence the copy.
        predictions: Predictions = pb_utils.get_output_tensor_by_name(response, PREDICTION).as_numpy().copy()
        if predictions.shape != (images, self._classes):
            raise StageError(
                f"stage {name!r} answered {list(predictions.shape)} for {images} images of {self._classes} classes; "
                "serve the backbone that cascade.json was made with"
            )
        if not ((predictions >= 0) & (predictions <= MOST)).all():
            raise StageError(f"stage {name!r} answered NaN, infinity or other numbers instead of probabilities")
        return predictions

    def _request(self, tensor: Any) -> Any:  # noqa: ANN401
        return pb_utils.InferenceRequest(
            model_name=self._stage.model,
            model_version=self._stage.version,
            requested_output_names=[PREDICTION],
            inputs=[tensor],
            # The gate is numpy: an answer left on the GPU would cost each instance a CUDA context.
            preferred_memory=pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU, 0),
        )
