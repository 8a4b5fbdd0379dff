"""Where a model repository is to be served: the TensorRT, the GPU, and the shared memory."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

from build_engines.doctor.finding import Finding
from build_engines.errors import PlanError
from build_engines.plans.device import find_device
from build_engines.plans.record import Device
from build_engines.plans.tensorrt import load_tensorrt

ONLY_NVIDIAS = ("onnxruntime", "tensorrt")  # backends that only NVIDIA's container has
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 (where Triton's Python backend keeps tensors)
VERSION = re.compile(r"\d+(\.\d+)*")
SIZE = re.compile(r"(\d+)([kmg]?)b?")
UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


@dataclass(frozen=True)
class Environment:
    """What is known of where entries are to be served; what is None is not compared with a plan.

    Attributes:
        tensorrt: The version of TensorRT.
        device: The GPU.
        is_nvidias_container: Whether it is NVIDIA's container, whose Python has neither ONNX Runtime nor PyTorch.
    """

    tensorrt: str | None
    device: Device | None
    is_nvidias_container: bool = False

    def serving(self, entries: Mapping[str, ModelConfig]) -> Environment:
        """Return the environment that these entries need: some backends exist only in NVIDIA's container."""
        needed = any(backend_of(config) in ONLY_NVIDIAS for config in entries.values())
        return replace(self, is_nvidias_container=self.is_nvidias_container or needed)


def find_environment(tensorrt: str | None) -> Environment:
    """Return the environment of this machine.

    Args:
        tensorrt: The version in NVIDIA's container; None for the TensorRT that is installed here, if any.

    Raises:
        PlanError: the version is invalid.
    """
    is_named = tensorrt is not None
    if tensorrt is not None and not VERSION.fullmatch(tensorrt):
        raise PlanError(f"invalid TensorRT version {tensorrt!r}: expected 10.13 or 10.13.3.9")
    try:
        tensorrt = tensorrt or str(load_tensorrt().__version__)
    except PlanError:
        tensorrt = None
    try:
        device = find_device()
    except PlanError:
        device = None
    return Environment(tensorrt, device, is_named)


def describe_environment(entries: Mapping[str, ModelConfig], environment: Environment) -> list[Finding]:
    """Return what plans are compared with, if there are plans."""
    if not any(backend_of(config) == "tensorrt" for config in entries.values()):
        return []
    version, device = environment.tensorrt, environment.device
    tensorrt = f"TensorRT {version}" if version else "no TensorRT (name the server's with --tensorrt)"
    gpu = f"{device.gpu} ({device.compute_capability}), driver {device.driver}" if device else "no GPU"
    unknown = "" if version and device else ": whether plans fit what is missing here is unknown"
    return [Finding("this machine", f"{tensorrt}, {gpu}{unknown}")]


def backend_of(config: ModelConfig) -> str:
    """Return the name of an entry's backend."""
    return str(config.backend or config.platform)


def size_bytes(text: str) -> int:
    """Read a size as docker writes it: `1g`, `512m`, `67108864`.

    Raises:
        PlanError: the size is invalid.
    """
    found = SIZE.fullmatch(text.lower())
    if not found:
        raise PlanError(f"invalid size {text!r}: expected one as docker writes it, such as 1g or 512m")
    return int(found[1]) * UNITS[found[2]]


def shared_memory_bytes() -> int:
    """Return the shared memory of this machine, in bytes."""
    return shutil.disk_usage(SHARED_MEMORY).total if SHARED_MEMORY.is_dir() else 0
