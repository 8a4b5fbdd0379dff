"""The conditions of a result, and the file that it is written to."""

from __future__ import annotations

import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_name("results")
PACKAGES = ("numpy", "numba", "scipy", "pillow", "onnxruntime", "tritonclient", "nvidia-pytriton", "torch", "timm")


def environment() -> dict[str, Any]:
    """Return what the figures depend on."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
    }


def write_result(
    name: str,
    content: dict[str, Any],
    package: str = "numba",
    *,
    machine: str | None = None,
    folder: Path = RESULTS,
) -> Path:
    """Write a result as JSON; the file's name says which machine, which Python, and the version of one package.

    The machine is named by its cores, unless it is given.
    """
    seen = environment()
    machine = machine or f"{seen['cores']}core"
    tag = f"{machine}-py{seen['python']}-{package}{seen['packages'][package]}"
    path = folder / f"{name}-{tag.replace('+', '-')}.json"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"environment": seen, **content}, indent=1) + "\n")
    return path


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()
