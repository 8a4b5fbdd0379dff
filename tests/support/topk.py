"""Random top-k predictions of two backbones."""

from __future__ import annotations

import numpy as np

from build_cascade.topk import TopK, TopKPredictions
from build_engines.costs.costs import Costs

COSTS = Costs({"a": 1.0, "b": 3.0})
CLASSES, IMAGES = 9, 80


def sparse(seed=0, k=3):
    generator = np.random.default_rng(seed)
    pairs = {}
    for name in COSTS:
        ids = np.argsort(generator.random((IMAGES, CLASSES)), axis=1)[:, :k].astype(np.int32)
        raw = np.sort(generator.random((IMAGES, k)), axis=1)[:, ::-1]
        pairs[name] = (ids, (raw / raw.sum(axis=1, keepdims=True) * 0.9).astype(np.float16))
    return TopKPredictions(generator.integers(0, CLASSES, IMAGES), TopK(pairs, CLASSES))
