"""A backbone under Triton's Python backend: its exported program, run by PyTorch."""

from __future__ import annotations

import json
from itertools import accumulate
from pathlib import Path

import numpy as np
import numpy.typing as npt
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """A backbone's model.pt2, run on the requests that Triton has batched."""

    def initialize(self, arguments: dict[str, str]) -> None:
        """Load model.pt2; on a GPU compile it and capture its graphs before the model counts as ready."""
        config = json.loads(arguments["model_config"])
        gpu = int(arguments["model_instance_device_id"]) if arguments["model_instance_kind"] == "GPU" else 0
        try:
            from engine import EngineError, load  # noqa: PLC0415 (it needs PyTorch, which the server may lack)
        except ModuleNotFoundError as error:
            made_by = config["parameters"]["exported_by"]["string_value"]
            raise pb_utils.TritonModelException(
                f"the runtime `torch` needs PyTorch in the server's Python ({error}): install {made_by} there, or "
                "serve another runtime"
            ) from error
        try:
            self._engine = load(Path(__file__).parent, config, gpu, pb_utils.Logger.log_warn)
        except EngineError as error:
            raise pb_utils.TritonModelException(str(error)) from error

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Answer all requests with one run, UINT8 [n, S, S, 3] each to FP32 [n, C]; if it fails, each with its own."""
        images = [pb_utils.get_input_tensor_by_name(request, "image").as_numpy() for request in requests]
        try:
            probabilities = self._engine(images)
        except Exception:  # what is wrong with one request must not fail the others
            return [self._answer_alone(part) for part in images]
        ends = list(accumulate(len(part) for part in images))[:-1]
        return [_response(part) for part in np.split(probabilities, ends)]

    def _answer_alone(self, images: npt.NDArray[np.uint8]) -> pb_utils.InferenceResponse:
        try:
            return _response(self._engine([images]))
        except Exception as error:  # raised, it would fail the whole batch
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(f"{type(error).__name__}: {error}"))


def _response(probabilities: npt.NDArray[np.float32]) -> pb_utils.InferenceResponse:
    return pb_utils.InferenceResponse([pb_utils.Tensor("probabilities", np.ascontiguousarray(probabilities))])
