"""FP16: the body is cast, preprocessing and softmax are not, and the answers hardly change."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from build_engines.errors import BuildError, CheckError
from build_engines.export.backbone import export_backbone
from build_engines.export.fp16 import to_fp16
from build_engines.export.parity import PROBABILITY_TOLERANCES
from build_engines.images.opening import open_images
from build_engines.images.samples import comparison_images
from build_engines.pool.artifacts import PoolBuild
from build_engines.pool.schema import load_pool
from tests.support.graphs import made_once_for_all_tests
from tests.support.helpers import backbone_entry, onnx_probabilities, random_canvases, save_random_weights, write_pool

ROOT = Path(__file__).parents[3]
DIGITS = ROOT / "build" / "digits"
SMALL = {
    "vit": {},
    "resnet": {"architecture": "resnet10t", "arguments": {}, "input_size": 32},
    "mobilenetv2": {"architecture": "mobilenetv2_035", "arguments": {}, "input_size": 32},
    "efficientnet": {"architecture": "tf_efficientnet_lite0", "arguments": {}, "input_size": 32},
}
pytestmark = pytest.mark.usefixtures("graphs_made_once")


@pytest.fixture(scope="module", params=SMALL)
def half_file(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    pool = load_pool(write_pool(folder, backbone_entry("a", **SMALL[request.param])))
    pool = pool.variant(random_weights=True, precision="fp16")
    build = PoolBuild.of(pool, folder)
    with made_once_for_all_tests(tmp_path_factory), pytest.MonkeyPatch.context() as patch:
        patch.setitem(PROBABILITY_TOLERANCES, "fp16", 0.05)  # random weights at 32 pixels magnify every rounding
        export_backbone(build["a"], random_canvases(4))
    return build["a"].onnx


def types_by_name(graph):
    values = (*graph.value_info, *graph.input, *graph.output)
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    return types | {tensor.name: tensor.data_type for tensor in graph.initializer}


def test_the_body_is_half_precision_and_both_ends_are_not(half_file):
    graph = onnx.load(half_file).graph
    types = types_by_name(graph)
    inner = {types[name] for node in graph.node if node.op_type in ("Conv", "Gemm") for name in node.input}
    assert inner == {onnx.TensorProto.FLOAT16}
    *_, cast, softmax = graph.node
    assert (cast.op_type, softmax.op_type) == ("Cast", "Softmax")
    assert types[softmax.input[0]] == types["probabilities"] == onnx.TensorProto.FLOAT
    first = next(place for place, node in enumerate(graph.node) if node.op_type == "Conv")
    resizing = [node for node in graph.node[:first] if node.op_type in ("MatMul", "Clip", "Sub", "Div", "Mul")]
    assert {types[name] for node in resizing for name in node.input} == {onnx.TensorProto.FLOAT}
    assert sum(node.op_type == "Cast" for node in graph.node) == 3  # UINT8 to FP32, to FP16, to FP32


def test_a_half_precision_file_is_half_as_large_and_ordered(half_file):
    model = onnx.load(half_file)
    onnx.checker.check_model(model, full_check=True)
    weights = {tensor.data_type for tensor in model.graph.initializer if len(tensor.raw_data) > 4096}
    assert weights <= {onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT}
    assert sum(t.data_type == onnx.TensorProto.FLOAT and len(t.raw_data) > 4096 for t in model.graph.initializer) <= 1


def test_a_graph_whose_ends_are_not_known_is_refused():
    matrix = onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, [2, 2])
    node = onnx.helper.make_node("Softmax", ["image"], ["image2"])
    output = onnx.helper.make_tensor_value_info("image2", onnx.TensorProto.FLOAT, [2, 2])
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "g", [matrix], [output]))
    with pytest.raises(BuildError, match="no convolution"):
        to_fp16(model)


def test_precision_is_part_of_what_a_file_is_made_of(tmp_path):
    pool = load_pool(write_pool(tmp_path, backbone_entry("a")))
    save_random_weights(pool)
    build = PoolBuild.of(pool, tmp_path)
    export_backbone(build["a"], random_canvases(4))
    half = PoolBuild.open(write_pool(tmp_path, backbone_entry("a", precision="fp16")), tmp_path)
    assert half["a"].manifest() is None


@pytest.mark.parametrize("name", ["mobilenetv2", "vit"])
def test_the_first_convolutions_stay_in_full_precision_where_the_answers_do_not_bear_it(tmp_path, name, monkeypatch):
    monkeypatch.setattr("build_engines.export.backbone.USED_TOLERANCE", 0.0)
    monkeypatch.setitem(PROBABILITY_TOLERANCES, "fp16", 0.05)
    pool = load_pool(write_pool(tmp_path, backbone_entry("a", **SMALL[name])))
    pool = pool.variant(random_weights=True, precision="fp16")
    build = PoolBuild.of(pool, tmp_path)
    record = export_backbone(build["a"], random_canvases(4))
    assert record.graph.fp32_convolutions == 3
    graph = onnx.load(build["a"].onnx).graph
    types = types_by_name(graph)
    kinds = [types[node.input[1]] for node in graph.node if node.op_type == "Conv"]
    assert set(kinds[:3]) == {onnx.TensorProto.FLOAT}
    assert set(kinds[3:]) <= {onnx.TensorProto.FLOAT16}


def test_fp32_convolutions_may_end_inside_a_branch(tmp_path):
    """Two tensors cross from FP32 to FP16 there: what the block adds to, and what it adds."""
    pool = load_pool(write_pool(tmp_path, backbone_entry("a", architecture="resnet18", arguments={}, input_size=32)))
    pool = pool.variant(random_weights=True)
    build = PoolBuild.of(pool, tmp_path)
    export_backbone(build["a"], random_canvases(4))
    model, images = onnx.load(build["a"].onnx), random_canvases(8)
    half = to_fp16(model, fp32_convolutions=3)
    assert sum(node.op_type == "Cast" for node in half.graph.node) == 4
    full, mixed = (onnx_probabilities(graph.SerializeToString(), images) for graph in (model, half))
    assert np.abs(full - mixed).max() < 0.05


def test_answers_too_far_from_full_precision_are_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(PROBABILITY_TOLERANCES, "fp16", 1e-9)
    pool = load_pool(write_pool(tmp_path, backbone_entry("a", precision="fp16"))).variant(random_weights=True)
    with pytest.raises(CheckError, match=r"in fp16\); the file was not kept; write `precision: fp32`"):
        export_backbone(PoolBuild.of(pool, tmp_path)["a"], random_canvases(4))


@pytest.mark.skipif(not (DIGITS / "onnx" / "resnet_32.onnx").exists(), reason="make demo-digits has not been run")
@pytest.mark.parametrize("name", ["vit_16", "mobilenetv2_48", "resnet_32", "efficientnet_24"])
def test_trained_backbones_answer_in_half_precision_as_in_full(tmp_path, name):
    """What the export accepts, having seen 64 calibration images, is held on the test images."""
    pool = load_pool(ROOT / "pools" / "digits.yaml").variant(precision="fp16")
    build = PoolBuild.of(pool, tmp_path)
    export_backbone(build[name], comparison_images(pool, open_images(DIGITS / "images" / "calibration", pool.labels)))
    _, images = open_images(DIGITS / "images" / "test", pool.labels).usable(pool.canvas)
    full, half = (onnx_probabilities(file, images) for file in (DIGITS / "onnx" / f"{name}.onnx", build[name].onnx))
    assert np.mean(full.argmax(axis=1) == half.argmax(axis=1)) >= 0.995
    assert 0 < np.abs(full - half).max() <= 1e-2
