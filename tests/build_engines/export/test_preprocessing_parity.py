"""What is refused for its preprocessing, and what is not: by pixels, and by answers with their sampling error."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import binom

from build_engines.errors import CheckError
from build_engines.export.preprocessing import DataConfig, Preprocessing, ServedBackbone
from build_engines.export.preprocessing_parity import check_preprocessing, compare_preprocessing
from build_engines.export.source import source_of
from build_engines.images.canvas import to_canvas
from build_engines.images.samples import sample_canvases
from build_engines.pool.artifacts import PoolBuild
from build_engines.pool.manifest import PreprocessingAgreement
from build_engines.pool.schema import OnnxBackbone, TimmBackbone, load_pool
from tests.support.helpers import backbone_entry
from tests.support.onnx_files import onnx_entry

TIMM, ONNX = TimmBackbone(**backbone_entry("ours")), OnnxBackbone(**onnx_entry("theirs"))
SIDE = 96
DATA = DataConfig(64, 0.875, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
REAL_POOL = Path(__file__).parents[4] / "shared" / "imagenet-pool"
SAMPLE = 64


def seen(**changes):
    """Figures that are within every tolerance, but for the changes."""
    figures = {
        "images": 64,
        "largest_pixel_difference": 1.0,
        "mean_pixel_difference": 0.3,
        "class_agreement": 0.9,
        "mean_probability_difference": 0.01,
        "probability_difference_error": 0.002,
        "clear_images": 40,
        "clear_same_class": 40,
    }
    return PreprocessingAgreement(**(figures | changes))


def is_refused(backbone, agreement):
    try:
        check_preprocessing(backbone, agreement)
    except CheckError:
        return True
    return False


def agreement_with(preprocessing):
    generator = torch.Generator().manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, stride=2), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1))
    for parameter in network.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator)
    network.append(torch.nn.Flatten())
    return compare_preprocessing(ServedBackbone(preprocessing, network), DATA, sample_canvases(SIDE)).agreement()


def test_classes_of_unclear_images_do_not_count():
    check_preprocessing(TIMM, seen(class_agreement=0.5))
    check_preprocessing(TIMM, seen(class_agreement=0, clear_images=0, clear_same_class=0))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"largest_pixel_difference": 5.0}, r"largest difference of a pixel 5\.00 of 255 levels \(tolerance 4"),
        ({"mean_pixel_difference": 0.51}, r"mean difference of pixels 0\.51"),
        ({"mean_pixel_difference": float("nan")}, "mean difference of pixels nan"),
        ({"mean_probability_difference": 0.05}, r"mean difference of probabilities 0\.050 ± 0\.002"),
        ({"mean_probability_difference": float("nan")}, "mean difference of probabilities nan"),
        ({"clear_same_class": 34}, "same class on 34 of 40 images"),
    ],
)
def test_what_is_refused_says_why(changes, says):
    with pytest.raises(CheckError, match=f"'ours': fused preprocessing differs from timm's on 64 images: {says}"):
        check_preprocessing(TIMM, seen(**changes))


def test_what_the_sampling_error_explains_is_not_refused():
    check_preprocessing(TIMM, seen(mean_probability_difference=0.05, probability_difference_error=0.01))
    check_preprocessing(TIMM, seen(clear_same_class=39))


@pytest.mark.parametrize("images", [1, 7, 20, 64])
def test_classes_that_agree_as_often_as_they_must_are_refused_once_in_a_thousand_at_most(images):
    refused = [k for k in range(images + 1) if is_refused(TIMM, seen(clear_images=images, clear_same_class=k))]
    assert binom.pmf(refused, images, 0.99).sum() <= 1e-3
    assert refused == list(range(len(refused)))  # few equal classes are never better than more
    assert images == 1 or refused


def test_answers_of_random_weights_do_not_count_but_pixels_do():
    random = TimmBackbone(**backbone_entry("random", weights="random"))
    check_preprocessing(random, seen(clear_same_class=0, mean_probability_difference=0.5))
    assert is_refused(random, seen(largest_pixel_difference=5.0))


def test_a_files_preprocessing_is_the_files():
    with pytest.raises(CheckError, match="differs from the file's"):
        check_preprocessing(ONNX, seen(mean_pixel_difference=1.0))


def test_the_right_preprocessing_passes():
    check_preprocessing(TIMM, agreement_with(Preprocessing(SIDE, DATA)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"mean": (0.485, 0.456, 0.406)},
        {"std": (0.52, 0.5, 0.5)},
        {"crop_pct": 0.9},
        {"interpolation": "bicubic"},
    ],
    ids=str,
)
def test_a_wrong_preprocessing_is_refused(wrong):
    assert is_refused(TIMM, agreement_with(Preprocessing(SIDE, replace(DATA, **wrong))))


def test_swapped_channels_are_refused():
    class Swapped(Preprocessing):
        def forward(self, image):
            return super().forward(image.flip(3))

    assert is_refused(TIMM, agreement_with(Swapped(SIDE, DATA)))


def test_weak_but_right_networks_pass_by_any_images():
    if not REAL_POOL.is_dir():
        pytest.skip("no ../shared/imagenet-pool here")
    built = PoolBuild.of(load_pool(REAL_POOL / "pool.yaml"))["mobilenet_v1_025"]
    paths = sorted((REAL_POOL / "images").rglob("*.[jJ][pP]*"))[:: 1640 // (4 * SAMPLE)][: 4 * SAMPLE]
    images = np.stack([to_canvas(path, built.pool.canvas) for path in paths])
    source = source_of(built).open()
    compared = compare_preprocessing(source.served, source.data, images)
    samples = [compared.rows(rows).agreement() for rows in np.split(np.arange(len(images)), len(images) // SAMPLE)]
    assert min(sample.class_agreement for sample in samples) < 0.98
    for sample in samples:
        check_preprocessing(built.backbone, sample)
