"""A backbone under Triton's Python backend, run by ONNX Runtime in process."""

from __future__ import annotations

import json
from itertools import accumulate
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """A backbone's model.onnx, run on the requests that Triton has batched."""

    def initialize(self, arguments: dict[str, str]) -> None:
        """Load model.onnx."""
        parameters = json.loads(arguments["model_config"])["parameters"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(parameters["intra_op_threads"]["string_value"])
        options.inter_op_num_threads = 1
        path = Path(__file__).with_name("model.onnx")
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Answer all requests with one run: UINT8 [n, S, S, 3] each to FP32 [n, C]."""
        images = [pb_utils.get_input_tensor_by_name(request, "image").as_numpy() for request in requests]
        (probabilities,) = self._session.run(["probabilities"], {"image": np.concatenate(images)})
        ends = list(accumulate(len(part) for part in images))[:-1]
        return [_response(part) for part in np.split(probabilities, ends)]


def _response(probabilities: npt.NDArray[np.float32]) -> pb_utils.InferenceResponse:
    return pb_utils.InferenceResponse([pb_utils.Tensor("probabilities", np.ascontiguousarray(probabilities))])
