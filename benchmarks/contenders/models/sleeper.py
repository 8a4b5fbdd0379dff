"""A stage that is like one on a GPU: a call takes a fixed time and no CPU, whatever its batch."""

from __future__ import annotations

import json

import numpy as np
import triton_python_backend_utils as pb_utils
from contenders.bls import images_of
from contenders.stages import sleeper


class TritonPythonModel:
    """A model that sleeps and answers."""

    def initialize(self, arguments: dict[str, str]) -> None:
        """Take the stage from the model's name."""
        self._predict = sleeper(json.loads(arguments["model_config"])["name"])

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Answer all requests by one call."""
        parts = [images_of(request) for request in requests]
        said = np.split(self._predict(np.concatenate(parts)), np.cumsum([len(part) for part in parts])[:-1])
        return [pb_utils.InferenceResponse([pb_utils.Tensor("probabilities", np.ascontiguousarray(p))]) for p in said]
