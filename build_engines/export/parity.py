"""Compare what was built with what it was built from, on real images."""

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
from build_engines.pool.manifest import GraphCheck, PreprocessingCheck
from build_engines.pool.schema import Backbone, Precision

BATCHES = (1, 2, 7)
PROBABILITY_TOLERANCES: dict[Precision, float] = {"fp32": 1e-4, "fp16": 1e-2}
# Pillow rounds to whole levels after each pass; the matrix products do not.
LARGEST_PIXEL_TOLERANCE = 4.0
MEAN_PIXEL_TOLERANCE = 0.5
CLASS_AGREEMENT_FLOOR = 0.98

Floats = npt.NDArray[np.float32]


def compare_graph(served: ServedBackbone, onnx_file: Path, images: Canvas) -> GraphCheck:
    """Compare ONNX Runtime with PyTorch, which computes in FP32, on all images, at several batch sizes.

    Args:
        served: The PyTorch module that was exported.
        onnx_file: The exported file.
        images: UINT8 [N, S, S, 3], N of at least 1.
    """
    session = onnxruntime.InferenceSession(onnx_file, providers=["CPUExecutionProvider"])
    pairs = []
    for rows in _batches(images):
        (answer,) = session.run(["probabilities"], {"image": rows})
        pairs.append((answer, _probabilities(served, torch.from_numpy(rows))))
    return GraphCheck(
        largest_probability_difference=max(float(np.abs(a - b).max()) for a, b in pairs),
        class_agreement=float(np.mean(np.concatenate([a.argmax(1) == b.argmax(1) for a, b in pairs]))),
    )


def require_agreement(backbone: Backbone, check: GraphCheck) -> None:
    """Check that a file answers as PyTorch does, as closely as its precision lets it.

    Raises:
        CheckError: the largest difference of a probability is beyond the tolerance.
    """
    difference, tolerance = check.largest_probability_difference, PROBABILITY_TOLERANCES[backbone.precision]
    if not difference <= tolerance:  # so put, NaN fails too
        advice = "; are its weights whole?" if isnan(difference) else ""
        advice = advice if backbone.precision == "fp32" else "; write `precision: fp32` for this backbone"
        raise CheckError(
            f"backbone {backbone.name!r}: the exported file differs from what it was exported from by {difference:.2g} "
            f"(tolerance {tolerance} in {backbone.precision}); the file was not kept{advice}"
        )


def check_preprocessing(
    name: str, served: ServedBackbone, data: DataConfig, images: Canvas, class_floor: float = CLASS_AGREEMENT_FLOOR
) -> PreprocessingCheck:
    """Compare the fused preprocessing with timm's own evaluation transform.

    Args:
        name: Of the backbone, for the error.
        served: The PyTorch module that will be exported.
        data: The backbone's preprocessing.
        images: UINT8 [N, S, S, 3].
        class_floor: Share of the images that must be of the same class; 0 for random weights, which say nothing.

    Raises:
        CheckError: pixels or predicted classes differ beyond the tolerance.
    """
    theirs = _timm_inputs(data, images)
    with torch.inference_mode():
        ours = served.preprocessing(torch.from_numpy(images))
        our_class = served.backbone(ours).argmax(1)
        their_class = served.backbone(theirs).argmax(1)
    levels = (ours - theirs).abs() * torch.tensor(data.std).view(3, 1, 1) * 255
    check = PreprocessingCheck(
        images=len(images),
        largest_pixel_difference=float(levels.max()),
        mean_pixel_difference=float(levels.mean()),
        class_agreement=float((our_class == their_class).float().mean()),
    )
    _require_same_inputs(name, check, class_floor)
    return check


def _require_same_inputs(name: str, check: PreprocessingCheck, class_floor: float) -> None:
    within = (
        check.largest_pixel_difference <= LARGEST_PIXEL_TOLERANCE
        and check.mean_pixel_difference <= MEAN_PIXEL_TOLERANCE
        and check.class_agreement >= class_floor
    )
    if not within:
        raise CheckError(
            f"backbone {name!r}: fused preprocessing differs from timm's: "
            f"largest {check.largest_pixel_difference:.2f} (tolerance {LARGEST_PIXEL_TOLERANCE}), "
            f"mean {check.mean_pixel_difference:.2f} ({MEAN_PIXEL_TOLERANCE}) of 255 levels, "
            f"same class on {check.class_agreement:.1%} of {check.images} images ({class_floor:.0%}); "
            "nothing was exported; if only classes differ, these images may mean nothing to it: give some with --images"
        )


def _batches(images: Canvas) -> Iterator[Canvas]:
    """Yield each batch size once, the images over again where there are too few, then all others."""
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
