from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from google.protobuf import text_format
from torch import nn
from tritonclient.grpc.model_config_pb2 import ModelConfig

from build_engines.errors import BuildError, CheckError
from build_engines.export import parity as checks
from build_engines.export.backbone import export_backbone
from build_engines.export.onnx_lint import leftovers
from build_engines.export.parity import check_preprocessing, compare_preprocessing
from build_engines.export.preprocessing import DataConfig, Preprocessing, ServedBackbone, resize_matrix
from build_engines.export.source import source_of
from build_engines.images.samples import sample_canvases
from build_engines.pool.artifacts import PoolBuild
from build_engines.pool.schema import TimmBackbone, load_pool
from build_engines.repository.backbone_entry import write_backbone
from tests.support.helpers import CANVAS, CLASSES, backbone_entry, random_canvases, save_random_weights, write_pool

BRIGHTEST_CHANNEL = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
BACKBONE = TimmBackbone(**backbone_entry("photographs"))
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.mark.parametrize(
    ("canvas", "input_size", "crop_pct"),
    [
        (48, 16, 1.0),
        (48, 32, 0.875),
        (48, 48, 1.0),
        (224, 224, 0.95),
        (384, 224, 0.875),
        (384, 299, 0.9),
        (64, 96, 0.9),
    ],
)
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_fused_preprocessing_agrees_with_timm_on_photographs(canvas, input_size, crop_pct, interpolation):
    data = DataConfig(input_size, crop_pct, interpolation, MEAN, STD)
    served_backbone = ServedBackbone(Preprocessing(canvas, data), BRIGHTEST_CHANNEL)
    seen = compare_preprocessing(served_backbone, data, sample_canvases(canvas))
    check_preprocessing(BACKBONE, seen)
    assert seen.images == 16
    assert seen.mean_pixel_difference <= 0.5


def test_wrong_preprocessing_is_caught():
    data = DataConfig(32, 0.875, "bicubic", MEAN, STD)
    cropped_too_far = Preprocessing(48, DataConfig(32, 0.7, "bicubic", MEAN, STD))
    seen = compare_preprocessing(ServedBackbone(cropped_too_far, BRIGHTEST_CHANNEL), data, sample_canvases(48))
    with pytest.raises(CheckError, match="fused preprocessing differs"):
        check_preprocessing(BACKBONE, seen)


@pytest.mark.parametrize(("canvas", "input_size", "crop_pct"), [(48, 16, 1.0), (384, 224, 0.875), (32, 48, 0.9)])
def test_a_flat_image_stays_flat(canvas, input_size, crop_pct):
    rows = resize_matrix(canvas, DataConfig(input_size, crop_pct, "bicubic", MEAN, STD)).sum(dim=1)
    torch.testing.assert_close(rows, torch.ones(input_size))


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_the_onnx_file_answers_as_pytorch_does(tiny_build, batch):
    images = random_canvases(batch, seed=3)
    session = onnxruntime.InferenceSession(tiny_build["small"].onnx, providers=["CPUExecutionProvider"])
    (probabilities,) = session.run(None, {"image": images})
    with torch.inference_mode():
        expected = source_of(tiny_build["small"]).torch_module()(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_the_onnx_file_is_one_file_of_opset_20_without_local_paths(tiny_build):
    path = tiny_build["small"].onnx
    model = onnx.load(path)
    assert model.opset_import[0].version == 20
    assert b"/" + b"site-packages" not in path.read_bytes()
    assert __file__.rsplit("/", 2)[0].encode() not in path.read_bytes()
    assert [entry.name for entry in path.parent.glob("small*")] in (
        ["small.onnx", "small.json"],
        ["small.json", "small.onnx"],
    )
    (image,) = model.graph.input
    dims = image.type.tensor_type.shape.dim
    assert image.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert [d.dim_value for d in dims][1:] == [CANVAS, CANVAS, 3]
    assert dims[0].dim_param


def test_cnn_graphs_have_no_leftover_of_the_channel_order(tmp_path):
    """Without .contiguous() after permute the exporter indexes the batch by Range and Gather."""
    entry = backbone_entry("cnn", architecture="resnet10t", arguments={}, input_size=32)
    pool = load_pool(write_pool(tmp_path, entry))
    save_random_weights(pool)
    build = PoolBuild.of(pool, tmp_path)
    export_backbone(build["cnn"], random_canvases(4))
    operators = {node.op_type for node in onnx.load(build["cnn"].onnx).graph.node}
    assert not operators & {"Range", "Gather", "Resize", "BatchNormalization"}


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_vit_asks_nothing_of_bytes_but_their_cast(tmp_path, precision):
    """Its class token is as many times there as there are images, which the exporter reads off the input."""
    pool = load_pool(write_pool(tmp_path, backbone_entry("vit", precision=precision)))
    save_random_weights(pool)
    build = PoolBuild.of(pool, tmp_path)
    export_backbone(build["vit"], random_canvases(4))
    model = onnx.load(build["vit"].onnx)
    assert [node.op_type for node in model.graph.node if "image" in node.input] == ["Cast"]
    assert leftovers(model) == []
    cast = model.graph.node[0].output[0]
    assert "Shape" in {node.op_type for node in model.graph.node if cast in node.input}
    assert "Cast" not in {node.op_type for node in model.graph.node if cast in node.input}


def test_a_file_that_disagrees_is_not_kept(tiny_pool, tmp_path, monkeypatch):
    monkeypatch.setitem(checks.PROBABILITY_TOLERANCES, "fp32", -1.0)
    build = PoolBuild.of(tiny_pool, tmp_path)
    with pytest.raises(CheckError, match="was not kept"):
        export_backbone(build["small"], random_canvases(4))
    assert list(build["small"].onnx.parent.iterdir()) == []


def test_an_export_is_reused_until_weights_or_pool_change(tmp_path):
    pool = load_pool(write_pool(tmp_path, backbone_entry("a")))
    save_random_weights(pool)
    build = PoolBuild.of(pool, tmp_path)
    export_backbone(build["a"], random_canvases(4))
    assert build["a"].manifest()

    cropped = PoolBuild.open(write_pool(tmp_path, backbone_entry("a", crop_pct=0.5)), tmp_path)
    assert cropped["a"].manifest() is None
    save_random_weights(pool, seed=5)
    assert build["a"].manifest() is None


def test_a_damaged_onnx_file_is_not_reused(tmp_path):
    pool = load_pool(write_pool(tmp_path, backbone_entry("a")))
    save_random_weights(pool)
    build = PoolBuild.of(pool, tmp_path)
    export_backbone(build["a"], random_canvases(4))
    build["a"].onnx.write_bytes(build["a"].onnx.read_bytes()[:-1])
    with pytest.raises(BuildError, match="run build-engines export"):
        build["a"].require_manifest()


def test_a_record_that_is_no_text_counts_as_none(tiny_pool, tmp_path):
    build = PoolBuild.of(tiny_pool, tmp_path)
    build["small"].manifest_file.parent.mkdir(parents=True)
    build["small"].manifest_file.write_bytes(b"\xff")
    assert build["small"].manifest() is None


def test_a_triton_entry_is_written_once(tiny_build, tmp_path):
    small = tiny_build["small"]
    assert write_backbone(small, tmp_path, "embedded").is_new
    assert not write_backbone(small, tmp_path, "embedded").is_new
    config = text_format.Parse((tmp_path / "small" / "config.pbtxt").read_text(), ModelConfig())
    assert list(config.input[0].dims) == [CANVAS, CANVAS, 3]
    assert list(config.output[0].dims) == [CLASSES]
    assert config.max_batch_size == small.backbone.max_batch_size
    assert config.HasField("dynamic_batching")


def test_an_entry_is_whole_or_as_it_was(tiny_build, tmp_path, monkeypatch):
    small = tiny_build["small"]
    write_backbone(small, tmp_path, "embedded")
    before = (tmp_path / "small" / "config.pbtxt").read_text()
    bigger = replace(small, backbone=small.backbone.model_copy(update={"max_batch_size": 4}))
    monkeypatch.setattr(
        "build_engines.repository.entry.shutil.copyfile", lambda *_: (_ for _ in ()).throw(OSError("disk full"))
    )
    with pytest.raises(OSError, match="disk full"):
        write_backbone(bigger, tmp_path, "embedded")
    assert (tmp_path / "small" / "config.pbtxt").read_text() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["small"]


def test_an_unknown_runtime_is_refused(tiny_build, tmp_path):
    with pytest.raises(BuildError, match="known are embedded"):
        write_backbone(tiny_build["small"], tmp_path, "abacus")


def test_data_config_comes_from_timm_unless_the_pool_says_otherwise(tmp_path):
    entry = backbone_entry("a", architecture="mobilenetv2_100", arguments={}, input_size=64)
    del entry["crop_pct"]
    pool = load_pool(write_pool(tmp_path, entry, backbone_entry("b", mean=[0.1, 0.2, 0.3])))
    save_random_weights(pool)
    taken, overridden = (source_of(built).open().data for built in PoolBuild.of(pool, tmp_path))
    assert (taken.crop_pct, taken.interpolation, taken.mean) == (0.875, "bicubic", MEAN)
    assert overridden.mean == (0.1, 0.2, 0.3)
