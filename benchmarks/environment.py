"""Say where a result comes from, and write it under a name that says so."""

from __future__ import annotations

import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_name("results")


def environment() -> dict[str, Any]:
    """Return what the figures depend on."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "python": platform.python_version(),
        "packages": {
            name: version(name)
            for name in ("numpy", "numba", "scipy", "pillow", "onnxruntime", "tritonclient", "nvidia-pytriton")
        },
    }


def write_result(name: str, content: dict[str, Any], package: str = "numba") -> Path:
    """Write a result as JSON; the file's name says how many cores, which Python, and the version of one package."""
    seen = environment()
    tag = f"{seen['cores']}core-py{seen['python']}-{package}{seen['packages'][package]}"
    path = RESULTS / f"{name}-{tag}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"environment": seen, **content}, indent=1) + "\n")
    return path


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()
