"""Make the parts of the benchmarks importable; on the path their folder would hide other modules."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

for _folder in (BENCHMARKS / "gpu_bench", BENCHMARKS / "imagenet_pool"):
    _spec = importlib.util.spec_from_file_location(
        _folder.name, _folder / "__init__.py", submodule_search_locations=[str(_folder)]
    )
    sys.modules[_folder.name] = importlib.util.module_from_spec(_spec)
