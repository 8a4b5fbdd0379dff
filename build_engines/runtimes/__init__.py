"""The runtimes that can serve a backbone; each folder knows one Triton backend."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from tritonclient.grpc.model_config_pb2 import ModelConfig

from build_engines.runtimes.embedded import Embedded


class Runtime(Protocol):
    """Serve a backbone's ONNX file by one of Triton's backends."""

    def configure(self, config: ModelConfig) -> None:
        """Set what the backend needs in a configuration that already names inputs, outputs and batching."""

    def fill(self, version: Path, onnx: Path) -> None:
        """Write what the backend loads into an empty version folder."""


RUNTIMES: dict[str, Runtime] = {"embedded": Embedded()}
