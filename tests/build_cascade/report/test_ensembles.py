"""The frontier of ensembles equals brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from build_cascade.committee import Committee
from build_cascade.evaluator import Evaluator
from build_cascade.predictions import Predictions
from build_cascade.report.ensembles import best_ensembles
from cascade_core.gating import UNREACHABLE
from tests.support.reports import (
    COSTS,
    IMAGES,
    NAMES,
)


@pytest.mark.parametrize("seed", range(4))
def test_no_ensemble_on_the_frontier_is_beaten_on_calibration(seed):
    generator = np.random.default_rng(seed)
    noise = {name: generator.dirichlet(np.ones(5), IMAGES).astype(np.float16) for name in NAMES}
    pool = Predictions(generator.integers(0, 5, IMAGES), noise)  # no backbone is better: dear ensembles are beaten
    evaluator = Evaluator(pool, pool, COSTS)
    found = best_ensembles(evaluator.calibration, evaluator.costs)
    seen = [evaluator.on_calibration(c, [UNREACHABLE] * (len(c.stages) - 1)) for c in found]
    every = [evaluator.on_calibration(Committee.of(c), [UNREACHABLE] * (len(c) - 1)) for c in committees(NAMES)]
    kept = [e for e in every if not any(o.mean_cost < e.mean_cost and o.correct >= e.correct for o in every)]
    assert {e.correct for e in seen} == {e.correct for e in kept}
    assert len(seen) == len(kept)


def committees(names):
    return [chosen for size in range(2, len(names) + 1) for chosen in itertools.combinations(names, size)]
