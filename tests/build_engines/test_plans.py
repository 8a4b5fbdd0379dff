"""Plans: made once, whole or not at all, with what they hold for; and a message where they cannot be made."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest
from helpers import backbone_entry, write_pool
from typer.testing import CliRunner

from build_engines.cli import app
from build_engines.errors import PlanError
from build_engines.files import sha256
from build_engines.plans import make, tensorrt
from build_engines.plans.device import find_device
from build_engines.plans.make import make_plan
from build_engines.plans.record import Device, PlanOptions, PlanRecord
from build_engines.workspace import Workspace

DEVICE = Device(gpu="NVIDIA L4", compute_capability="8.9", driver="580.95")
OPTIONS = PlanOptions(batch=(1, 8, 8))
TRT = SimpleNamespace(__version__="10.13.3.9")


@pytest.fixture
def workspace(tmp_path):
    workspace = Workspace(tmp_path / "tiny")
    for name in ("a", "b"):
        export(workspace, name, name.encode())
    return workspace


def export(workspace, name, content):
    """An ONNX file and its record, as far as files go."""
    workspace.onnx(name).parent.mkdir(parents=True, exist_ok=True)
    workspace.onnx(name).write_bytes(content)
    checks = '"graph": {"largest_probability_difference": 0, "class_agreement": 1}, "preprocessing": {"images": 1, '
    checks += '"largest_pixel_difference": 0, "mean_pixel_difference": 0, "class_agreement": 1}'
    text = f'{{"made_of": "", "gmacs": 1, "onnx_sha256": "{sha256(workspace.onnx(name))}", {checks}}}'
    workspace.export_record(name).write_text(text)


@pytest.fixture
def built(monkeypatch):
    """What was built, by a builder that needs no GPU."""
    calls = []

    def build(_, onnx, options, cache):
        calls.append((onnx.stem, options, cache))
        return b"plan of " + onnx.read_bytes(), b"timings"

    monkeypatch.setattr(make, "build", build)
    return calls


def test_a_plan_is_made_once_and_again_when_anything_changes(workspace, built):
    assert make_plan(TRT, DEVICE, workspace, "a", OPTIONS)
    assert not make_plan(TRT, DEVICE, workspace, "a", OPTIONS)
    other = DEVICE.model_copy(update={"gpu": "NVIDIA H100"})
    assert make_plan(TRT, other, workspace, "a", OPTIONS)
    assert make_plan(SimpleNamespace(__version__="11.4"), other, workspace, "a", OPTIONS)
    assert make_plan(TRT, DEVICE, workspace, "a", PlanOptions(batch=(1, 4, 4)))
    export(workspace, "a", b"new weights")
    assert make_plan(TRT, DEVICE, workspace, "a", PlanOptions(batch=(1, 4, 4)))
    assert [cache for *_, cache in built] == [b"", b"", b"", b"timings", b"timings"]


def test_the_side_file_says_what_a_plan_is(workspace, built):
    make_plan(TRT, DEVICE, workspace, "a", OPTIONS)
    record = PlanRecord.required(workspace, "a")
    assert (record.tensorrt, record.device, record.options) == ("10.13.3.9", DEVICE, OPTIONS)
    assert (record.onnx_sha256, record.size_bytes) == (sha256(workspace.onnx("a")), len(b"plan of a"))


def test_a_full_disk_leaves_no_half_plan(workspace, built, monkeypatch):
    def full(path, write):
        if path.suffix == ".plan":
            raise OSError("disk full")
        path.parent.mkdir(exist_ok=True)
        write(path)

    make_plan(TRT, DEVICE, workspace, "a", OPTIONS)
    export(workspace, "a", b"new")
    monkeypatch.setattr(make, "write_whole", full)
    with pytest.raises(OSError, match="disk full"):
        make_plan(TRT, DEVICE, workspace, "a", OPTIONS)
    assert PlanRecord.of(workspace, "a") is None


def test_an_onnx_file_that_is_not_as_exported_is_refused(workspace, built):
    workspace.onnx("a").write_bytes(b"other")
    with pytest.raises(PlanError, match="run build-engines export again"):
        make_plan(TRT, DEVICE, workspace, "a", OPTIONS)
    workspace.onnx("b").unlink()
    with pytest.raises(PlanError, match="run build-engines export first"):
        make_plan(TRT, DEVICE, workspace, "b", OPTIONS)
    assert not built


def test_tensorrt_missing_or_of_an_unknown_major_is_a_message(monkeypatch):
    monkeypatch.setattr(tensorrt, "MODULES", ("no_such_tensorrt",))
    with pytest.raises(PlanError, match=r"cannot be imported .*make engines"):
        tensorrt.load_tensorrt()
    monkeypatch.setattr(tensorrt.importlib, "import_module", lambda _: SimpleNamespace(__version__="12.0.1"))
    with pytest.raises(PlanError, match=r"12\.0\.1 is not known here; use 10\.x or 11\.x"):
        tensorrt.load_tensorrt()


def test_no_driver_is_a_message():
    with pytest.raises(PlanError, match=r"no NVIDIA driver here .*make engines"):
        find_device("libno_such_cuda.so.1")


def test_a_driver_without_a_gpu_is_a_message(tmp_path):
    (tmp_path / "cuda.c").write_text("int cuInit(unsigned flags) { return 100; }")
    library = tmp_path / "libcuda.so.1"
    if subprocess.run(["cc", "-shared", "-fPIC", "-o", library, tmp_path / "cuda.c"], check=False).returncode:
        pytest.skip("no C compiler")
    with pytest.raises(PlanError, match="cuInit answered CUDA error 100"):
        find_device(str(library))


def test_the_command_prints_trtexecs_and_builds_the_rest(workspace, built, monkeypatch):
    folder = workspace.folder.parent
    pool = str(write_pool(folder, backbone_entry("a"), backbone_entry("b", max_batch_size=4)))
    arguments = ["plan", pool, "--build", str(folder), "--hardware-compatibility", "ampere_plus"]
    printed = CliRunner().invoke(app, [*arguments, "--trtexec"])
    first, second = printed.output.splitlines()
    assert "--minShapes=image:1x32x32x3 --optShapes=image:8x32x32x3 --maxShapes=image:8x32x32x3" in first
    assert "--maxShapes=image:4x32x32x3" in second
    assert "--hardwareCompatibilityLevel=ampere+" in first
    monkeypatch.setattr("build_engines.plans.command.load_tensorrt", lambda: TRT)
    monkeypatch.setattr("build_engines.plans.command.find_device", lambda: DEVICE)
    make_plan(TRT, DEVICE, workspace, "a", PlanOptions(batch=(1, 8, 8), hardware_compatibility="ampere_plus"))
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert [name for name, *_ in built] == ["a", "b"]
    assert "reused" in done.output


def test_the_builders_command_needs_no_torch():
    """NVIDIA's Triton container has none."""
    code = "import sys; sys.modules.update(torch=None, timm=None, onnx=None); import build_engines.cli"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
