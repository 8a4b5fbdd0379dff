"""Counted multiply-accumulates beside published ones, for every backbone of the ImageNet pools."""

from __future__ import annotations

from pathlib import Path

import pytest
from torchvision import models

from build_engines.pool import load_pool
from build_engines.profile import profile

POOLS = Path(__file__).parents[2] / "pools"

# What torchvision counted of its own models, at the sizes of ours; it calls multiply-accumulates FLOPs.
TORCHVISION = {
    "efficientnet_b0": models.EfficientNet_B0_Weights.IMAGENET1K_V1,
    "efficientnet_b1": models.EfficientNet_B1_Weights.IMAGENET1K_V1,
    "efficientnet_b3": models.EfficientNet_B3_Weights.IMAGENET1K_V1,
    "efficientnet_b4": models.EfficientNet_B4_Weights.IMAGENET1K_V1,
    "efficientnet_b5": models.EfficientNet_B5_Weights.IMAGENET1K_V1,
    "efficientnet_b6": models.EfficientNet_B6_Weights.IMAGENET1K_V1,
    "efficientnet_b7": models.EfficientNet_B7_Weights.IMAGENET1K_V1,
    "resnet18": models.ResNet18_Weights.IMAGENET1K_V1,
    "resnet34": models.ResNet34_Weights.IMAGENET1K_V1,
    "resnet50": models.ResNet50_Weights.IMAGENET1K_V1,
    "resnet101": models.ResNet101_Weights.IMAGENET1K_V1,
    "resnet152": models.ResNet152_Weights.IMAGENET1K_V1,
    "wide_resnet50_2": models.Wide_ResNet50_2_Weights.IMAGENET1K_V1,
    "wide_resnet101_2": models.Wide_ResNet101_2_Weights.IMAGENET1K_V1,
    "mobilenetv2_100_at_224": models.MobileNet_V2_Weights.IMAGENET1K_V1,
    "vit_base_at_224": models.ViT_B_16_Weights.IMAGENET1K_V1,
    "vit_base_at_384": models.ViT_B_16_Weights.IMAGENET1K_SWAG_E2E_V1,
    "vit_large_at_224": models.ViT_L_16_Weights.IMAGENET1K_V1,
}
# In billions of multiply-accumulates; "FLOPs" in the papers means the same. Swin's table was read in copies of the
# paper, EfficientNet's as others quote it.
PUBLISHED = {
    # Tan & Le, EfficientNet, ICML 2019, table 2
    "efficientnet_b0": 0.39,
    "efficientnet_b1": 0.70,
    "efficientnet_b2": 1.0,
    "efficientnet_b3": 1.8,
    "efficientnet_b4": 4.2,
    "efficientnet_b5": 9.9,
    "efficientnet_b6": 19,
    "efficientnet_b7": 37,
    # tensorflow/models, research/slim/nets/mobilenet/README.md, table of MobileNet V2 checkpoints, MACs
    "mobilenetv2_050_at_160": 0.050,
    "mobilenetv2_050_at_192": 0.071,
    "mobilenetv2_050_at_224": 0.097,
    "mobilenetv2_100_at_160": 0.154,
    "mobilenetv2_100_at_192": 0.221,
    "mobilenetv2_100_at_224": 0.300,
    "mobilenetv2_140_at_224": 0.582,
    # Liu et al., Swin Transformer, ICCV 2021, table 1
    "vit_base_at_384": 55.4,
    "vit_large_at_384": 190.7,
}
# Deeper variants that are timm's own; no paper or table counts them.
UNPUBLISHED = {"mobilenetv2_110d_at_224", "mobilenetv2_120d_at_224"}
BACKBONES = {
    backbone.name: (pool, backbone)
    for pool in (load_pool(POOLS / f"{name}.yaml") for name in ("efficientnet", "resnet", "mobilenetv2", "vit"))
    for backbone in pool.backbones
}


def test_every_backbone_is_compared():
    assert set(BACKBONES) == set(PUBLISHED) | set(TORCHVISION) | UNPUBLISHED


@pytest.mark.parametrize(("name", "weights"), TORCHVISION.items())
def test_costs_are_those_that_torchvision_counts(name, weights):
    assert profile(*BACKBONES[name]).gmacs == pytest.approx(weights.meta["_ops"], abs=0.0006)  # rounded to 0.001


@pytest.mark.parametrize(("name", "published"), PUBLISHED.items())
def test_costs_are_the_published_multiply_accumulates(name, published):
    assert profile(*BACKBONES[name]).gmacs == pytest.approx(published, rel=0.06)
