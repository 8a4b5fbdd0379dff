"""Risk against coverage is that of a replay."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from build_cascade.committee import Committee, stage_statistics
from build_cascade.evaluation import evaluate
from build_cascade.exhaustive.scoring import PrefixStatistics
from build_cascade.predictions import Predictions
from build_cascade.report.coverage import curves, risk_coverage
from cascade_core.gating import UNREACHABLE

COSTS = {"a": 1.0, "b": 3.0, "c": 10.0}


def coarse_predictions(seed, images=40, classes=3):
    """Equal confidences are common."""
    generator = np.random.default_rng(seed)
    raw = generator.integers(1, 6, (len(COSTS), images, classes)) ** 2.0
    probabilities = (raw / raw.sum(axis=2, keepdims=True)).astype(np.float16)
    return Predictions(generator.integers(0, classes, images), dict(zip(COSTS, probabilities, strict=True)))


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    confidence=st.sampled_from(["max_probability", "margin"]),
    ratio=st.sampled_from([1.0, 1.5]),
    threshold=st.floats(0, 1),
)
def test_risk_and_coverage_are_those_of_a_replay(seed, confidence, ratio, threshold):
    predictions = coarse_predictions(seed)
    committee = Committee.of("abc", confidence, ratio)
    found = curves(predictions, committee, (threshold, UNREACHABLE))
    for size, curve in enumerate(found, start=1):
        prefix = Committee(committee.stages[:size], committee.rule.first(size))
        whole = evaluate(predictions, COSTS, prefix, [UNREACHABLE] * (size - 1))
        assert curve.coverage[-1] == 1
        assert curve.risk[-1] == pytest.approx(1 - whole.accuracy)
        assert (np.diff(curve.coverage) > 0).all()
        assert ((curve.risk >= 0) & (curve.risk <= 1)).all()
    first = evaluate(predictions, COSTS, committee, (threshold, UNREACHABLE)).exit_rates[0]
    assert (found[0].chosen or (0.0, 0.0))[0] == pytest.approx(first)
    assert found[1].chosen is None
    assert found[2].chosen is None


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_every_point_of_a_curve_is_a_threshold(seed):
    committee = Committee.of("ab")
    predictions = coarse_predictions(seed)
    stage = stage_statistics(predictions, committee)[0]
    coverage, risk = risk_coverage(stage)
    expected = []
    for threshold in np.unique(stage.confidence)[::-1]:
        covered = stage.confidence >= threshold
        expected.append((covered.mean(), (~stage.right[covered]).mean()))
    np.testing.assert_allclose(np.column_stack([coverage, risk]), expected)


def test_one_confidence_for_all_is_one_point():
    stage = PrefixStatistics(np.zeros(4, np.int32), np.array([True, False, True, True]), np.full(4, 0.5, np.float32))
    coverage, risk = risk_coverage(stage)
    assert (list(coverage), list(risk)) == ([1.0], [0.25])
