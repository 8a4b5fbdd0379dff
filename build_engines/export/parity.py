"""Compare an exported graph with PyTorch, and its preprocessing with timm's, on real images."""

from __future__ import annotations

from collections.abc import Iterator
from math import isnan
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
from PIL import Image
from timm.data import create_transform

from build_engines.errors import CheckError
from build_engines.export.preprocessing import DataConfig, ServedBackbone
from build_engines.images.canvas import Canvas
from build_engines.pool.manifest import GraphAgreement, PreprocessingAgreement
from build_engines.pool.schema import Backbone, Precision
from cascade_core.contract import IMAGE, PROBABILITIES

BATCHES = (1, 2, 7)
PROBABILITY_TOLERANCES: dict[Precision, float] = {"fp32": 1e-4, "fp16": 1e-2}
# Pillow rounds to whole levels after each pass; the matrix products do not.
LARGEST_PIXEL_TOLERANCE = 4.0
MEAN_PIXEL_TOLERANCE = 0.5
CLASS_AGREEMENT_FLOOR = 0.98

Floats = npt.NDArray[np.float32]


def compare_graph(served: ServedBackbone, onnx_file: Path, images: Canvas) -> GraphAgreement:
    """Compare ONNX Runtime with PyTorch, which computes in FP32, on all images, at several batch sizes.

    Args:
        served: The PyTorch module that was exported.
        onnx_file: The exported file.
        images: UINT8 [N, S, S, 3], N of at least 1.
    """
    session = onnxruntime.InferenceSession(onnx_file, providers=["CPUExecutionProvider"])
    pairs = []
    for rows in _batches(images):
        (answer,) = session.run([PROBABILITIES.name], {IMAGE.name: rows})
        pairs.append((answer, _probabilities(served, torch.from_numpy(rows))))
    return GraphAgreement(
        largest_probability_difference=max(float(np.abs(a - b).max()) for a, b in pairs),
        class_agreement=float(np.mean(np.concatenate([a.argmax(1) == b.argmax(1) for a, b in pairs]))),
    )


def check_graph(backbone: Backbone, agreement: GraphAgreement) -> None:
    """Check that a file answers as PyTorch does, as closely as its precision permits.

    Raises:
        CheckError: the largest difference of a probability is beyond the tolerance.
    """
    difference, tolerance = agreement.largest_probability_difference, PROBABILITY_TOLERANCES[backbone.precision]
    if not difference <= tolerance:  # written so that NaN fails too
        advice = "; its weights may be damaged" if isnan(difference) else ""
        advice = advice if backbone.precision == "fp32" else "; write `precision: fp32` for this backbone"
        raise CheckError(
            f"backbone {backbone.name!r}: the exported file differs from what it was exported from by {difference:.2g} "
            f"(tolerance {tolerance} in {backbone.precision}); the file was not kept{advice}"
        )


def compare_preprocessing(served: ServedBackbone, data: DataConfig, images: Canvas) -> PreprocessingAgreement:
    """Compare the fused preprocessing with timm's own evaluation transform.

    Args:
        served: The PyTorch module that will be exported.
        data: The backbone's preprocessing.
        images: UINT8 [N, S, S, 3].
    """
    theirs = _timm_inputs(data, images)
    with torch.inference_mode():
        ours = served.preprocessing(torch.from_numpy(images))
        our_class = served.backbone(ours).argmax(1)
        their_class = served.backbone(theirs).argmax(1)
    levels = (ours - theirs).abs() * torch.tensor(data.std).view(3, 1, 1) * 255
    return PreprocessingAgreement(
        images=len(images),
        largest_pixel_difference=float(levels.max()),
        mean_pixel_difference=float(levels.mean()),
        class_agreement=float((our_class == their_class).float().mean()),
    )


def check_preprocessing(backbone: Backbone, agreement: PreprocessingAgreement) -> None:
    """Check that the fused preprocessing gives timm's pixels and, unless weights are random, the same classes.

    Raises:
        CheckError: pixels or predicted classes differ beyond the tolerance.
    """
    floor = 0.0 if backbone.is_random else CLASS_AGREEMENT_FLOOR
    within = (
        agreement.largest_pixel_difference <= LARGEST_PIXEL_TOLERANCE
        and agreement.mean_pixel_difference <= MEAN_PIXEL_TOLERANCE
        and agreement.class_agreement >= floor
    )
    if not within:
        raise CheckError(
            f"backbone {backbone.name!r}: fused preprocessing differs from timm's: "
            f"largest {agreement.largest_pixel_difference:.2f} (tolerance {LARGEST_PIXEL_TOLERANCE}), "
            f"mean {agreement.mean_pixel_difference:.2f} ({MEAN_PIXEL_TOLERANCE}) of 255 levels, "
            f"same class on {agreement.class_agreement:.1%} of {agreement.images} images ({floor:.0%}); "
            "nothing was exported. If only classes differ, these images may be unlike those it was trained on: name a "
            "folder of suitable ones with --images"
        )


def _batches(images: Canvas) -> Iterator[Canvas]:
    """Yield one batch of each size, images repeated where there are too few, then the remaining images."""
    for batch in BATCHES:
        yield np.resize(images, (batch, *images.shape[1:]))
    for start in range(BATCHES[-1], len(images), BATCHES[-1]):
        yield images[start : start + BATCHES[-1]]


def _timm_inputs(data: DataConfig, images: Canvas) -> torch.Tensor:
    transform = create_transform(
        data.input_size,
        is_training=False,
        interpolation=data.interpolation,
        mean=data.mean,
        std=data.std,
        crop_pct=data.crop_pct,
    )
    return torch.stack([transform(Image.fromarray(image)) for image in images])


def _probabilities(served: ServedBackbone, images: torch.Tensor) -> Floats:
    with torch.inference_mode():
        return served(images).numpy()  # type: ignore[no-any-return]
