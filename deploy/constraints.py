"""Write constraints.txt: the newest releases of all dependencies that fit together. `make constraints` runs it.

The arguments are requirements, as pip takes them. Nothing is installed.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

OLDEST_PYTHON = (3, 11)
# torch and torchvision, and what comes with their builds; some of these need an older setuptools.
BUILDS = re.compile(r"torch|torchvision|setuptools|triton|cuda-.+|nvidia-(?!pytriton$).+")
HEADER = """\
# The releases that were tested together. `make install` installs these, `make constraints` resolves them again.
# Left to the ranges in pyproject.toml: torch and torchvision, whose builds differ by machine (CPU, CUDA version), and
# the CUDA and Triton compiler packages that come with them.
# Resolved on Python 3.11, the oldest supported: later releases of some packages need a later one.
"""


def resolved(requirements: list[str]) -> dict[str, str]:
    """Return the version of each package that pip would install into an empty environment."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--report", "-"]
    report = json.loads(subprocess.run([*command, *requirements], check=True, stdout=subprocess.PIPE).stdout)  # noqa: S603 (our own command)
    from_index = [item["metadata"] for item in report["install"] if not item["is_direct"]]
    return {re.sub(r"[-_.]+", "-", package["name"]).lower(): package["version"] for package in from_index}


def constraints(versions: dict[str, str]) -> str:
    """Return the text of constraints.txt."""
    pins = sorted(f"{name}=={version}" for name, version in versions.items() if not BUILDS.fullmatch(name))
    return HEADER + "\n".join(pins) + "\n"


if __name__ == "__main__":
    if sys.version_info[:2] != OLDEST_PYTHON:
        sys.exit("resolve on Python 3.11, the oldest supported: remove .venv, then make PYTHON=python3.11 constraints")
    Path("constraints.txt").write_text(constraints(resolved(sys.argv[1:])))
