"""The client's wheel, alone in an empty environment, classifies against the running server."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

from tests.support.helpers import LABELS

CLIENT = Path(__file__).parents[2] / "client"
PROGRAM = """
import importlib.util, sys
import numpy as np
from cascade_client import CascadeClient
with CascadeClient(sys.argv[1]) as client:
    print(client.classify([np.zeros((9, 9, 3), np.uint8)])[0].label)
print([name for name in ("torch", "build_engines", "cascade_core", "matplotlib") if importlib.util.find_spec(name)])
"""


def test_the_wheel_installed_alone_classifies(server, tmp_path):
    run = lambda *command: subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path).stdout  # noqa: E731
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, CLIENT)
    venv.create(tmp_path / "empty", with_pip=True)
    python = tmp_path / "empty" / "bin" / "python"
    (wheel,) = tmp_path.glob("*.whl")
    run(python, "-m", "pip", "install", "--quiet", wheel)
    label, workbench = run(python, "-c", PROGRAM, server.addresses.grpc).splitlines()
    assert label in LABELS
    assert workbench == "[]"
