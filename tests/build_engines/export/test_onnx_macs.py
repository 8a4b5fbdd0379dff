"""Multiply-accumulates of an ONNX graph."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper

from build_engines.costs.macs_profile import profile
from build_engines.errors import WeightsError
from build_engines.export.onnx_macs import count_gmacs, uncountable
from build_engines.export.source import source_of
from build_engines.export.timm_model import create
from build_engines.export.timm_source import TimmSource
from build_engines.pool.artifacts import PoolBuild
from build_engines.pool.schema import load_pool
from tests.support.helpers import (
    CLASSES,
    backbone_entry,
    write_pool,
)
from tests.support.onnx_files import exported, onnx_entry, pool_with


def test_a_cost_that_cannot_be_counted_must_be_given(tmp_path):
    pool = pool_with(tmp_path)
    model = onnx.load(tmp_path / "theirs.onnx")
    model.graph.node[-1].CopyFrom(helper.make_node("Einsum", ["flat", "head"], ["logits"], equation="bi,ij->bj"))
    onnx.save(model, tmp_path / "theirs.onnx")
    with pytest.raises(WeightsError, match=r"cannot be counted \(Einsum\); write `gmacs"):
        exported(pool, tmp_path)
    given = load_pool(write_pool(tmp_path, onnx_entry("theirs", gmacs=1.5)))
    assert exported(given, tmp_path)[0].gmacs == profile(PoolBuild.of(given)["theirs"]).gmacs == 1.5


@pytest.mark.parametrize(
    ("architecture", "arguments", "side"),
    [
        ("mobilenetv2_035", {}, 48),
        ("resnet10t", {}, 32),
        ("tf_efficientnet_lite0", {"output_stride": 8}, 24),
        ("vit_tiny_patch16_224", {"patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 2}, 32),
    ],
)
def test_counted_costs_are_those_that_torch_counts(tmp_path, architecture, arguments, side):
    entry = backbone_entry("a", architecture=architecture, arguments=arguments, input_size=side)
    pool = load_pool(write_pool(tmp_path, entry))
    backbone = pool.backbones[0]
    image = torch.zeros(1, 3, side, side)
    free = ({0: torch.export.Dim("batch", min=1)},)
    program = torch.onnx.export(create(backbone), (image.repeat(2, 1, 1, 1),), dynamo=True, dynamic_shapes=free)
    assert uncountable(program.model_proto) == []
    counted = TimmSource(pool, backbone).gmacs()
    assert count_gmacs(program.model_proto, image.numpy()) == pytest.approx(counted, rel=1e-9)


def test_quantised_weights_are_counted_without_scales_and_zero_points(tmp_path):
    pool = pool_with(tmp_path)
    path = tmp_path / "theirs.onnx"
    before = source_of(PoolBuild.of(pool)["theirs"]).parameters()
    model = onnx.load(path)
    head = next(tensor for tensor in model.graph.initializer if tensor.name == "head")
    levels = numpy_helper.to_array(head).clip(-2, 2) * 50 + 128
    head.CopyFrom(numpy_helper.from_array(levels.astype(np.uint8), "head"))
    model.graph.initializer.append(numpy_helper.from_array(np.float32(0.02), "scale"))
    model.graph.initializer.append(numpy_helper.from_array(np.uint8(128), "zero"))
    model.graph.node.insert(0, helper.make_node("DequantizeLinear", ["head", "scale", "zero"], ["wide"]))
    next(node for node in model.graph.node if node.op_type == "Gemm").input[1] = "wide"
    onnx.save(model, path)
    assert source_of(PoolBuild.of(pool)["theirs"]).parameters() == before == 8 * 3 * 3 * 3 + 8 * CLASSES + CLASSES
