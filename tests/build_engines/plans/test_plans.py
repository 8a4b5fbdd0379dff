"""Plans: made once, whole or not at all, with what they hold for; and a message where they cannot be made."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import sysconfig
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
from typer.testing import CliRunner

from build_engines.cli import app
from build_engines.errors import CheckError, PlanError
from build_engines.plans import make, tensorrt
from build_engines.plans.device import find_device
from build_engines.plans.make import make_plan
from build_engines.plans.record import Device, PlanAgreement, PlanOptions, PlanRecord
from build_engines.pool.artifacts import PoolBuild
from build_engines.support.atomic_files import sha256
from tests.support.helpers import backbone_entry, write_pool

DEVICE = Device(gpu="NVIDIA L4", compute_capability="8.9", driver="580.95")
OPTIONS = PlanOptions(batch=(1, 8, 8))
TRT = SimpleNamespace(__version__="10.13.3.9")
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


@pytest.fixture
def build(tmp_path):
    build = PoolBuild.open(write_pool(tmp_path, backbone_entry("a"), backbone_entry("b")), tmp_path)
    for name in ("a", "b"):
        export(build, name, name.encode())
    return build


def export(build, name, content):
    """An ONNX file and its record, as far as files go."""
    build[name].onnx.parent.mkdir(parents=True, exist_ok=True)
    build[name].onnx.write_bytes(content)
    checks = '"graph": {"largest_probability_difference": 0, "class_agreement": 1}, "preprocessing": {"images": 1, '
    checks += '"largest_pixel_difference": 0, "mean_pixel_difference": 0, "class_agreement": 1}'
    text = f'{{"made_of": "", "gmacs": 1, "onnx_sha256": "{sha256(build[name].onnx)}", {checks}}}'
    build[name].manifest_file.write_text(text)


@pytest.fixture
def built(monkeypatch):
    """What was built, by a builder that needs no GPU."""
    calls = []

    def build_plan(_, onnx, options, cache):
        calls.append((onnx.stem, options, cache))
        return b"plan of " + onnx.read_bytes(), b"timings"

    monkeypatch.setattr(make, "build_plan", build_plan)
    return calls


def test_a_plan_is_made_once_and_again_when_anything_changes(build, built):
    assert make_plan(TRT, DEVICE, build["a"], OPTIONS)
    assert not make_plan(TRT, DEVICE, build["a"], OPTIONS)
    other = DEVICE.model_copy(update={"gpu": "NVIDIA H100"})
    assert make_plan(TRT, other, build["a"], OPTIONS)
    assert make_plan(SimpleNamespace(__version__="11.4"), other, build["a"], OPTIONS)
    assert make_plan(TRT, DEVICE, build["a"], PlanOptions(batch=(1, 4, 4)))
    export(build, "a", b"new weights")
    assert make_plan(TRT, DEVICE, build["a"], PlanOptions(batch=(1, 4, 4)))
    assert [cache for *_, cache in built] == [b"", b"", b"", b"timings", b"timings"]


def test_the_side_file_says_what_a_plan_is(build, built):
    make_plan(TRT, DEVICE, build["a"], OPTIONS)
    record = PlanRecord.required(build["a"])
    assert (record.tensorrt, record.device, record.options) == ("10.13.3.9", DEVICE, OPTIONS)
    assert (record.onnx_sha256, record.size_bytes) == (sha256(build["a"].onnx), len(b"plan of a"))
    assert record.plan_sha256 == sha256(build["a"].plan)


@contextmanager
def files_of_at_most(size_bytes):
    """As on a full disk: the kernel refuses to write on."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_fills_up_leaves_no_half_plan_and_the_earlier_ones(build, monkeypatch):
    plans = iter([b"small", b"x" * 10_000_000, b"y" * 10_000_000])
    monkeypatch.setattr(make, "build_plan", lambda *_: (next(plans), b"timings"))
    make_plan(TRT, DEVICE, build["a"], OPTIONS)
    earlier = PlanRecord.of(build["a"])
    before = sorted(build["a"].plan.parent.iterdir())
    export(build, "a", b"new")
    with files_of_at_most(1_000_000):
        for name in ("a", "b"):
            with pytest.raises(PlanError, match=r"cannot write .*; free 10\.0 MB and rerun"):
                make_plan(TRT, DEVICE, build[name], OPTIONS)
    assert sorted(build["a"].plan.parent.iterdir()) == before
    assert PlanRecord.of(build["a"]) == earlier
    assert build["a"].plan.read_bytes() == b"small"


def test_a_plan_whose_side_file_was_not_written_counts_as_none(build, built, monkeypatch):
    make_plan(TRT, DEVICE, build["a"], OPTIONS)
    export(build, "a", b"new")
    monkeypatch.setattr(make, "_write_record", interrupt)
    with pytest.raises(KeyboardInterrupt):
        make_plan(TRT, DEVICE, build["a"], OPTIONS)
    assert build["a"].plan.read_bytes() == b"plan of new"
    assert PlanRecord.of(build["a"]) is None


def interrupt(*_):
    raise KeyboardInterrupt


def test_a_plan_that_answers_otherwise_is_not_kept(build, built):
    def refuse(plan):
        raise CheckError(plan.decode())

    with pytest.raises(CheckError, match="plan of a"):
        make_plan(TRT, DEVICE, build["a"], OPTIONS, refuse)
    assert not build["a"].plan.exists()
    make_plan(TRT, DEVICE, build["a"], OPTIONS)
    assert [cache for *_, cache in built] == [b"", b"timings"], "what TensorRT measured was lost with the plan"
    with pytest.raises(CheckError):
        make_plan(TRT, DEVICE, build["a"], OPTIONS, refuse)
    assert not build["a"].plan.exists()
    assert PlanRecord.of(build["a"]) is None


def test_a_plan_is_compared_once_also_if_that_was_impossible_when_it_was_built(build, built):
    compared = []

    def check(plan):
        compared.append(plan)
        return PlanAgreement(images=16, largest_probability_difference=0.001, class_agreement=1)

    make_plan(TRT, DEVICE, build["a"], OPTIONS)
    assert PlanRecord.required(build["a"]).check is None
    for _ in range(2):
        assert not make_plan(TRT, DEVICE, build["a"], OPTIONS, check)
    make_plan(TRT, DEVICE, build["b"], OPTIONS, check)
    assert compared == [b"plan of a", b"plan of b"]
    assert PlanRecord.required(build["a"]).check.largest_probability_difference == 0.001


def test_an_onnx_file_that_is_not_as_exported_is_refused(build, built):
    build["a"].onnx.write_bytes(b"other")
    with pytest.raises(PlanError, match="run build-engines export again"):
        make_plan(TRT, DEVICE, build["a"], OPTIONS)
    build["b"].onnx.unlink()
    with pytest.raises(PlanError, match="run build-engines export first"):
        make_plan(TRT, DEVICE, build["b"], OPTIONS)
    build["a"].manifest_file.write_bytes(b"\xff")
    with pytest.raises(PlanError, match="run build-engines export first"):
        make_plan(TRT, DEVICE, build["a"], OPTIONS)
    assert not built


def test_tensorrt_missing_or_of_an_unknown_major_is_a_message(monkeypatch):
    monkeypatch.setattr(tensorrt, "MODULES", ("no_such_tensorrt",))
    with pytest.raises(PlanError, match=r"cannot be imported .*make engines"):
        tensorrt.load_tensorrt()
    monkeypatch.setattr(tensorrt.importlib, "import_module", lambda _: SimpleNamespace(__version__="12.0.1"))
    with pytest.raises(PlanError, match=r"12\.0\.1 is not supported; use 10\.x or 11\.x"):
        tensorrt.load_tensorrt()


def test_a_builder_that_gives_nothing_is_a_message_with_its_reason(tmp_path):
    """As where the GPU has no memory for the batch range."""
    trt = MagicMock(__version__="10.13.3.9", ILogger=type("ILogger", (), {"Severity": MagicMock()}))

    def build(*_):
        logger = trt.Builder.call_args.args[0]
        logger.log(trt.ILogger.Severity.ERROR, "Requested amount of GPU memory (42 bytes) could not be allocated.")

    trt.Builder.return_value.build_serialized_network.side_effect = build
    trt.Builder.return_value.create_network.return_value.get_input.return_value.shape = (-1, 8, 8, 3)
    with pytest.raises(PlanError, match=r"GPU memory \(42 bytes\).*lower max_batch_size in the pool file"):
        tensorrt.build_plan(trt, tmp_path / "a.onnx", OPTIONS, b"")
    trt.OnnxParser.return_value.parse_from_file.return_value = False
    trt.OnnxParser.return_value.num_errors = 1
    trt.OnnxParser.return_value.get_error.return_value = "no such operator"
    with pytest.raises(PlanError, match=r"cannot parse .*a\.onnx: no such operator"):
        tensorrt.build_plan(trt, tmp_path / "a.onnx", OPTIONS, b"")


def test_a_damaged_timing_cache_is_begun_anew(tmp_path):
    trt = MagicMock(__version__="10.13.3.9", ILogger=type("ILogger", (), {"Severity": MagicMock()}))
    trt.Builder.return_value.create_network.return_value.get_input.return_value.shape = (-1, 8, 8, 3)
    trt.Builder.return_value.build_serialized_network.return_value = b"plan"
    config = trt.Builder.return_value.create_builder_config.return_value
    config.create_timing_cache.side_effect = lambda content: None if content == b"damaged" else "empty"
    config.get_timing_cache.return_value.serialize.return_value = b"timings"
    assert tensorrt.build_plan(trt, tmp_path / "a.onnx", OPTIONS, b"damaged") == (b"plan", b"timings")
    config.set_timing_cache.assert_called_once_with("empty", False)


def test_no_driver_is_a_message():
    with pytest.raises(PlanError, match=r"no NVIDIA driver here .*make engines"):
        find_device("libno_such_cuda.so.1")


def test_a_driver_without_a_gpu_is_a_message(tmp_path):
    (tmp_path / "cuda.c").write_text("int cuInit(unsigned flags) { return 100; }")
    library = tmp_path / "libcuda.so.1"
    if subprocess.run(["cc", "-shared", "-fPIC", "-o", library, tmp_path / "cuda.c"], check=False).returncode:
        pytest.skip("no C compiler")
    with pytest.raises(PlanError, match="cuInit returned CUDA error 100"):
        find_device(str(library))


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


def test_what_is_not_for_lack_of_room_is_not_said_to_be(build, built):
    build["a"].plan.mkdir(parents=True)
    with pytest.raises(PlanError, match=r"cannot write .*; fix it and rerun"):
        make_plan(TRT, DEVICE, build["a"], OPTIONS)


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
