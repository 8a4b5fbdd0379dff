"""What a cascade does on labelled images."""

from __future__ import annotations

import numpy as np
import pytest

from build_cascade.committee import Committee
from build_cascade.evaluation import evaluate, wilson_interval
from tests.support.random_predictions import COSTS, random_predictions


def test_an_ensemble_never_exits_early():
    seen = evaluate(random_predictions(1), COSTS, Committee.of("abc"), [np.inf, np.inf])
    assert seen.exit_rates == (0.0, 0.0, 1.0)
    assert seen.mean_cost == seen.worst_cost == pytest.approx(14.0)


@pytest.mark.parametrize(
    ("successes", "trials", "expected"), [(0, 10, (0.0, 0.2775)), (10, 10, (0.7225, 1.0)), (50, 100, (0.4038, 0.5962))]
)
def test_wilson_interval(successes, trials, expected):
    assert wilson_interval(successes, trials) == pytest.approx(expected, abs=1e-4)
