"""Compare an exported graph with what it was exported from, on real images."""

from __future__ import annotations

from collections.abc import Iterator
from math import isnan
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch

from build_engines.errors import CheckError
from build_engines.export.preprocessing import ServedBackbone
from build_engines.images.canvas import Canvas
from build_engines.pool.manifest import GraphAgreement
from build_engines.pool.schema import Backbone, Precision
from cascade_core.contract import IMAGE, PROBABILITIES

BATCHES = (1, 2, 7)
PROBABILITY_TOLERANCES: dict[Precision, float] = {"fp32": 1e-4, "fp16": 1e-2}
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


def _batches(images: Canvas) -> Iterator[Canvas]:
    """Yield one batch of each size, images repeated where there are too few, then the remaining images."""
    for batch in BATCHES:
        yield np.resize(images, (batch, *images.shape[1:]))
    for start in range(BATCHES[-1], len(images), BATCHES[-1]):
        yield images[start : start + BATCHES[-1]]


def _probabilities(served: ServedBackbone, images: torch.Tensor) -> Floats:
    with torch.inference_mode():
        return served(images).numpy()  # type: ignore[no-any-return]
