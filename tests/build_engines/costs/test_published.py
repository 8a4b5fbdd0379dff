"""Counted multiply-accumulates beside published ones, for every backbone of the ImageNet pools."""

from __future__ import annotations

from pathlib import Path

import pytest
from torchvision import models
from typer.testing import CliRunner

from build_engines.cli import app
from build_engines.costs.macs_profile import profile
from build_engines.costs.published import published, sources
from build_engines.pool.artifacts import PoolBuild
from build_engines.pool.schema import TimmBackbone, load_pool
from tests.support.helpers import backbone_entry

POOLS = Path(__file__).parents[3] / "pools"
TORCHVISION = "torchvision, of its own models"
# Whose sizes are as ours; torchvision calls multiply-accumulates FLOPs.
ITS_WEIGHTS = {
    "tf_efficientnet_b0 224": models.EfficientNet_B0_Weights.IMAGENET1K_V1,
    "tf_efficientnet_b1 240": models.EfficientNet_B1_Weights.IMAGENET1K_V1,
    "tf_efficientnet_b3 300": models.EfficientNet_B3_Weights.IMAGENET1K_V1,
    "tf_efficientnet_b4 380": models.EfficientNet_B4_Weights.IMAGENET1K_V1,
    "tf_efficientnet_b5 456": models.EfficientNet_B5_Weights.IMAGENET1K_V1,
    "tf_efficientnet_b6 528": models.EfficientNet_B6_Weights.IMAGENET1K_V1,
    "tf_efficientnet_b7 600": models.EfficientNet_B7_Weights.IMAGENET1K_V1,
    "mobilenetv2_100 224": models.MobileNet_V2_Weights.IMAGENET1K_V1,
    "resnet18 224": models.ResNet18_Weights.IMAGENET1K_V1,
    "resnet34 224": models.ResNet34_Weights.IMAGENET1K_V1,
    "resnet50 224": models.ResNet50_Weights.IMAGENET1K_V1,
    "resnet101 224": models.ResNet101_Weights.IMAGENET1K_V1,
    "resnet152 224": models.ResNet152_Weights.IMAGENET1K_V1,
    "wide_resnet50_2 224": models.Wide_ResNet50_2_Weights.IMAGENET1K_V1,
    "wide_resnet101_2 224": models.Wide_ResNet101_2_Weights.IMAGENET1K_V1,
    "vit_base_patch16_224 224": models.ViT_B_16_Weights.IMAGENET1K_V1,
    "vit_base_patch16_384 384": models.ViT_B_16_Weights.IMAGENET1K_SWAG_E2E_V1,
    "vit_large_patch16_224 224": models.ViT_L_16_Weights.IMAGENET1K_V1,
}
UNPUBLISHED = {"mobilenetv2_110d_at_224", "mobilenetv2_120d_at_224"}  # timm's own; no paper or table counts them
BACKBONES = {
    backbone.name: (pool, backbone)
    for pool in (load_pool(POOLS / f"{name}.yaml") for name in ("efficientnet", "resnet", "mobilenetv2", "vit"))
    for backbone in pool.backbones
}


def test_every_backbone_is_compared():
    assert {name for name, (_, backbone) in BACKBONES.items() if not published(backbone)} == UNPUBLISHED
    known = {name for _, backbone in BACKBONES.values() for name in published(backbone)}
    assert known == {source.source for source in sources()}


def test_torchvisions_figures_are_those_that_it_gives():
    (its,) = (source.gmacs for source in sources() if source.source == TORCHVISION)
    assert its == {name: weights.meta["_ops"] for name, weights in ITS_WEIGHTS.items()}


@pytest.mark.parametrize("name", sorted(set(BACKBONES) - UNPUBLISHED))
def test_costs_are_the_published_multiply_accumulates(name):
    pool, backbone = BACKBONES[name]
    counted = profile(PoolBuild.of(pool)[backbone.name]).gmacs
    for source, gmacs in published(backbone).items():
        exact = source == TORCHVISION  # to the last of its digits; the papers round, and count their own variants
        assert counted == (pytest.approx(gmacs, abs=0.0006) if exact else pytest.approx(gmacs, rel=0.06)), source


@pytest.mark.parametrize("changes", [{"classes": 10}, {"input_size": 160}, {"arguments": {"in_chans": 1}}])
def test_what_is_published_is_of_the_same_network(changes):
    same = {"architecture": "resnet18", "arguments": {}, "input_size": 224, "classes": 1000}
    assert published(TimmBackbone(**backbone_entry("a", **same))) == {TORCHVISION: 1.814}
    assert published(TimmBackbone(**backbone_entry("a", **(same | changes)))) == {}


def test_the_command_shows_both_and_cuts_no_name():
    shown = CliRunner(env={"COLUMNS": "80"}).invoke(app, ["profile", str(POOLS / "resnet.yaml")]).output
    assert "4.089" in shown
    assert "published: torchvision, of its own models" in shown
    assert "…" not in shown
