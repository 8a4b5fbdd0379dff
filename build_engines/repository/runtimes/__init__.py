"""The runtimes that can serve a backbone; each folder knows one Triton backend."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from tritonclient.grpc.model_config_pb2 import ModelConfig

from build_engines.errors import BuildError
from build_engines.pool.artifacts import BackboneBuild
from build_engines.pool.schema import Pool
from build_engines.repository.runtimes.embedded import Embedded
from build_engines.repository.runtimes.onnxruntime import OnnxRuntime
from build_engines.repository.runtimes.tensorrt import TensorRT
from build_engines.repository.runtimes.torch import Torch


class Runtime(Protocol):
    """Serve a backbone by one of Triton's backends.

    Attributes:
        takes_onnx: Whether it also serves backbones that the pool file gives as ONNX files.
    """

    takes_onnx: bool

    def configure(self, config: ModelConfig) -> None:
        """Set what the backend needs in a configuration that already names inputs, outputs and batching."""

    def files(self, built: BackboneBuild) -> dict[str, Path]:
        """Name the files of a version folder, and which file each is a copy of; what takes no step of its own is made.

        Raises:
            BuildError: one is missing or out of date.
        """


RUNTIMES: dict[str, Runtime] = {
    "embedded": Embedded(),
    "onnxruntime": OnnxRuntime(),
    "tensorrt": TensorRT(),
    "torch": Torch(),
}


def find_runtime(name: str) -> Runtime:
    """Return a runtime by its name.

    Raises:
        BuildError: there is none.
    """
    if name not in RUNTIMES:
        raise BuildError(f"unknown runtime {name!r}; known are {', '.join(RUNTIMES)}")
    return RUNTIMES[name]


def check_runtime(pool: Pool, runtime: str) -> None:
    """Check that a runtime can serve every backbone of a pool.

    Raises:
        BuildError: it cannot, or there is none of this name.
    """
    others = [backbone.name for backbone in pool.backbones if backbone.is_onnx]
    if not find_runtime(runtime).takes_onnx and others:
        able = [name for name, known in RUNTIMES.items() if known.takes_onnx]
        raise BuildError(
            f"the runtime {runtime!r} cannot serve {', '.join(others)}, given as ONNX files in the pool file; use "
            f"--runtime {' or '.join(able)}"
        )
