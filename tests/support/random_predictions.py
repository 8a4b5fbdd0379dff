"""Random coarse predictions of three backbones, with many ties."""

from __future__ import annotations

import numpy as np

from build_cascade.predictions import Predictions

COSTS = {"a": 1.0, "b": 3.0, "c": 10.0}


def random_predictions(
    seed: int, images: int = 30, classes: int = 3, names=("a", "b", "c"), levels: int = 6
) -> Predictions:
    """Coarse probabilities: ties and equal confidences are common."""
    generator = np.random.default_rng(seed)
    raw = generator.integers(1, levels, (len(names), images, classes)) ** 2.0
    probabilities = (raw / raw.sum(axis=2, keepdims=True)).astype(np.float16)
    return Predictions(generator.integers(0, classes, images), dict(zip(names, probabilities, strict=True)))
