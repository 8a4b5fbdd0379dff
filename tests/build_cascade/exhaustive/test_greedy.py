from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from build_cascade.exhaustive.committees import Constraints
from build_cascade.exhaustive.greedy import greedy
from build_cascade.exhaustive.grid_search import grid_search
from tests.support.random_problems import (
    cost_and_right,
    dense_rows,
    equal_weights,
    grids,
    make_pool,
    own_answers,
    pools,
)

slow = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
CONFIDENCES = st.sampled_from(["max_probability", "margin"])
ALPHAS = st.sampled_from([1.0, 0.99, 0.9, 0.5])


def constraint_holds(class_id, exit_stage, reference_right, labels, alpha, stages):
    return all(
        (class_id == labels)[exit_stage == stage].sum() >= alpha * reference_right[exit_stage == stage].sum()
        for stage in range(1, stages + 1)
    )


@slow
@given(pools(), CONFIDENCES, ALPHAS, st.integers(0, 3))
def test_each_stage_satisfies_the_constraint_on_the_rows_it_answers(drawn, confidence, alpha, reference):
    pool, dense = drawn
    reference %= len(dense)
    cascade = greedy(pool, reference, alpha, confidence)
    class_id, exit_stage = own_answers(dense, cascade.committee, cascade.rule, cascade.thresholds)
    assert cost_and_right(class_id, exit_stage, pool, cascade.committee) == (cascade.mean_cost, cascade.right)
    reference_right = dense[reference].argmax(axis=1) == pool.labels
    assert constraint_holds(class_id, exit_stage, reference_right, pool.labels, alpha, len(cascade.committee))
    assert cascade.right >= alpha * reference_right.sum()
    assert len(set(cascade.committee)) == len(cascade.committee)
    assert set(exit_stage) == set(range(1, len(cascade.committee) + 1))


@slow
@given(pools(), CONFIDENCES, ALPHAS)
def test_cost_is_never_below_the_exhaustive_optimum(drawn, confidence, alpha):
    pool, _ = drawn
    cascade = greedy(pool, 0, alpha, confidence)
    rule = equal_weights(confidence=confidence, combine="last")
    # At most 60 images: 255 thresholds are every place between two confidences.
    found = grid_search(pool, rule, Constraints(stages=min(3, len(cascade.committee)), all_orders=True), thresholds=255)
    if len(cascade.committee) <= 3:
        best = found.cheapest(cascade.right)
        assert best is not None
        assert best.mean_cost <= cascade.mean_cost


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(pools(most_models=3), ALPHAS)
def test_cost_is_within_four_times_the_best_that_satisfies_the_constraint(drawn, alpha):
    pool, dense = drawn
    rule = equal_weights(combine="last")
    reference_right = dense[0].argmax(axis=1) == pool.labels
    best = np.inf
    for size in range(1, len(dense) + 1):
        for committee in itertools.permutations(range(len(dense)), size):
            for thresholds in grids(dense, committee, rule, 12):
                class_id, exit_stage = own_answers(dense, committee, rule, thresholds)
                if constraint_holds(class_id, exit_stage, reference_right, pool.labels, alpha, size):
                    best = min(best, cost_and_right(class_id, exit_stage, pool, committee)[0])
    assert greedy(pool, 0, alpha).mean_cost <= 4 * best


def test_the_greedy_takes_the_ratio_not_the_count():
    """A model that answers all for 10 against one that answers three quarters for 1."""
    labels = np.zeros(40, int)
    sure = np.tile(np.array([0.75, 0.25], np.float16), (40, 1))
    cheap = sure.copy()
    cheap[30:] = [0.375, 0.625]
    cheap[:30] = [0.875, 0.125]
    pool, _ = make_pool([sure, cheap], [10, 1], labels)
    cascade = greedy(pool, 0)
    assert cascade.committee == (1, 0)
    assert cascade.reach == (40, 10)
    assert cascade.thresholds == (0.75,)
    assert cascade.mean_cost == (40 * 1 + 10 * 10) / 40
    assert cascade.right == 40


def test_equal_confidences_are_not_parted():
    labels = np.zeros(10, int)
    reference = np.tile(np.array([0.75, 0.25], np.float16), (10, 1))
    cheap = reference.copy()
    cheap[5] = [0.25, 0.75]  # as sure as the rest, and wrong
    pool, _ = make_pool([reference, cheap], [10, 1], labels)
    assert greedy(pool, 0).committee == (0,)
    assert greedy(pool, 0, 0.9).committee == (1,)


def test_a_pool_of_hundreds():
    rng = np.random.default_rng(0)
    pool, _ = make_pool(
        [dense_rows(rng, 500, 5, "smooth") for _ in range(200)],
        rng.uniform(1, 9, 200),
        rng.integers(5, size=500),
    )
    cascade = greedy(pool, 7)
    assert cascade.reach[0] == 500
    assert cascade.mean_cost <= pool.costs[7] * 4


@pytest.mark.parametrize(("reference", "alpha"), [(0, 0.0), (0, 1.01), (2, 1.0), (-1, 1.0)])
def test_bad_arguments(reference, alpha):
    rows = np.ones((3, 1), np.float16)
    pool, _ = make_pool([rows] * 2, [1, 1], np.zeros(3))
    with pytest.raises(ValueError, match=r"alpha|reference"):
        greedy(pool, reference, alpha)
