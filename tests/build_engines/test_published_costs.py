"""Counted multiply-accumulates beside published ones, for every backbone of the ImageNet pools."""

from __future__ import annotations

from pathlib import Path

import pytest

from build_engines.pool import load_pool
from build_engines.profile import profile

POOLS = Path(__file__).parents[2] / "pools"

# In billions of multiply-accumulates; "FLOPs" in the sources means the same.
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
    # torchvision 0.24, table of classification weights, GFLOPS
    "resnet18": 1.81,
    "resnet34": 3.66,
    "resnet50": 4.09,
    "resnet101": 7.80,
    "resnet152": 11.51,
    "wide_resnet50_2": 11.40,
    "wide_resnet101_2": 22.75,
    # tensorflow/models, research/slim/nets/mobilenet, table of MobileNet V2 checkpoints, MACs
    "mobilenetv2_050_at_160": 0.050,
    "mobilenetv2_050_at_192": 0.071,
    "mobilenetv2_050_at_224": 0.097,
    "mobilenetv2_100_at_160": 0.154,
    "mobilenetv2_100_at_192": 0.221,
    "mobilenetv2_100_at_224": 0.300,
    "mobilenetv2_140_at_224": 0.582,
    # torchvision 0.24, vit_b_16 (IMAGENET1K_V1, and IMAGENET1K_SWAG_E2E_V1 at 384 pixels) and vit_l_16
    "vit_base_at_224": 17.56,
    "vit_base_at_384": 55.48,
    "vit_large_at_224": 61.55,
    # Liu et al., Swin Transformer, ICCV 2021, table 1
    "vit_large_at_384": 190.7,
}
# Deeper variants that are timm's own; no paper or table counts them.
UNPUBLISHED = {"mobilenetv2_110d_at_224", "mobilenetv2_120d_at_224"}
BACKBONES = {
    backbone.name: backbone
    for name in ("efficientnet", "resnet", "mobilenetv2", "vit")
    for backbone in load_pool(POOLS / f"{name}.yaml").backbones
}


def test_every_backbone_is_compared():
    assert set(BACKBONES) == set(PUBLISHED) | UNPUBLISHED


@pytest.mark.parametrize(("name", "published"), PUBLISHED.items())
def test_costs_are_the_published_multiply_accumulates(name, published):
    assert profile(BACKBONES[name]).gmacs == pytest.approx(published, rel=0.06)
