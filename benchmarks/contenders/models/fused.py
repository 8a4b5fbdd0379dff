"""(g) The whole cascade in one process that holds every network itself, two instances, no calls of other models."""

from __future__ import annotations

import json
from pathlib import Path

import triton_python_backend_utils as pb_utils
from contenders.bls import images_of, response
from contenders.gate import Gate
from contenders.stages import load
from contenders.workload import STAGES, Images


class TritonPythonModel:
    """A model that answers each request with networks in this process."""

    def initialize(self, arguments: dict[str, str]) -> None:
        """Load every network."""
        networks = json.loads(arguments["model_config"])["parameters"]["networks"]["string_value"]
        self._stages = [load(name, Path(networks)) for name in STAGES]

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Return a response a request."""
        return [self._answer(images_of(request)) for request in requests]

    def _answer(self, images: Images) -> pb_utils.InferenceResponse:
        gate = Gate(len(images))
        for stage, predict in enumerate(self._stages):
            if len(gate.open_rows):
                gate.advance(stage, predict(images[gate.open_rows]))
        return response(gate, slice(None))
