"""The runtimes that can serve a backbone, each in a folder of its own."""

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
    """A way to serve a backbone by one of Triton's backends.

    Attributes:
        takes_onnx: Whether it also serves backbones that the pool file gives as ONNX files.
    """

    takes_onnx: bool

    def configure(self, config: ModelConfig) -> None:
        """Complete a configuration that already has inputs, outputs and batching."""

    def files(self, built: BackboneBuild) -> dict[str, Path]:
        """Return the files of a version folder: by name, the file that each is a copy of; a missing one may be made.

        Raises:
            BuildError: a file is missing or out of date.
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
        BuildError: it cannot, or there is no such runtime.
    """
    others = [backbone.name for backbone in pool.backbones if backbone.is_onnx]
    if not find_runtime(runtime).takes_onnx and others:
        able = [name for name, known in RUNTIMES.items() if known.takes_onnx]
        raise BuildError(
            f"the runtime {runtime!r} cannot serve {', '.join(others)}, which the pool file gives as ONNX files; use "
            f"--runtime {' or '.join(able)}"
        )
