"""`build-engines plan`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

from typer.testing import CliRunner

from build_engines.cli import app
from build_engines.plans.make import make_plan
from tests.support.helpers import backbone_entry, write_pool
from tests.support.plans import DEVICE, OPTIONS, TRT

ROOT = Path(__file__).parents[3]
WITHOUT_TORCH = """
import sys

class NotHere:
    def find_spec(self, name, *_):
        if name.split(".")[0] in {"torch", "torchvision", "timm", "onnx"}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, NotHere())
import build_engines.cli, build_engines.plans.compare, build_engines.images.samples
from pathlib import Path
from build_engines.pool.schema import load_pool
for path in Path("pools").glob("*.yaml"):
    load_pool(path)
"""


def test_the_command_prints_trtexecs_and_builds_the_rest(build, built, monkeypatch):
    folder = build.folder.parent
    pool = str(write_pool(folder, backbone_entry("a"), backbone_entry("b", max_batch_size=4)))
    arguments = ["plan", pool, "--build", str(folder), "--hardware-compatibility", "ampere_plus"]
    printed = CliRunner().invoke(app, [*arguments, "--trtexec"])
    folder_made, first, second = printed.stdout.splitlines()
    assert folder_made == f"mkdir -p {build['a'].plan.parent}"
    assert printed.stderr == ""
    assert "--minShapes=image:1x32x32x3 --optShapes=image:8x32x32x3 --maxShapes=image:8x32x32x3" in first
    assert "--maxShapes=image:4x32x32x3" in second
    assert "--hardwareCompatibilityLevel=ampere+" in first
    assert "--noTF32" in first
    assert "--noTF32" not in CliRunner().invoke(app, [*arguments, "--trtexec", "--tf32"]).output
    monkeypatch.setattr("build_engines.plans.pool_plans.load_tensorrt", lambda: TRT)
    monkeypatch.setattr("build_engines.plans.pool_plans.find_device", lambda: DEVICE)
    make_plan(TRT, DEVICE, build["a"], OPTIONS.model_copy(update={"hardware_compatibility": "ampere_plus"}))
    monkeypatch.setattr("build_engines.plans.pool_plans.comparison_obstacle", lambda: "pip install polygraphy")
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "not compared with ONNX Runtime: pip install polygraphy" in done.output
    assert [name for name, *_ in built] == ["a", "b"]
    assert "reused" in done.output


def test_a_plan_that_cannot_be_made_stops_no_other(build, built, monkeypatch):
    folder = build.folder.parent
    pool = str(write_pool(folder, backbone_entry("missing"), backbone_entry("b")))
    monkeypatch.setattr("build_engines.plans.pool_plans.load_tensorrt", lambda: TRT)
    monkeypatch.setattr("build_engines.plans.pool_plans.find_device", lambda: DEVICE)
    monkeypatch.setattr("build_engines.plans.pool_plans.comparison_obstacle", lambda: "pip install polygraphy")
    done = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["plan", pool, "--build", str(folder)])
    assert done.exit_code == 1
    assert [name for name, *_ in built] == ["b"]
    assert "no plan" in done.stdout
    assert "built" in done.stdout
    assert "backbone 'missing' has no intact" in done.output


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_built(build, built, monkeypatch):
    folder = build.folder.parent
    pool = str(write_pool(folder, backbone_entry("a")))
    build["a"].plan.parent.write_text("no folder")
    monkeypatch.setattr("build_engines.plans.pool_plans.load_tensorrt", lambda: TRT)
    monkeypatch.setattr("build_engines.plans.pool_plans.find_device", lambda: DEVICE)
    done = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["plan", pool, "--build", str(folder)])
    assert done.exit_code == 1
    assert "cannot write to" in done.output
    assert built == []


def test_trtexecs_commands_say_what_they_will_not_find(build):
    folder = build.folder.parent
    pool = str(write_pool(folder, backbone_entry("a"), backbone_entry("c")))
    printed = CliRunner().invoke(app, ["plan", pool, "--build", str(folder), "--trtexec"])
    assert printed.exit_code == 0
    assert len(printed.stdout.splitlines()) == 3
    assert "note: not exported yet: c; run build-engines export first" in printed.stderr


def test_the_builders_command_needs_no_torch():
    """NVIDIA's Triton container has none, and this project is not installed there: its script names the folders."""
    (path,) = re.findall(r"export PYTHONPATH=(\S+)", (ROOT / "deploy" / "engines").read_text())
    environment = {**os.environ, "PYTHONPATH": path.replace("$needs", sysconfig.get_path("purelib"))}
    command = [sys.executable, "-S", "-c", WITHOUT_TORCH]  # -S: without what is installed as editable
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stderr
