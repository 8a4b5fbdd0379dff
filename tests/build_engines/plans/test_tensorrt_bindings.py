"""The plan builder against TensorRT's real Python bindings: a name that they do not have fails.

`make bindings` fetches them and stands in for TensorRT's library, which cannot be had without its gigabytes. Nothing is
built: what is checked are names and enums.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__)
FOLDER = HERE.parents[3] / "build/tensorrt_bindings"
VERSIONS = ("10.13.3.9", "11.4.0.106")
USE = """
import sys
from pathlib import Path
from tests.support.autospecced import autospecced
from build_engines.plans import tensorrt
from build_engines.plans.record import PlanOptions
import tensorrt_bindings
trt = autospecced(tensorrt_bindings)
assert tensorrt.load_tensorrt().__version__ == sys.argv[1]
for level in ("none", "ampere_plus", "same_compute_capability"):
    options = PlanOptions(batch=(1, 8, 32), version_compatible=True, hardware_compatibility=level)
    assert tensorrt.build_plan(trt, Path("m.onnx"), options, b"") == (b"plan", b"timings")
tensorrt.build_plan(trt, Path("m.onnx"), PlanOptions(batch=(1, 8, 32), tf32=True), b"")
print(int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
"""

# The library that stands in for TensorRT's gives no objects: what a library that refuses looks like.
REFUSED = """
import sys
from pathlib import Path
from build_engines.errors import PlanError
from build_engines.plans import compare, tensorrt
from build_engines.plans.record import PlanOptions
from build_engines.pool.schema import TimmBackbone
import numpy as np
trt = tensorrt.load_tensorrt()
backbone = TimmBackbone(name="a", architecture="x", weights="random", input_size=8, classes=2)
images = np.zeros((1, 8, 8, 3), np.uint8)
def build(): tensorrt.build_plan(trt, Path("m.onnx"), PlanOptions(batch=(1, 8, 32)), b"")
def run(): compare._plan_answers(trt, backbone, b"plan", images, [1])
for refused in {"build": [build], "run": [run]}[sys.argv[2]]:
    try:
        refused()
    except PlanError as error:
        print(error)
"""


def run(version, code=USE, *arguments):
    folder = FOLDER / version
    if not folder.is_dir():
        pytest.skip(f"no TensorRT bindings {version} here; make bindings fetches them where it can")
    paths = [str(folder), str(HERE.parents[3]), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": ":".join(paths), "LD_LIBRARY_PATH": str(folder / "stub")}
    return subprocess.run(
        [sys.executable, "-c", code, version, *arguments], env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(("version", "strongly_typed"), list(zip(VERSIONS, ("1", "0"), strict=True)))
def test_every_name_that_the_builder_uses_is_there(version, strongly_typed):
    done = run(version)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == strongly_typed  # the number differs between the majors


@pytest.mark.parametrize(("version", "is_there"), list(zip(VERSIONS, (True, False), strict=True)))
def test_a_removed_name_is_caught(version, is_there):
    """Precision by flag, as TensorRT 10 and earlier had it."""
    spoilt = """
import inspect
from build_engines.plans import tensorrt
source = inspect.getsource(tensorrt)
old = "config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)"
assert old in source
exec(compile(source.replace(old, "config.set_flag(trt.BuilderFlag.FP16)"), "spoilt", "exec"), tensorrt.__dict__)
"""
    done = run(version, spoilt + USE)
    assert (done.returncode == 0) is is_there, done.stderr
    assert is_there or "has no attribute 'FP16'" in done.stderr


@pytest.mark.parametrize("version", VERSIONS)
def test_a_library_that_refuses_is_a_message(version):
    done = run(version, REFUSED, "build")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"TensorRT {version} does not start: ")


@pytest.mark.parametrize("version", VERSIONS)
def test_polygraphy_reaches_these_bindings(version):
    pytest.importorskip("polygraphy")
    done = run(version, REFUSED, "run")
    assert done.returncode == 0, done.stderr
    assert "does not run here: pybind11::init(): factory function returned nullptr" in done.stdout
