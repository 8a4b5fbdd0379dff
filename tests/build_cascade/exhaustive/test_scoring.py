from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from build_cascade.exhaustive.compact import logarithms
from build_cascade.exhaustive.rules import geometric_weights, rule_grid
from build_cascade.exhaustive.scoring import prefix_statistics
from build_cascade.exhaustive.sources import DenseSource, Problem, RowBlocks, TopKSource
from cascade_core import gating
from cascade_core.gating import EPSILON, GatingRule
from tests.support.random_problems import dense_rows, equal_weights, make_pool, pools, to_topk

slow = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
WEIGHTS = st.lists(st.floats(0.01, 100), min_size=4, max_size=4).map(tuple)


def means(dense, committee, weights, combine="mean"):
    total = None
    for stage, model in enumerate(committee):
        total = gating.accumulate(total, dense[model], weights[stage], combine)
        yield gating.mean_prediction(total, weights[: stage + 1], combine)


@slow
@given(pools(), WEIGHTS, st.sampled_from(sorted(gating.CONFIDENCES)), st.sampled_from(gating.COMBINES), st.randoms())
def test_prefixes_equal_gating_to_the_bit(drawn, weights, confidence, combine, random):
    pool, dense = drawn
    committee = list(range(pool.predictions.models))
    random.shuffle(committee)
    found = prefix_statistics(pool, committee, GatingRule(weights, confidence, combine))
    for stage, mean in zip(found, means(dense, committee, weights, combine), strict=True):
        np.testing.assert_array_equal(stage.predicted, mean.argmax(axis=1))
        np.testing.assert_array_equal(stage.right, mean.argmax(axis=1) == pool.labels)
        np.testing.assert_array_equal(stage.confidence, gating.CONFIDENCES[confidence](mean))
        assert stage.confidence.dtype == np.float32


def test_blocks_of_rows_do_not_change_anything(monkeypatch):
    rng = np.random.default_rng(0)
    pool, _ = make_pool([dense_rows(rng, 100, 9, "smooth") for _ in range(3)], [1, 2, 3], rng.integers(9, size=100))
    whole = prefix_statistics(pool, (0, 1, 2), equal_weights())
    monkeypatch.setattr("build_cascade.exhaustive.sources._BLOCK_BYTES", 1)
    assert len(list(RowBlocks(pool, [0, 1, 2], equal_weights()))) == 7
    for one, other in zip(whole, prefix_statistics(pool, (0, 1, 2), equal_weights()), strict=True):
        np.testing.assert_array_equal(one.confidence, other.confidence)
        np.testing.assert_array_equal(one.right, other.right)


def test_blocks_are_read_again_when_they_do_not_fit():
    rng = np.random.default_rng(0)
    pool, _ = make_pool([dense_rows(rng, 20, 9, "smooth")], [1], rng.integers(9, size=20))
    blocks = RowBlocks(pool, [0], equal_weights(), keep_bytes=0)
    (one,), (other,) = list(blocks), list(blocks)
    assert one[1] is not other[1]
    np.testing.assert_array_equal(one[1].values, other[1].values)


def test_few_of_many_classes_are_kept():
    rng = np.random.default_rng(0)
    pool, _ = make_pool([dense_rows(rng, 50, 1000, "smooth") for _ in range(3)], [1, 2, 3], rng.integers(1000, size=50))
    ((_, rows),) = RowBlocks(pool, [0, 1, 2], equal_weights())
    ((_, everything),) = RowBlocks(pool, [0, 1, 2], equal_weights(confidence="entropy"))
    assert len(rows.class_ids) < len(everything.class_ids) / 2


def test_float32_predictions_are_rounded_as_gating_rounds_them():
    rng = np.random.default_rng(1)
    rows = rng.dirichlet(np.ones(5), 40).astype(np.float32)
    pool = Problem(("m",), np.ones(1), DenseSource([rows]), np.zeros(40, np.int32))
    (stage,) = prefix_statistics(pool, (0,), equal_weights(confidence="margin"))
    np.testing.assert_array_equal(stage.confidence, gating.margin(gating.accumulate(None, rows, 1.0)))


def test_topk_of_different_widths():
    rng = np.random.default_rng(2)
    rows = [dense_rows(rng, 30, 6, "smooth") for _ in range(2)]
    pairs = [to_topk(rows[0], 2), to_topk(rows[1], 5)]
    source = TopKSource([i for i, _ in pairs], [p for _, p in pairs], 6)
    source.check()
    assert (np.count_nonzero(source.dense(0), axis=1) <= 2).all()


def test_logarithms_of_every_float16():
    values = np.arange(0x3C01, dtype=np.uint16).view(np.float16).astype(np.float32)
    expected = np.log(np.maximum(values.astype(np.float64), EPSILON)).astype(np.float32)
    np.testing.assert_array_equal(logarithms(values), expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows.__setitem__((3, 1), np.nan), "row 3 has NaN"),
        (lambda rows: rows.__setitem__(4, 0), "row 4 has no positive"),
        (lambda rows: rows.__setitem__((2, 0), -0.5), "row 2 has a number outside"),
        (lambda rows: rows.__setitem__(5, 0.1), "row 5 does not sum"),
    ],
)
def test_bad_rows_are_named(change, message):
    rows = dense_rows(np.random.default_rng(0), 8, 4, "smooth")
    DenseSource([rows]).check()
    change(rows)
    with pytest.raises(ValueError, match=message):
        DenseSource([rows]).check()


def test_bad_topk_is_named():
    good = np.array([[0, 1], [2, 1]]), np.array([[0.5, 0.25], [0.75, 0.125]], np.float16)
    for ids, message in ([[0, 1], [2, 2]], "row 1 names a class twice"), ([[0, 1], [9, 1]], "beyond 2"):
        with pytest.raises(ValueError, match=message):
            TopKSource([np.array(ids)], [good[1]], 3).check()
    with pytest.raises(ValueError, match="pairs"):
        TopKSource([good[0]], [good[1][:1]], 3)


def test_bad_pools_are_refused():
    rows = DenseSource([np.ones((2, 1), np.float16)])
    for names, costs, labels, message in (
        (("a", "b"), [1], [0, 0], "must agree"),
        (("a",), [0], [0, 0], "cost of a"),
        (("a",), [np.nan], [0, 0], "cost of a"),
        (("a",), [1], [0], "1 labels"),
        (("a",), [1], [0, 1], "labels must lie"),
    ):
        with pytest.raises(ValueError, match=message):
            Problem(names, np.array(costs, float), rows, np.array(labels, np.int32))
    with pytest.raises(ValueError, match="one shape"):
        DenseSource([np.ones((2, 1), np.float16), np.ones((3, 1), np.float16)])


def test_the_grid_of_rules_has_last_once_for_each_confidence():
    assert geometric_weights(1.5, 3) == (1.0, 1.5, 2.25)
    assert len(rule_grid([1, 1.5], ["max_probability", "margin"], ["mean", "last"])) == 6


def test_sums_that_division_makes_equal_are_ties():
    """Neighbours 1.5 + n/2^23 often have the same third: class 0 is then the answer."""
    small = (np.arange(500) * 2.0**-23).astype(np.float16)
    large = np.full((500, 2), 0.75, np.float16)
    third = np.stack([small, (small.astype(float) + 2.0**-23).astype(np.float16)], axis=1)
    pool, dense = make_pool([large, large, third], [1, 1, 1], np.ones(500))
    *_, total = itertools.accumulate((rows.astype(np.float32) for rows in dense), np.add)
    assert (total[:, 0] < total[:, 1]).all()
    expected = [mean.argmax(axis=1) for mean in means(dense, (0, 1, 2), (1.0, 1.0, 1.0))][-1]
    assert 50 < expected.sum() < 450
    last = prefix_statistics(pool, (0, 1, 2), equal_weights())[-1]
    np.testing.assert_array_equal(last.predicted, expected)
    np.testing.assert_array_equal(last.right, expected == 1)
