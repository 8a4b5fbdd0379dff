"""The GPU of this machine, as its driver describes it: TensorRT's own runtime crashes where there is none."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

from build_engines.errors import PlanError
from build_engines.plans.record import Device

MAJOR, MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*
NAME_BYTES = 256
DRIVER_FILE = Path("/proc/driver/nvidia/version")
ADVICE = "build plans where they will be served, with `docker run --gpus all` as make engines does"


def find_device(library: str = "libcuda.so.1") -> Device:
    """Return the first GPU.

    Raises:
        PlanError: there is no driver or no GPU.
    """
    try:
        cuda = ctypes.CDLL(library)
    except OSError as error:
        raise PlanError(f"there is no NVIDIA driver here ({error}); {ADVICE}") from error
    device, name, version = ctypes.c_int(), ctypes.create_string_buffer(NAME_BYTES), ctypes.c_int()
    _check(cuda.cuInit(0), "cuInit")
    _check(cuda.cuDeviceGet(ctypes.byref(device), 0), "cuDeviceGet")
    _check(cuda.cuDeviceGetName(name, NAME_BYTES, device), "cuDeviceGetName")
    _check(cuda.cuDriverGetVersion(ctypes.byref(version)), "cuDriverGetVersion")
    capability = f"{_attribute(cuda, MAJOR, device)}.{_attribute(cuda, MINOR, device)}"
    return Device(gpu=name.value.decode(), compute_capability=capability, driver=_driver(version.value))


def _attribute(cuda: ctypes.CDLL, attribute: int, device: ctypes.c_int) -> int:
    value = ctypes.c_int()
    _check(cuda.cuDeviceGetAttribute(ctypes.byref(value), attribute, device), "cuDeviceGetAttribute")
    return value.value


def _check(status: int, call: str) -> None:
    if status != 0:
        raise PlanError(f"the NVIDIA driver finds no GPU ({call} returned CUDA error {status}); {ADVICE}")


def _driver(cuda_version: int) -> str:
    """Return the driver's version, or where that is unknown the CUDA version that it supports."""
    try:
        found = re.search(r"Module\s+(?:for \S+\s+)?(\d+(?:\.\d+)+)", DRIVER_FILE.read_text())
    except OSError:
        found = None
    return found[1] if found else f"for CUDA {cuda_version // 1000}.{cuda_version % 1000 // 10}"
