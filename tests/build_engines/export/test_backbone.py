"""An exported backbone answers as PyTorch does, or is not kept."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from build_engines.errors import CheckError
from build_engines.export import parity as checks
from build_engines.export.backbone import export_backbone
from build_engines.export.onnx_lint import leftovers
from build_engines.export.source import source_of
from build_engines.pool.artifacts import PoolBuild
from build_engines.pool.schema import load_pool
from tests.support.helpers import CANVAS, backbone_entry, random_canvases, save_random_weights, write_pool

pytestmark = pytest.mark.usefixtures("graphs_made_once")


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
