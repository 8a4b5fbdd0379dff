"""The fused preprocessing agrees with timm's."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from build_engines.errors import CheckError
from build_engines.export.preprocessing import DataConfig, Preprocessing, ServedBackbone, resize_matrix
from build_engines.export.preprocessing_parity import check_preprocessing, compare_preprocessing
from build_engines.images.samples import sample_canvases
from build_engines.pool.schema import TimmBackbone
from tests.support.helpers import backbone_entry

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
    seen = compare_preprocessing(served_backbone, data, sample_canvases(canvas)).agreement()
    check_preprocessing(BACKBONE, seen)
    assert seen.images == 16
    assert seen.mean_pixel_difference <= 0.5


def test_wrong_preprocessing_is_caught():
    data = DataConfig(32, 0.875, "bicubic", MEAN, STD)
    cropped_too_far = Preprocessing(48, DataConfig(32, 0.7, "bicubic", MEAN, STD))
    seen = compare_preprocessing(
        ServedBackbone(cropped_too_far, BRIGHTEST_CHANNEL), data, sample_canvases(48)
    ).agreement()
    with pytest.raises(CheckError, match="fused preprocessing differs"):
        check_preprocessing(BACKBONE, seen)


@pytest.mark.parametrize(("canvas", "input_size", "crop_pct"), [(48, 16, 1.0), (384, 224, 0.875), (32, 48, 0.9)])
def test_a_flat_image_stays_flat(canvas, input_size, crop_pct):
    rows = resize_matrix(canvas, DataConfig(input_size, crop_pct, "bicubic", MEAN, STD)).sum(dim=1)
    torch.testing.assert_close(rows, torch.ones(input_size))
