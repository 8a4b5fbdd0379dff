"""Risk against coverage, what is picked to be drawn, and where names are put."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.text import Text

from build_cascade.committee import Committee, stage_statistics
from build_cascade.evaluation import evaluate
from build_cascade.exhaustive.scoring import PrefixStatistics
from build_cascade.predictions import Predictions
from build_cascade.report.coverage import curves, risk_coverage
from build_cascade.report.labels import Label, place
from build_cascade.report.log_spacing import log_spaced

COSTS = {"a": 1.0, "b": 3.0, "c": 10.0}
INFINITE = float("inf")


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
    found = curves(predictions, committee, (threshold, INFINITE))
    for size, curve in enumerate(found, start=1):
        prefix = Committee(committee.stages[:size], committee.rule.first(size))
        whole = evaluate(predictions, COSTS, prefix, [INFINITE] * (size - 1))
        assert curve.coverage[-1] == 1
        assert curve.risk[-1] == pytest.approx(1 - whole.accuracy)
        assert (np.diff(curve.coverage) > 0).all()
        assert ((curve.risk >= 0) & (curve.risk <= 1)).all()
    first = evaluate(predictions, COSTS, committee, (threshold, INFINITE)).exit_rates[0]
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


def test_picks_are_spread_over_the_logarithm_and_away_from_what_is_taken():
    costs = [1.0, 1.1, 1.2, 10.0, 11.0, 100.0]
    assert log_spaced(costs, 3, float) == [1.0, 10.0, 100.0]
    assert log_spaced(costs, 3, float, taken=9.0) == [1.0, 100.0]
    assert log_spaced(costs, 6, float) == costs
    assert log_spaced([], 3, float) == []
    assert log_spaced([5.0], 3, float, taken=5.0) == []


def test_names_cover_neither_each_other_nor_the_points():
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    generator = np.random.default_rng(0)
    points = generator.random((20, 2)) * [0.3, 1.0]
    axes.set_xlim(-0.4, 0.7)
    axes.scatter(*points.T)
    place(axes, [Label(f"backbone_{i}", x, y) for i, (x, y) in enumerate(points)], [], "black", "white")
    figure.draw_without_rendering()
    # The leading line of an annotation is no part of what may cover.
    boxes = [Text.get_window_extent(annotation) for annotation in axes.texts]
    pixels = axes.transData.transform(points)
    assert len(boxes) == 20
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    assert not any(box.contains(*pixel) for box in boxes for pixel in pixels)
