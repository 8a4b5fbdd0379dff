"""(b) The images of all requests at hand in one batch a stage; all are answered at the end."""

from __future__ import annotations

from itertools import accumulate

import numpy as np
import triton_python_backend_utils as pb_utils
from contenders.bls import ask, images_of, response
from contenders.gate import Gate
from contenders.workload import STAGES


class TritonPythonModel:
    """A model that answers the requests that Triton has batched, together."""

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Return a response a request."""
        parts = [images_of(request) for request in requests]
        ends = list(accumulate(len(part) for part in parts))
        images, gate = np.concatenate(parts), Gate(ends[-1])
        for stage, name in enumerate(STAGES):
            if len(gate.open_rows):
                gate.advance(stage, ask(name, images[gate.open_rows]))
        return [response(gate, slice(end - len(part), end)) for part, end in zip(parts, ends, strict=True)]
