"""Make the parts of benchmarks/gpu.py importable; on the path its folder would hide other modules."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

_FOLDER = BENCHMARKS / "gpu_bench"
_spec = importlib.util.spec_from_file_location(
    _FOLDER.name, _FOLDER / "__init__.py", submodule_search_locations=[str(_FOLDER)]
)
sys.modules[_FOLDER.name] = importlib.util.module_from_spec(_spec)
