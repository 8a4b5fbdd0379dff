"""Compare the fused preprocessing with the one that a backbone asks for, on real images.

Pixels decide: a wrong one moves them by more than rounding does, whatever the network makes of it. Probabilities and
classes are compared as well, with their sampling error: few images are compared, and where two classes are almost
equally likely, Pillow's rounding alone decides which one is answered. So classes count only where the margin between
the two most likely ones is clear, and a backbone is refused only if its images prove that it differs.

`benchmarks/preprocessing_check.py` drew 10,000 samples of 64 of 1,640 real images for two weak networks, MobileNet V1
0.25 and 0.5, which are right and change 3.2 and 1.8 % of their classes by Pillow's rounding. This check refused no
sample; a floor of 98 % of equal classes refused 62 and 32 %. Both refused all samples of a wrong mean, standard
deviation (by 2 %), crop, channel order or interpolation.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from scipy.stats import binomtest
from timm.data import create_transform
from torch import Tensor

from build_engines.errors import CheckError
from build_engines.export.preprocessing import DataConfig, ServedBackbone
from build_engines.images.canvas import Canvas
from build_engines.pool.manifest import PreprocessingAgreement
from build_engines.pool.schema import Backbone

# Pillow rounds to whole levels after each pass; the matrix products do not.
LARGEST_PIXEL_TOLERANCE = 4.0
MEAN_PIXEL_TOLERANCE = 0.5
MEAN_PROBABILITY_TOLERANCE = 0.03
CLEAR_MARGIN = 0.1  # rounding moves a probability by less, but for rare images
CLEAR_CLASS_FLOOR = 0.99
STANDARD_ERRORS = 3.0  # a one-sided level of 0.1 %
LEVEL = 0.999


@dataclass(frozen=True)
class PreprocessingComparison:
    """The fused preprocessing against the one asked for, on N images.

    Attributes:
        largest_pixel_difference: FP32 [N], in levels of 0..255.
        mean_pixel_difference: FP32 [N], in levels of 0..255.
        probability_difference: FP32 [N], the largest among the classes.
        margin: FP32 [N], between the two most likely classes under the preprocessing asked for.
        is_same_class: bool [N].
    """

    largest_pixel_difference: npt.NDArray[np.float32]
    mean_pixel_difference: npt.NDArray[np.float32]
    probability_difference: npt.NDArray[np.float32]
    margin: npt.NDArray[np.float32]
    is_same_class: npt.NDArray[np.bool_]

    def rows(self, rows: npt.NDArray[np.intp]) -> Self:
        """Return the comparison on some of the images."""
        return type(self)(**{name: values[rows] for name, values in vars(self).items()})

    def agreement(self) -> PreprocessingAgreement:
        """Return the figures that `check_preprocessing` judges by."""
        images, is_clear = len(self.margin), self.margin > CLEAR_MARGIN
        return PreprocessingAgreement(
            images=images,
            largest_pixel_difference=float(self.largest_pixel_difference.max()),
            mean_pixel_difference=float(self.mean_pixel_difference.mean()),
            class_agreement=float(self.is_same_class.mean()),
            mean_probability_difference=float(self.probability_difference.mean()),
            probability_difference_error=float(self.probability_difference.std(ddof=min(1, images - 1)) / sqrt(images)),
            clear_images=int(is_clear.sum()),
            clear_same_class=int(self.is_same_class[is_clear].sum()),
        )


def compare_preprocessing(served: ServedBackbone, data: DataConfig, images: Canvas) -> PreprocessingComparison:
    """Compare the fused preprocessing with timm's evaluation transform for the same settings.

    Args:
        served: The PyTorch module that will be exported.
        data: The preprocessing that the backbone asks for.
        images: UINT8 [N, S, S, 3].
    """
    asked = _timm_inputs(data, images)
    with torch.inference_mode():
        fused = served.preprocessing(torch.from_numpy(images))
        answers, expected = (torch.softmax(served.backbone(pixels).float(), dim=1) for pixels in (fused, asked))
    levels = (fused - asked).abs() * torch.tensor(data.std).view(3, 1, 1) * 255
    return PreprocessingComparison(
        largest_pixel_difference=levels.amax(dim=(1, 2, 3)).numpy(),
        mean_pixel_difference=levels.mean(dim=(1, 2, 3)).numpy(),
        probability_difference=(answers - expected).abs().amax(dim=1).numpy(),
        margin=_margin(expected).numpy(),
        is_same_class=(answers.argmax(1) == expected.argmax(1)).numpy(),
    )


def check_preprocessing(backbone: Backbone, agreement: PreprocessingAgreement) -> None:
    """Check the pixels and, unless weights are random, the probabilities and the classes.

    Raises:
        CheckError: pixels differ beyond the tolerance; or probabilities, or the classes of images with a clear margin,
            differ beyond it by more than their sampling error.
    """
    faults = [*_pixel_faults(agreement), *([] if backbone.is_random else _answer_faults(agreement))]
    if faults:
        owner = "the file's" if backbone.is_onnx else "timm's"
        raise CheckError(
            f"backbone {backbone.name!r}: fused preprocessing differs from {owner} on {agreement.images} images: "
            f"{'; '.join(faults)}. It was not exported. If pixels agree, these images may be unlike those it was "
            "trained on: name a folder of suitable ones with --images"
        )


def _pixel_faults(seen: PreprocessingAgreement) -> list[str]:
    faults = {
        f"largest difference of a pixel {seen.largest_pixel_difference:.2f} of 255 levels (tolerance "
        f"{LARGEST_PIXEL_TOLERANCE})": not seen.largest_pixel_difference <= LARGEST_PIXEL_TOLERANCE,  # also NaN
        f"mean difference of pixels {seen.mean_pixel_difference:.2f} of 255 levels (tolerance "
        f"{MEAN_PIXEL_TOLERANCE})": not seen.mean_pixel_difference <= MEAN_PIXEL_TOLERANCE,
    }
    return [fault for fault, is_found in faults.items() if is_found]


def _answer_faults(seen: PreprocessingAgreement) -> list[str]:
    mean, error = seen.mean_probability_difference, seen.probability_difference_error
    faults = {
        f"mean difference of probabilities {mean:.3f} ± {error:.3f} (tolerance {MEAN_PROBABILITY_TOLERANCE})": not (
            mean - STANDARD_ERRORS * error <= MEAN_PROBABILITY_TOLERANCE  # also NaN
        ),
        f"same class on {seen.clear_same_class} of {seen.clear_images} images whose two most likely classes are more "
        f"than {CLEAR_MARGIN} apart (at least {CLEAR_CLASS_FLOOR:.0%} expected)": not _may_agree(seen),
    }
    return [fault for fault, is_found in faults.items() if is_found]


def _may_agree(seen: PreprocessingAgreement) -> bool:
    """Tell whether so few equal classes are no proof that fewer than the floor are equal on all images."""
    if not seen.clear_images:
        return True
    found = binomtest(seen.clear_same_class, seen.clear_images, alternative="less").proportion_ci(LEVEL)
    return bool(found.high >= CLEAR_CLASS_FLOOR)


def _margin(probabilities: Tensor) -> Tensor:
    """Return FP32 [N], the difference of the two largest probabilities; with one class, its probability."""
    top = probabilities.topk(min(2, probabilities.shape[1]), dim=1).values
    return top[:, 0] - top[:, 1:].sum(dim=1)


def _timm_inputs(data: DataConfig, images: Canvas) -> Tensor:
    transform = create_transform(
        data.input_size,
        is_training=False,
        interpolation=data.interpolation,
        mean=data.mean,
        std=data.std,
        crop_pct=data.crop_pct,
    )
    return torch.stack([transform(Image.fromarray(image)) for image in images])
