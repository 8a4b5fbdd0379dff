"""One healthy repository, and one for each thing that can be wrong with it."""

from __future__ import annotations

import hashlib
import json
import shutil
from types import SimpleNamespace

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig
from typer.testing import CliRunner

from build_engines.cli import app
from build_engines.doctor import environment as doctor_environment
from build_engines.doctor.environment import Environment
from build_engines.doctor.examine import examine
from build_engines.plans.record import Device, PlanOptions, PlanRecord
from build_engines.pool.artifacts import PoolBuild
from build_engines.pool.manifest import ExportManifest, GraphAgreement, PreprocessingAgreement
from build_engines.pool.schema import load_pool
from build_engines.repository.backbone_entry import write_backbone
from build_engines.repository.cascade_entry import put_cascade
from build_engines.support.atomic_files import sha256
from cascade_core.spec import Cascade, Serving, Stage
from tests.support.helpers import CANVAS, LABELS, backbone_entry, write_pool

L4 = Device(gpu="NVIDIA L4", compute_capability="8.9", driver="580.95")


H100 = Device(gpu="NVIDIA H100", compute_capability="9.0", driver="580.95")


HERE = Environment("10.13.3.9", L4)
PLENTY = 10**9


@pytest.fixture
def pool(tmp_path):
    return load_pool(write_pool(tmp_path, backbone_entry("a"), backbone_entry("b")))


@pytest.fixture
def build(pool, tmp_path):
    """Exported and built, as far as files go."""
    build = PoolBuild.of(pool, tmp_path)
    for built in build:
        for file in (built.onnx, built.plan):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(built.name.encode())
        manifest = ExportManifest(
            made_of=built.source_fingerprint(),
            onnx_sha256=sha256(built.onnx),
            gmacs=1,
            graph=GraphAgreement(largest_probability_difference=0, class_agreement=1),
            preprocessing=PreprocessingAgreement(**dict.fromkeys(PreprocessingAgreement.model_fields, 1)),
        )
        built.manifest_file.write_text(manifest.model_dump_json())
        write_plan_record(built.plan_record_file, onnx_sha256=sha256(built.onnx))
    return build


def write_plan_record(path, **options):
    onnx_sha256 = options.pop("onnx_sha256")
    record = PlanRecord(
        onnx_sha256=onnx_sha256,
        plan_sha256=hashlib.sha256(path.stem.encode()).hexdigest(),
        tensorrt="10.13.3.9",
        device=L4,
        options=PlanOptions(batch=(1, 8, 8), **options),
        seconds=1,
        size_bytes=1,
    )
    path.write_text(record.model_dump_json())


@pytest.fixture
def repository(build, tmp_path):
    folder = tmp_path / "model_repository"
    for built, runtime in zip(build, ("tensorrt", "onnxruntime"), strict=True):
        write_backbone(built, folder, runtime)
    put_cascade(folder)
    write_cascade(folder)
    return folder


def write_cascade(folder, canvas=CANVAS, first="a", version=-1, serving=None, predicted_by=None):
    stages = (Stage(first, threshold=0.5, max_batch_size=8, version=version), Stage("b", max_batch_size=8))
    evidence = {"predicted_by": predicted_by}
    cascade = Cascade("tiny", canvas, LABELS, stages, serving=serving or Serving(), evidence=evidence)
    (folder / "cascade/cascade.json").write_text(cascade.to_json())


def complaints(repository, build=None, environment=HERE, shared_memory=PLENTY):
    findings = examine(repository, build, None, environment, shared_memory)
    return {finding.subject: finding.found for finding in findings if not finding.is_ok}


def test_a_healthy_repository(repository, build):
    assert complaints(repository, build) == {}
    assert complaints(repository, None, Environment(None, None)) == {}


def test_other_tensorrt(repository):
    found = complaints(repository, environment=Environment("11.4.0.106", L4))
    assert found == {"entry a": "its plan was built by TensorRT 10.13.3.9, the server has 11.4.0.106"}


def test_other_gpu(repository):
    found = complaints(repository, environment=Environment("10.13.3.9", H100))
    assert found == {"entry a": "its plan was built for NVIDIA L4 (8.9), this GPU is NVIDIA H100 (9.0)"}
    same_capability = L4.model_copy(update={"gpu": "NVIDIA L40S"})
    assert set(complaints(repository, environment=Environment("10.13.3.9", same_capability))) == {"entry a"}


@pytest.mark.parametrize(
    ("options", "environment", "fits"),
    [
        ({}, Environment("10.13.3", L4), True),
        ({}, Environment("10", L4), True),
        ({}, Environment("10.13.2", L4), False),
        ({}, Environment("10.13.3.9.1", L4), True),
        ({"version_compatible": True}, Environment("10.14.1", L4), True),
        ({"version_compatible": True}, Environment("10.13", L4), True),
        ({"version_compatible": True}, Environment("10.9.0", L4), False),
        ({"version_compatible": True}, Environment("11.4.0", L4), False),
        ({"hardware_compatibility": "ampere_plus"}, Environment("10.13.3.9", H100), True),
        ({"hardware_compatibility": "same_compute_capability"}, Environment("10.13.3.9", H100), False),
    ],
)
def test_compatible_plans(repository, build, options, environment, fits):
    write_plan_record(build["a"].plan_record_file, onnx_sha256=sha256(build["a"].onnx), **options)
    write_backbone(build["a"], repository, "tensorrt")
    assert (complaints(repository, environment=environment) == {}) is fits


def test_a_plan_older_than_its_onnx_file(repository, build):
    build["a"].onnx.write_bytes(b"newer")
    build["b"].onnx.write_bytes(b"newer")
    found = complaints(repository, build)
    assert found["entry a"] == "its plan is older than its ONNX file"
    assert found["entry b"].startswith("was not made from the current")


def test_an_entry_whose_backbone_left_the_pool_is_as_good_as_before(repository, tmp_path):
    smaller = PoolBuild.open(write_pool(tmp_path, backbone_entry("b")), tmp_path)
    assert complaints(repository, smaller) == {}
    smaller.onnx_folder.joinpath("a.onnx").write_bytes(b"newer")
    assert complaints(repository, smaller) == {"entry a": "its plan is older than its ONNX file"}


def test_a_stage_without_an_entry(repository):
    write_cascade(repository, first="c")
    assert complaints(repository) == {"stage c": "has no entry in the repository"}


def test_another_canvas(repository):
    write_cascade(repository, canvas=64)
    assert set(complaints(repository)) == {"stage a", "stage b"}
    assert complaints(repository)["stage a"] == "takes [32, 32, 3], the cascade's canvas is 64"


def test_other_labels_and_larger_batches(repository):
    edit_entry(repository, "a", lambda config: config.output[0].dims.append(2))
    edit_entry(repository, "b", lambda config: setattr(config, "max_batch_size", 4))
    found = complaints(repository)
    assert found["stage a"] == "returns [5, 2], the cascade has 5 labels"
    assert found["stage b"] == "takes batches of 4, cascade.json says 8"


def test_no_cascade_and_no_backbone(repository, tmp_path):
    (repository / "cascade/cascade.json").unlink()
    assert complaints(repository) == {"cascade.json": "is missing"}
    empty = tmp_path / "empty"
    assert complaints(empty)[str(empty)] == "contains no backbone"


def test_what_a_killed_command_left(repository):
    for name in (".a.99.partial", ".b.99.old"):
        shutil.copytree(repository / "a", repository / name)
    (repository / ".gitignore").touch()
    found = "is not a model, but Triton loads every folder and fails"
    assert complaints(repository) == {"folder .a.99.partial": found, "folder .b.99.old": found}


LACKS = "which the Python in NVIDIA's container lacks"


def test_nvidias_container_has_neither_onnx_runtime_nor_pytorch(repository, build):
    write_backbone(build["b"], repository, "embedded")
    assert complaints(repository, environment=Environment(None, None)) == {"entry b": f"needs ONNX Runtime, {LACKS}"}
    edit_entry(repository, "b", as_of_torch)
    assert complaints(repository, environment=Environment(None, None)) == {"entry b": f"needs PyTorch, {LACKS}"}


def as_of_torch(config):
    config.parameters["model.pt2_sha256"].string_value = config.parameters.pop("model.onnx_sha256").string_value


def test_an_embedded_repository_is_well_unless_a_tensorrt_is_named(repository, build, monkeypatch):
    for built in build:
        write_backbone(built, repository, "embedded")
    installed = SimpleNamespace(__version__="10.13.3.9")
    monkeypatch.setattr(doctor_environment, "load_tensorrt", lambda: installed)
    write_cascade(repository, serving=Serving(reach="in_process"))
    assert complaints(repository, environment=doctor_environment.find_environment(None)) == {}
    assert set(complaints(repository, environment=doctor_environment.find_environment("10.13.3"))) == {
        "entry a",
        "entry b",
        "stage a",
        "stage b",
    }


def test_too_little_shared_memory(repository):
    needed = 2 * 256 * CANVAS * CANVAS * 3
    assert complaints(repository, shared_memory=needed) == {}
    assert set(complaints(repository, shared_memory=needed - 1)) == {"shared memory"}


def edit_entry(repository, name, change):
    """Change an entry's configuration by hand."""
    path = repository / name / "config.pbtxt"
    config = text_format.Parse(path.read_text(), ModelConfig())
    change(config)
    path.write_text(text_format.MessageToString(config))


def test_a_plan_that_nobody_knows(repository):
    def hold_anything(config):
        config.parameters["plan.json_sha256"].string_value = sha256(repository / "a/1/plan.json")

    (repository / "a/1/plan.json").write_text("{}")
    edit_entry(repository, "a", hold_anything)
    assert complaints(repository)["entry a"].startswith("its plan has no readable plan.json")


def test_a_plan_of_smaller_batches(repository):
    edit_entry(repository, "a", lambda config: setattr(config, "max_batch_size", 16))
    assert complaints(repository) == {"entry a": "its plan takes batches of 8, config.pbtxt says 16"}


def test_an_unknown_runtime(repository):
    edit_entry(repository, "b", lambda config: setattr(config, "backend", "openvino"))
    assert complaints(repository) == {
        "entry b": "is for the backend openvino, not one of onnxruntime, python, tensorrt"
    }


def test_an_entry_of_another_hand(repository):
    edit_entry(repository, "b", lambda config: config.parameters.clear())
    assert complaints(repository)["entry b"].startswith("does not list its files")
    edit_entry(repository, "a", lambda config: setattr(config, "name", "other"))
    assert complaints(repository)["entry a"].startswith("is named other")
    edit_entry(repository, "a", lambda config: config.ClearField("input"))
    assert complaints(repository)["stage a"] == "takes nothing, the cascade's canvas is 32"


def test_plans_cannot_run_in_process(repository):
    write_cascade(repository, serving=Serving(reach="in_process"))
    assert complaints(repository) == {
        "stage a": "cannot run in process: its entry has no model.onnx",
        "stage b": "cannot run in process: the Python in NVIDIA's container has no ONNX Runtime",
    }
    write_cascade(repository, serving=Serving(reach="auto"))
    assert complaints(repository) == {}


@pytest.mark.parametrize(
    ("runtime", "is_same"),
    [
        ("tensorrt (model.plan, GPU)", True),
        ("tensorrt (model.plan, fp16, GPU)", True),
        ("tensorrt (model.plan2, GPU)", False),
        ("python (model.plan, GPU)", False),
        ("python (model.onnx, CPU)", False),
        (5, True),
    ],
)
def test_thresholds_of_another_runtime_are_told_and_no_fault(repository, runtime, is_same):
    write_cascade(repository, predicted_by={"a": runtime})
    findings = {finding.subject: finding for finding in examine(repository, None, None, HERE, PLENTY)}
    told = "" if is_same else f"; thresholds were chosen on {runtime}"
    assert (findings["stage a"].found, findings["stage a"].is_ok) == (f"fits its entry{told}", True)
    assert findings["stage b"].found == "fits its entry"


@pytest.mark.parametrize("predicted_by", [None, "python", ["a"]])
def test_evidence_of_another_hand(repository, predicted_by):
    write_cascade(repository, predicted_by=predicted_by)
    assert complaints(repository) == {}


def test_a_version_that_is_not_there(repository):
    write_cascade(repository, version=3)
    assert complaints(repository) == {"stage a": "has no version 3"}


def test_a_cascade_without_its_model(repository):
    (repository / "cascade/1/model.py").unlink()
    assert complaints(repository) == {"cascade": "has a cascade.json but no 1/model.py"}


def test_files_that_are_missing_or_damaged(repository):
    (repository / "a/1/model.plan").write_bytes(b"half")
    (repository / "b/1/model.onnx").unlink()
    (repository / "cascade/cascade.json").write_text(json.dumps({"name": "x"}))
    found = complaints(repository)
    assert found["entry a"] == "its model.plan has changed since it was written"
    assert found["entry b"] == "has no model.onnx"
    assert "cascade.json" in found
    (repository / "a/1/plan.json").unlink()
    assert complaints(repository)["entry a"] == "its model.plan has changed since it was written"
    (repository / "a/config.pbtxt").write_text("what: ever")
    assert "cannot be read" in complaints(repository)["entry a"]


def test_the_command(repository, pool, tmp_path, monkeypatch):
    monkeypatch.setattr(doctor_environment, "shared_memory_bytes", lambda: PLENTY)
    arguments = ["doctor", "--repository", str(repository), "--tensorrt", "10.13.3.9"]
    pool_options = ["--pool", str(pool.folder / "pool.yaml"), "--build", str(tmp_path)]
    done = CliRunner().invoke(app, [*arguments, *pool_options])
    assert done.exit_code == 0, done.output
    for size, says in (("1k", "0 MB; images in flight"), ("plenty", "such as 1g or 512m")):
        done = CliRunner(env={"COLUMNS": "200"}).invoke(app, [*arguments, "--shm-size", size])
        assert done.exit_code == 1
        assert says in done.output
    done = CliRunner(env={"COLUMNS": "200"}).invoke(app, [*arguments[:-1], "banana"])
    assert done.exit_code == 1
    assert "invalid TensorRT version 'banana'" in done.output
    log = tmp_path / "triton.log"
    log.write_text("incompatible device, expecting compute 7.5 got compute 8.6, please rebuild\n")
    done = CliRunner().invoke(app, [*arguments, "--log", str(log)])
    assert done.exit_code == 1
    assert "other GPU" in done.output
    assert CliRunner().invoke(app, ["doctor", "--repository", str(tmp_path / "none")]).exit_code == 1
