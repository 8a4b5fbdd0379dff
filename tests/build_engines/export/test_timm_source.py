"""Backbones of timm: their cost and their random weights."""

from __future__ import annotations

import pytest
import torch

from build_engines.errors import PoolError
from build_engines.export.backbone import export_backbone
from build_engines.export.source import source_of
from build_engines.export.timm_model import load
from build_engines.export.timm_source import TimmSource
from build_engines.images.samples import sample_canvases
from build_engines.pool.artifacts import PoolBuild
from build_engines.pool.schema import load_pool
from tests.support.helpers import CLASSES, backbone_entry, pool_of, save_random_weights, write_pool


def test_an_input_size_that_an_architecture_does_not_take_is_named(tmp_path):
    pool = pool_of(tmp_path, backbone_entry("a", arguments={}, input_size=8))
    with pytest.raises(PoolError, match=r"vit_tiny_patch16_224 takes no images of input_size 8: .*larger"):
        TimmSource(pool, pool.backbones[0]).gmacs()


@pytest.mark.parametrize("changes", [{}, {"architecture": "resnet10t", "arguments": {}, "input_size": 32}])
def test_random_weights_answer_differently_for_different_images(tmp_path, changes):
    entry = backbone_entry("a", weights="mine.safetensors") | changes
    pool = pool_of(tmp_path, entry).variant(random_weights=True)
    assert pool.name == "tiny-random"
    images = torch.from_numpy(sample_canvases(pool.canvas))
    with torch.inference_mode():
        first, again = (TimmSource(pool, pool.backbones[0]).torch_module()(images) for _ in range(2))
    assert first.equal(again)
    assert 0.25 < first.max(dim=1).values.median() < 0.99
    assert (first[0] - first[-1]).abs().max() > 0.01


@pytest.mark.parametrize(
    ("architecture", "published_gmacs"),
    [("resnet50", 4.09), ("mobilenetv2_100", 0.30), ("tf_efficientnet_b0", 0.39), ("vit_base_patch16_224", 17.56)],
)
def test_costs_are_the_published_multiply_accumulates(tmp_path, architecture, published_gmacs):
    entry = backbone_entry("a", architecture=architecture, arguments={}, input_size=224)
    pool = pool_of(tmp_path, entry)
    assert TimmSource(pool, pool.backbones[0]).gmacs() == pytest.approx(published_gmacs, rel=0.02)


MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def test_data_config_comes_from_timm_unless_the_pool_says_otherwise(tmp_path):
    entry = backbone_entry("a", architecture="mobilenetv2_100", arguments={}, input_size=64)
    del entry["crop_pct"]
    pool = load_pool(write_pool(tmp_path, entry, backbone_entry("b", mean=[0.1, 0.2, 0.3])))
    save_random_weights(pool)
    taken, overridden = (source_of(built).open().data for built in PoolBuild.of(pool, tmp_path))
    assert (taken.crop_pct, taken.interpolation, taken.mean) == (0.875, "bicubic", MEAN)
    assert overridden.mean == (0.1, 0.2, 0.3)


def test_a_class_without_a_label_is_cut_off(tmp_path):
    pool = pool_of(tmp_path, backbone_entry("a", classes=CLASSES + 1, drop_class=0))
    save_random_weights(pool)
    source, images = TimmSource(pool, pool.backbones[0]), torch.from_numpy(sample_canvases(pool.canvas))
    served = source.open().served
    with torch.inference_mode():
        logits = load(pool, pool.backbones[0])(served.preprocessing(images))
        torch.testing.assert_close(served(images), torch.softmax(logits[:, 1:], dim=1))
    manifest = export_backbone(PoolBuild.of(pool, tmp_path)["a"], sample_canvases(pool.canvas))
    assert manifest.graph.largest_probability_difference < 1e-5
