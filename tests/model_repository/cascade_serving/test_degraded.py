"""Answers without a failed stage, by the cascade's own rule, whichever that is."""

from __future__ import annotations

import numpy as np
import pytest

from cascade_core.gating import COMBINES, CONFIDENCES, GatingRule, replay
from cascade_serving.degraded import answer_from_remaining_stages


@pytest.mark.parametrize("combine", COMBINES)
@pytest.mark.parametrize("confidence", sorted(CONFIDENCES))
def test_the_remaining_stages_answer_by_the_cascades_own_rule(combine, confidence):
    rows = np.random.default_rng(0).dirichlet(np.ones(4), (3, 8)).astype(np.float32)
    rule, weights = GatingRule((1.0, 2.0, 3.0), confidence, combine), (1.0, 3.0)
    everyone = replay(rule, [0.0, 0.0], list(rows))
    rows[1] = np.nan  # the second stage failed
    degraded = answer_from_remaining_stages(rule, everyone, rows, range(8))
    rest = replay(GatingRule(weights, confidence, combine), [np.inf], [rows[0], rows[2]])
    np.testing.assert_array_equal(degraded.class_id, rest.class_id)
    np.testing.assert_array_equal(degraded.confidence, rest.confidence)
    np.testing.assert_array_equal(degraded.probabilities, rest.probabilities)
    assert (degraded.exit_stage == 3).all()
