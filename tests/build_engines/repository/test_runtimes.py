"""The entries of the runtimes that NVIDIA's container runs."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup
from typer.testing import CliRunner

from build_engines.cli import app
from build_engines.doctor.environment import Environment
from build_engines.doctor.examine import examine
from build_engines.doctor.log import inspect_log
from build_engines.errors import PlanError
from build_engines.plans.record import Device, PlanOptions, PlanRecord
from build_engines.pool.artifacts import PoolBuild
from build_engines.repository.backbone_entry import write_backbone
from build_engines.repository.runtimes import RUNTIMES
from build_engines.repository.writer import write_repository
from build_engines.support.atomic_files import sha256
from embedded_server import EmbeddedServer, EmbeddedServerError
from embedded_server.preflight import check_cascade
from tests.support.helpers import CANVAS, onnx_probabilities, random_canvases
from tests.support.serving import ask

DEVICE = Device(gpu="NVIDIA L4", compute_capability="8.9", driver="580.95")


def put_plan(build, backbone, content=b"plan", **changes):
    """A plan as far as files go."""
    build[backbone].plan.parent.mkdir(parents=True, exist_ok=True)
    build[backbone].plan.write_bytes(content)
    record = PlanRecord(
        onnx_sha256=sha256(build[backbone].onnx),
        plan_sha256=sha256(build[backbone].plan),
        tensorrt="10.13.3.9",
        device=DEVICE,
        options=PlanOptions(batch=(1, 8, 8)),
        seconds=3,
        size_bytes=len(content),
    )
    build[backbone].plan_record_file.write_text(record.model_copy(update=changes).model_dump_json())


@pytest.fixture
def build(tiny_build, tmp_path):
    """One with the shared ONNX files and plans of its own."""
    (tmp_path / "onnx").symlink_to(tiny_build.folder / "onnx")
    return PoolBuild(tiny_build.pool, tmp_path)


def entry(folder):
    return text_format.Parse((folder / "config.pbtxt").read_text(), ModelConfig())


def write_served(cascade, build, repository, runtime):
    for built in build:
        put_plan(build, built.name)
    for is_new in (True, False):
        entries = write_repository(build, repository, runtime, encoded=False)
        assert [entry.is_new for entry in entries] == [is_new] * len(build)
    (repository / "cascade" / "cascade.json").write_text(cascade.to_json())


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_one_cascade_fits_every_runtime(tiny_pool, tiny_cascade, build, tmp_path, runtime):
    write_served(tiny_cascade, build, tmp_path / "r", runtime)
    assert check_cascade(tmp_path / "r") == tiny_cascade
    findings = examine(tmp_path / "r", build, None, Environment(None, None), 10**9)
    assert [finding for finding in findings if not finding.is_ok] == []
    for backbone in tiny_pool.backbones:
        config = entry(tmp_path / "r" / backbone.name)
        assert (config.name, config.max_batch_size) == (backbone.name, backbone.max_batch_size)
        check_by_tritons_rules(config)


def check_by_tritons_rules(config):
    """What Triton would refuse the entry for, as far as a configuration of ours can break it."""
    inputs = {tensor.name: (tensor.data_type, list(tensor.dims)) for tensor in config.input}
    assert all(1 <= size <= config.max_batch_size for size in config.dynamic_batching.preferred_batch_size)
    assert len({warmup.name for warmup in config.model_warmup}) == len(config.model_warmup)
    for warmup in config.model_warmup:
        assert 1 <= warmup.batch_size <= config.max_batch_size
        given = {name: (tensor.data_type, list(tensor.dims)) for name, tensor in warmup.inputs.items()}
        assert given == inputs
        assert all(tensor.WhichOneof("input_data_type") == "zero_data" for tensor in warmup.inputs.values())
    graphs = config.optimization.cuda.graph_spec
    assert len({graph.batch_size for graph in graphs}) == len(graphs)
    for graph in graphs:
        assert 1 <= graph.batch_size <= config.max_batch_size
        assert {name: list(shape.dim) for name, shape in graph.input.items()} == {n: d for n, (_, d) in inputs.items()}
    for group in config.instance_group:
        assert group.count >= 1
        assert group.kind in (ModelInstanceGroup.KIND_GPU, ModelInstanceGroup.KIND_CPU, ModelInstanceGroup.KIND_AUTO)


IN_NVIDIAS_CONTAINER = ("onnxruntime", "tensorrt")


@pytest.mark.parametrize("runtime", IN_NVIDIAS_CONTAINER)
def test_triton_misses_nothing_but_the_backend(tiny_pool, tiny_cascade, build, tmp_path, runtime):
    """The embedded server has none of these two; it reads an entry before it looks for the backend."""
    write_served(tiny_cascade, build, tmp_path / "r", runtime)
    reason = f"unable to find backend library for backend '{runtime}'"
    log = tmp_path / "triton.log"
    with pytest.raises(EmbeddedServerError) as raised, EmbeddedServer(tmp_path / "r", log_file=log):
        pass
    assert str(raised.value).count(reason) == len(tiny_pool.backbones)
    assert "cascade:" not in str(raised.value)
    assert "cascade: stages are reached by BLS" in log.read_text()
    with log.open() as lines:
        assert inspect_log(lines)[0].subject == "log: other server"


@pytest.mark.parametrize("runtime", IN_NVIDIAS_CONTAINER)
def test_triton_takes_the_rest_of_the_entry(tiny_pool, tiny_cascade, build, tmp_path, runtime):
    """With the embedded runtime put in for the backend: batching, warm-up and CUDA graphs are as they were written."""
    write_served(tiny_cascade, build, tmp_path / "r", runtime)
    for name, file in RUNTIMES["embedded"].files(build["small"]).items():
        shutil.copyfile(file, tmp_path / "r/small/1" / name)
    config = entry(tmp_path / "r/small")
    for field in ("backend", "platform", "default_model_filename", "instance_group"):
        config.ClearField(field)
    RUNTIMES["embedded"].configure(config)
    (tmp_path / "r/small/config.pbtxt").write_text(text_format.MessageToString(config))
    images = random_canvases(5)
    with EmbeddedServer(tmp_path / "r", models=["small"], log_file=tmp_path / "triton.log") as server:
        answers = ask(server, "small", images)["probabilities"]
    np.testing.assert_allclose(answers, onnx_probabilities(build["small"].onnx, images), atol=1e-6)
    assert "error" not in (tmp_path / "triton.log").read_text().lower()


def test_the_entry_of_a_plan(build, tmp_path):
    put_plan(build, "small")
    write_backbone(build["small"], tmp_path / "r", "tensorrt")
    config = entry(tmp_path / "r/small")
    assert (config.platform, config.backend) == ("tensorrt_plan", "tensorrt")
    assert [(group.kind, group.count) for group in config.instance_group] == [(ModelInstanceGroup.KIND_GPU, 1)]
    assert config.HasField("dynamic_batching")
    assert [graph.batch_size for graph in config.optimization.cuda.graph_spec] == [1, 2, 4, 8]
    assert list(config.optimization.cuda.graph_spec[0].input["image"].dim) == [CANVAS, CANVAS, 3]
    assert [warmup.batch_size for warmup in config.model_warmup] == [1, 8]
    assert {file.name for file in (tmp_path / "r/small/1").iterdir()} == {"model.plan", "plan.json"}


def test_the_entry_for_tritons_onnx_runtime(build, tmp_path):
    write_backbone(build["small"], tmp_path / "r", "onnxruntime")
    config = entry(tmp_path / "r/small")
    assert (config.platform, config.backend) == ("onnxruntime_onnx", "onnxruntime")
    assert config.instance_group[0].kind == ModelInstanceGroup.KIND_AUTO
    assert config.model_warmup[1].inputs["image"].zero_data
    assert [file.name for file in (tmp_path / "r/small/1").iterdir()] == ["model.onnx"]


def test_a_new_plan_makes_a_new_entry(tiny_pool, build, tmp_path):
    backbone = tiny_pool.backbone("small")
    put_plan(build, "small")
    write_backbone(build[backbone.name], tmp_path / "r", "tensorrt")
    put_plan(build, "small", b"other")
    assert write_backbone(build[backbone.name], tmp_path / "r", "tensorrt").is_new
    assert (tmp_path / "r/small/1/model.plan").read_bytes() == b"other"


@pytest.mark.parametrize("name", ["model.onnx", "model.py"])
def test_a_damaged_entry_is_written_again(tiny_pool, build, tmp_path, name):
    """So the doctor advises."""
    (backbone, *_), repository = tiny_pool.backbones, tmp_path / "r"
    write_backbone(build[backbone.name], repository, "embedded")
    file = repository / backbone.name / "1" / name
    whole = file.read_bytes()
    file.write_bytes(b"half")
    assert write_backbone(build[backbone.name], repository, "embedded").is_new
    assert file.read_bytes() == whole
    file.unlink()
    assert write_backbone(build[backbone.name], repository, "embedded").is_new
    assert not write_backbone(build[backbone.name], repository, "embedded").is_new


def test_a_plan_that_is_missing_damaged_old_or_too_small_is_refused(build, tmp_path):
    def write():
        write_backbone(build["small"], tmp_path / "r", "tensorrt")

    with pytest.raises(PlanError, match=r"no intact .*small.plan; run build-engines plan"):
        write()
    put_plan(build, "small", plan_sha256="of another")
    with pytest.raises(PlanError, match="no intact"):
        write()
    put_plan(build, "small", onnx_sha256="of another")
    with pytest.raises(PlanError, match="older ONNX file"):
        write()
    put_plan(build, "small", options=PlanOptions(batch=(1, 2, 2)))
    with pytest.raises(PlanError, match="takes batches of 2, the pool file says 8"):
        write()
    assert not (tmp_path / "r").exists()


def test_the_command_writes_every_runtime(tiny_pool, tiny_build, tmp_path):
    pool = str(tiny_pool.folder / "pool.yaml")
    options = ["--build", str(tiny_build.folder.parent), "--output", str(tmp_path)]
    done = CliRunner().invoke(app, ["repository", pool, *options, "--runtime", "onnxruntime"])
    assert done.exit_code == 0, done.output
    missing = CliRunner().invoke(app, ["repository", pool, *options, "--runtime", "tensorrt"])
    assert missing.exit_code == 1
    assert "build-engines plan" in missing.output
