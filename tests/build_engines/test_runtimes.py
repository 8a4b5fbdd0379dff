"""The entries of the runtimes that NVIDIA's container runs."""

from __future__ import annotations

import pytest
from google.protobuf import text_format
from helpers import CANVAS
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup
from typer.testing import CliRunner

from build_engines.cli import app
from build_engines.errors import PlanError
from build_engines.files import sha256
from build_engines.plans.record import Device, PlanOptions, PlanRecord
from build_engines.runtimes import RUNTIMES
from build_engines.triton_repository import put_cascade, write_backbone
from build_engines.workspace import Workspace
from embedded_server.preflight import check_cascade

DEVICE = Device(gpu="NVIDIA L4", compute_capability="8.9", driver="580.95")


def put_plan(workspace, backbone, content=b"plan", **changes):
    """A plan as far as files go."""
    workspace.plan(backbone).parent.mkdir(parents=True, exist_ok=True)
    workspace.plan(backbone).write_bytes(content)
    record = PlanRecord(
        onnx_sha256=sha256(workspace.onnx(backbone)),
        plan_sha256=sha256(workspace.plan(backbone)),
        tensorrt="10.13.3.9",
        device=DEVICE,
        options=PlanOptions(batch=(1, 8, 8)),
        seconds=3,
        size_bytes=len(content),
    )
    workspace.plan_record(backbone).write_text(record.model_copy(update=changes).model_dump_json())


@pytest.fixture
def workspace(tiny_workspace, tmp_path):
    """One with the shared ONNX files and plans of its own."""
    (tmp_path / "onnx").symlink_to(tiny_workspace.folder / "onnx")
    return Workspace(tmp_path)


def entry(folder):
    return text_format.Parse((folder / "config.pbtxt").read_text(), ModelConfig())


def test_one_cascade_fits_every_runtime(tiny_pool, tiny_cascade, workspace, tmp_path):
    for runtime in RUNTIMES:
        repository = tmp_path / runtime
        for backbone in tiny_pool.backbones:
            put_plan(workspace, backbone.name)
            assert write_backbone(tiny_pool, backbone, workspace, repository, runtime)
            assert not write_backbone(tiny_pool, backbone, workspace, repository, runtime)
        put_cascade(repository)
        (repository / "cascade" / "cascade.json").write_text(tiny_cascade.to_json())
        assert check_cascade(repository) == tiny_cascade


def test_the_entry_of_a_plan(tiny_pool, workspace, tmp_path):
    put_plan(workspace, "small")
    write_backbone(tiny_pool, tiny_pool.backbone("small"), workspace, tmp_path / "r", "tensorrt")
    config = entry(tmp_path / "r/small")
    assert (config.platform, config.backend) == ("tensorrt_plan", "tensorrt")
    assert [(group.kind, group.count) for group in config.instance_group] == [(ModelInstanceGroup.KIND_GPU, 1)]
    assert config.HasField("dynamic_batching")
    assert [graph.batch_size for graph in config.optimization.cuda.graph_spec] == [1, 2, 4, 8]
    assert list(config.optimization.cuda.graph_spec[0].input["image"].dim) == [CANVAS, CANVAS, 3]
    assert [warmup.batch_size for warmup in config.model_warmup] == [1, 8]
    assert {file.name for file in (tmp_path / "r/small/1").iterdir()} == {"model.plan", "plan.json"}


def test_the_entry_for_tritons_onnx_runtime(tiny_pool, workspace, tmp_path):
    write_backbone(tiny_pool, tiny_pool.backbone("small"), workspace, tmp_path / "r", "onnxruntime")
    config = entry(tmp_path / "r/small")
    assert (config.platform, config.backend) == ("onnxruntime_onnx", "onnxruntime")
    assert config.instance_group[0].kind == ModelInstanceGroup.KIND_AUTO
    assert config.model_warmup[1].inputs["image"].zero_data
    assert [file.name for file in (tmp_path / "r/small/1").iterdir()] == ["model.onnx"]


def test_a_new_plan_makes_a_new_entry(tiny_pool, workspace, tmp_path):
    backbone = tiny_pool.backbone("small")
    put_plan(workspace, "small")
    write_backbone(tiny_pool, backbone, workspace, tmp_path / "r", "tensorrt")
    put_plan(workspace, "small", b"other")
    assert write_backbone(tiny_pool, backbone, workspace, tmp_path / "r", "tensorrt")
    assert (tmp_path / "r/small/1/model.plan").read_bytes() == b"other"


def test_a_plan_that_is_missing_damaged_or_old_is_refused(tiny_pool, workspace, tmp_path):
    def write():
        write_backbone(tiny_pool, tiny_pool.backbone("small"), workspace, tmp_path / "r", "tensorrt")

    with pytest.raises(PlanError, match=r"no whole .*small.plan; run build-engines plan"):
        write()
    put_plan(workspace, "small", plan_sha256="of another")
    with pytest.raises(PlanError, match="no whole"):
        write()
    put_plan(workspace, "small", onnx_sha256="of another")
    with pytest.raises(PlanError, match="older ONNX file"):
        write()
    assert not (tmp_path / "r").exists()


def test_the_command_writes_every_runtime(tiny_pool, tiny_workspace, tmp_path):
    pool = str(tiny_pool.folder / "pool.yaml")
    options = ["--build", str(tiny_workspace.folder.parent), "--output", str(tmp_path)]
    done = CliRunner().invoke(app, ["repository", pool, *options, "--runtime", "onnxruntime"])
    assert done.exit_code == 0, done.output
    missing = CliRunner().invoke(app, ["repository", pool, *options, "--runtime", "tensorrt"])
    assert missing.exit_code == 1
    assert "build-engines plan" in missing.output
