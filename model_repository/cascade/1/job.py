"""One request to the cascade: what it asks for, and its answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import triton_python_backend_utils as pb_utils

from cascade_spec import Cascade, SpecError
from gating import Outcome, stop_at

INPUT = "image"


class BadRequest(ValueError):
    """Say what a caller must change in the request."""


class Job:
    """Hold a request's images and the thresholds that it asked for.

    Attributes:
        images: UINT8 [n, S, S, 3].
        thresholds: FP32 [K]; -inf from the last stage that the caller will pay.
    """

    def __init__(self, request: Any, cascade: Cascade) -> None:  # noqa: ANN401 (Triton's request has no stub)
        """Read a request.

        Raises:
            BadRequest: a parameter has no meaning here.
        """
        self._request = request
        self._labels = np.array(cascade.labels, dtype=object)
        self.images: npt.NDArray[np.uint8] = pb_utils.get_input_tensor_by_name(request, INPUT).as_numpy()
        self.thresholds = _thresholds(json.loads(request.parameters() or "{}"), cascade)

    def answer(self, outcome: Outcome, rows: slice) -> Any:  # noqa: ANN401
        """Build the response from this request's rows of a batch's outcome."""
        values: dict[str, Callable[[], npt.NDArray[Any]]] = {
            "class_id": lambda: outcome.class_id[rows, None],
            "confidence": lambda: outcome.confidence[rows, None],
            "exit_stage": lambda: outcome.exit_stage[rows, None],
            "label": lambda: self._labels[outcome.class_id[rows]][:, None],
            "probabilities": lambda: outcome.probabilities[rows],
            "stage_confidence": lambda: outcome.stage_confidence[rows],
        }
        # An output that was not asked for crashes the stub under concurrency (Triton 24.10).
        wanted = self._request.requested_output_names() or list(values)
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, values[name]()) for name in wanted])


def outputs(cascade: Cascade) -> list[dict[str, Any]]:
    """Return the cascade's outputs as Triton's configuration takes them."""
    return [
        {"name": "class_id", "data_type": "TYPE_INT32", "dims": [1]},
        {"name": "confidence", "data_type": "TYPE_FP32", "dims": [1]},
        {"name": "exit_stage", "data_type": "TYPE_INT32", "dims": [1]},
        {"name": "label", "data_type": "TYPE_STRING", "dims": [1]},
        {"name": "probabilities", "data_type": "TYPE_FP32", "dims": [len(cascade.labels)]},
        {"name": "stage_confidence", "data_type": "TYPE_FP32", "dims": [len(cascade.stages)]},
    ]


def _thresholds(parameters: dict[str, Any], cascade: Cascade) -> npt.NDArray[np.float32]:
    stages = len(cascade.stages)
    last_stage = parameters.get("max_stage", stages)
    if not isinstance(last_stage, int) or isinstance(last_stage, bool) or last_stage < 1:
        raise BadRequest(f"max_stage must be a whole number from 1, not {str(last_stage)[:100]!r}")
    try:
        thresholds = cascade.thresholds_at(parameters.get("operating_point"))
    except SpecError as error:
        raise BadRequest(str(error)) from error
    return stop_at(thresholds, min(last_stage, stages))
