"""The cascade that every contender serves: three stages of known cost, and images of known exits."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

STAGES = ("small", "middle", "large")
CALL_MS = {"small": 2.0, "middle": 6.0, "large": 15.0}  # GPU-like: fixed for a call, whatever the batch
EXIT_SHARES = (0.60, 0.25, 0.15)
THRESHOLDS = (0.5, 0.5)
CANVAS, CLASSES = 64, 1000
SURE, UNSURE = 0.9, 0.2

Images = npt.NDArray[np.uint8]
Probabilities = npt.NDArray[np.float32]


def images_of(exits: npt.NDArray[np.int64], rng: np.random.Generator) -> tuple[Images, npt.NDArray[np.int64]]:
    """Return images that leave at those stages, UINT8 [n, S, S, 3], and the class that is right for each.

    Two pixels say it all: the exit, and the class in two bytes.
    """
    images = rng.integers(0, 256, (len(exits), CANVAS, CANVAS, 3), np.uint8)
    classes = rng.integers(0, CLASSES, len(exits))
    images[:, 0, 0, 0] = exits
    images[:, 0, 0, 1], images[:, 0, 0, 2] = classes // 256, classes % 256
    return images, classes


def answer(images: Images, stage: int) -> Probabilities:
    """Return what a stage (from 0) says of images: it is sure of those that leave there or before."""
    pixels = images[:, 0, 0].astype(np.int64)
    sure = np.where(pixels[:, 0] <= stage + 1, SURE, UNSURE)
    probabilities = np.repeat((1 - sure)[:, None] / (CLASSES - 1), CLASSES, axis=1).astype(np.float32)
    probabilities[np.arange(len(images)), pixels[:, 1] * 256 + pixels[:, 2]] = sure
    return probabilities
