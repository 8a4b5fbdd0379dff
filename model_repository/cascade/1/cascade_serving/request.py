"""One request to the cascade: what it asks for, whether it is still wanted, and its response."""

from __future__ import annotations

import itertools
import json
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import triton_python_backend_utils as pb_utils

from cascade_core import contract
from cascade_core.gating import Outcome, stop_at
from cascade_core.spec import Cascade, SpecError
from cascade_serving.errors import Cancelled, DeadlineExceeded, InvalidRequest

MICROSECONDS = 1e6
# Asking Triton whether a request was cancelled takes about 0.1 ms: too long for one that has only just arrived.
JUST_ARRIVED_S = 0.02
_sequence = itertools.count()


class CascadeRequest:
    """A validated request: images UINT8 [n, S, S, 3], thresholds FP32 [K] and the last stage it may run.

    Attributes:
        sequence: Its number in the order of arrival.
        arrived_s: Its time of arrival, on the monotonic clock.
        tensor: The images as Triton's tensor.
        images: UINT8 [n, S, S, 3], a view of the tensor, which must outlive it.
        last_stage: The last stage that the caller will pay for; 1 is the first.
        thresholds: FP32 [K]; -inf from that stage on.
    """

    def __init__(self, request: pb_utils.InferenceRequest, cascade: Cascade, labels: npt.NDArray[np.object_]) -> None:
        """Read Triton's request to a cascade with these labels.

        Raises:
            InvalidRequest: a parameter is invalid.
        """
        self.sequence = next(_sequence)
        self.arrived_s = time.monotonic()
        self._request = request
        self._labels = labels
        self._timeout_s = request.timeout() / MICROSECONDS or math.inf
        self.tensor = pb_utils.get_input_tensor_by_name(request, contract.IMAGE.name)
        self.images: npt.NDArray[np.uint8] = self.tensor.as_numpy()
        parameters = json.loads(request.parameters() or "{}")
        self.last_stage = _last_stage(parameters, len(cascade.stages))
        self.thresholds = stop_at(_thresholds(parameters, cascade), self.last_stage)

    def check_active(self, stage: str) -> None:
        """Check, before a stage, that the response is still wanted.

        Raises:
            DeadlineExceeded: the timeout that came with the request has passed.
            Cancelled: the client has gone or given up.
        """
        age_s = time.monotonic() - self.arrived_s
        if age_s > self._timeout_s:
            raise DeadlineExceeded(f"the request's timeout of {self._timeout_s:g} s passed before stage {stage!r}")
        if age_s > JUST_ARRIVED_S and self._request.is_cancelled():
            raise Cancelled(f"the request was cancelled before stage {stage!r}")

    def response(self, outcome: Outcome, degraded: npt.NDArray[np.bool_]) -> pb_utils.InferenceResponse:
        """Build the response from the answers, and bool [n] of which are degraded."""
        values: dict[str, Callable[[], npt.NDArray[Any]]] = {
            contract.CLASS_ID.name: lambda: outcome.class_id[:, None],
            contract.CONFIDENCE.name: lambda: outcome.confidence[:, None],
            contract.DEGRADED.name: lambda: degraded[:, None],
            contract.EXIT_STAGE.name: lambda: outcome.exit_stage[:, None],
            contract.LABEL.name: lambda: self._labels[outcome.class_id][:, None],
            contract.PROBABILITIES.name: lambda: outcome.probabilities,
            contract.STAGE_CONFIDENCE.name: lambda: outcome.stage_confidence,
            contract.DESCRIPTION.name: lambda: _in_first_row("", len(self.images)),
        }
        # An output that was not asked for is freed without the GIL: the stub crashes under concurrency (Triton 24.10).
        wanted = self._request.requested_output_names() or list(values)
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, values[name]()) for name in wanted])

    def respond(self, response: pb_utils.InferenceResponse) -> None:
        """Send the one response to the request."""
        respond(self._request, response)


def respond(request: pb_utils.InferenceRequest, response: pb_utils.InferenceResponse) -> None:
    """Send the one response to Triton's request, from any thread."""
    request.get_response_sender().send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)


def description_response(request: pb_utils.InferenceRequest, description: str) -> pb_utils.InferenceResponse:
    """Build the response to a request for the description alone."""
    rows = len(pb_utils.get_input_tensor_by_name(request, contract.IMAGE.name).as_numpy())
    return pb_utils.InferenceResponse([pb_utils.Tensor(contract.DESCRIPTION.name, _in_first_row(description, rows))])


def _in_first_row(text: str, rows: int) -> npt.NDArray[np.object_]:
    column = np.full((rows, 1), "", dtype=object)
    column[0] = text
    return column


def _last_stage(parameters: dict[str, Any], stage_count: int) -> int:
    last_stage = parameters.get(contract.MAX_STAGE, stage_count)
    if not isinstance(last_stage, int) or isinstance(last_stage, bool) or last_stage < 1:
        raise InvalidRequest(f"{contract.MAX_STAGE} must be a positive integer, not {str(last_stage)[:100]!r}")
    return min(last_stage, stage_count)


def _thresholds(parameters: dict[str, Any], cascade: Cascade) -> tuple[float, ...]:
    try:
        return cascade.gate_thresholds(parameters.get(contract.OPERATING_POINT))
    except SpecError as error:
        raise InvalidRequest(str(error)) from error
