"""The cascade's entry stands alone: Triton's stock container has numpy, and none of our packages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from build_engines.repository.cascade_entry import put_cascade

IMPORT_ALL = """
import importlib, sys
from pathlib import Path
sys.path[:0] = sys.argv[1:]
version = Path(sys.argv[1])
import model
for file in version.glob("cascade_*/[!_]*.py"):
    importlib.import_module(f"{file.parent.name}.{file.stem}")
ours = [module.__file__ for name, module in sys.modules.items() if name.startswith("cascade_")]
print(model.TritonPythonModel.__module__, len(ours), all(Path(file).is_relative_to(version) for file in ours))
"""


def only_numpy(folder: Path) -> Path:
    """A folder of packages with numpy alone, and a Triton module that has nothing in it."""
    folder.mkdir()
    installed = Path(np.__file__).parent.parent
    for name in ("numpy", "numpy.libs"):
        if (installed / name).is_dir():
            (folder / name).symlink_to(installed / name)
    (folder / "triton_python_backend_utils.py").touch()
    return folder


def test_the_entry_imports_nothing_but_numpy_and_itself(tmp_path):
    put_cascade(tmp_path / "repository")
    version = tmp_path / "repository" / "cascade" / "1"
    command = [sys.executable, "-I", "-S", "-c", IMPORT_ALL, version, only_numpy(tmp_path / "packages")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    modules = len(list(version.glob("cascade_*/*.py")))
    assert modules > 15
    assert (done.stdout.split(), done.stderr) == (["cascade_serving.triton_model", str(modules), "True"], "")
