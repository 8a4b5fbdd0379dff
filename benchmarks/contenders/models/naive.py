"""(a) As in the documentation of BLS: one request after another, one stage after another."""

from __future__ import annotations

from typing import Any

from contenders.bls import ask, images_of, response
from contenders.gate import Gate
from contenders.workload import STAGES


class TritonPythonModel:
    """Answer each request before the next is looked at."""

    def execute(self, requests: list[Any]) -> list[Any]:
        """Return a response a request."""
        return [self._answer(images_of(request)) for request in requests]

    def _answer(self, images: Any) -> Any:  # noqa: ANN401 (Triton's types have no stubs)
        gate = Gate(len(images))
        for stage, name in enumerate(STAGES):
            if len(gate.open_rows):
                gate.advance(stage, ask(name, images[gate.open_rows]))
        return response(gate, slice(None))
