"""(a) As in the documentation of BLS: one request after another, one stage after another."""

from __future__ import annotations

import triton_python_backend_utils as pb_utils
from contenders.bls import ask, images_of, response
from contenders.gate import Gate
from contenders.workload import STAGES, Images


class TritonPythonModel:
    """A model that answers each request before it looks at the next."""

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Return a response a request."""
        return [self._answer(images_of(request)) for request in requests]

    def _answer(self, images: Images) -> pb_utils.InferenceResponse:
        gate = Gate(len(images))
        for stage, name in enumerate(STAGES):
            if len(gate.open_rows):
                gate.advance(stage, ask(name, images[gate.open_rows]))
        return response(gate, slice(None))
