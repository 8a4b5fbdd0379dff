from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from build_cascade.exhaustive.committees import Constraints, list_committees, worst_cost
from build_cascade.exhaustive.compiled import use_threads
from build_cascade.exhaustive.frontier import grids_of, merge_points, score_cascade, thresholds_of
from build_cascade.exhaustive.grid import between, lay_grid, quantile_thresholds
from build_cascade.exhaustive.grid_search import count_cells, grid_search
from build_cascade.exhaustive.rules import geometric_weights
from cascade_core import gating
from cascade_core.gating import GatingRule
from tests.support.random_problems import (
    brute_force,
    cost_and_right,
    dense_rows,
    equal_weights,
    make_pool,
    own_answers,
    pools,
    replayed,
)

CONFIDENCES = st.sampled_from(sorted(gating.CONFIDENCES))
RATIOS = st.sampled_from([1.0, 1.25, 1.5, 3.0, 0.7])
slow = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@slow
@given(pools(), CONFIDENCES, RATIOS, st.sampled_from([1, 2, 3]), st.booleans(), st.sampled_from(gating.COMBINES))
def test_search_equals_brute_force_over_every_cell(drawn, confidence, ratio, count, all_orders, combine):
    pool, dense = drawn
    rule = GatingRule(geometric_weights(ratio, 4), confidence, combine)
    constraints = Constraints(stages=4 if count < 3 and not all_orders else 3, all_orders=all_orders)
    found = grid_search(pool, rule, constraints, thresholds=count)
    committees = list_committees(pool.costs, constraints)
    best, cells = brute_force(pool, dense, committees, rule, count)
    np.testing.assert_array_equal(found.mean_cost, best)
    assert found.cells == cells
    assert found.complete


@slow
@given(pools(), CONFIDENCES, RATIOS, st.sampled_from([3, 50]))
def test_every_point_replays_to_its_numbers(drawn, confidence, ratio, count):
    pool, dense = drawn
    rule = GatingRule(geometric_weights(ratio, 4), confidence)
    found = grid_search(pool, rule, thresholds=count)
    points = found.points()
    assert points
    for point in points[:8]:
        thresholds = thresholds_of(point, grids_of(pool, point.committee, rule, count))
        cascade = score_cascade(pool, point.committee, rule, thresholds)
        outcome = replayed(dense, cascade.committee, rule, cascade.thresholds)
        assert cost_and_right(outcome.class_id, outcome.exit_stage, pool, point.committee) == (
            point.mean_cost,
            point.right,
        )
        assert (cascade.mean_cost, cascade.right) == (point.mean_cost, point.right)
        assert cascade.reach == tuple(int((outcome.exit_stage > k).sum()) for k in range(len(point.committee)))
    assert merge_points(reversed(points)) == points


@slow
@given(pools(), CONFIDENCES)
def test_ensembles_are_replays_in_which_no_image_exits(drawn, confidence):
    pool, dense = drawn
    rule = equal_weights(confidence=confidence)
    for ensemble in grid_search(pool, rule, thresholds=2).ensembles(pool.costs):
        unreachable = [np.inf] * (len(ensemble.committee) - 1)
        outcome = replayed(dense, ensemble.committee, rule, unreachable)
        assert int((outcome.class_id == pool.labels).sum()) == ensemble.right
        assert ensemble.cost == worst_cost(ensemble.committee, pool.costs)


@slow
@given(pools(), st.integers(1, 4), st.floats(0.5, 8), st.booleans())
def test_constraints_filter_committees(drawn, stages, bound, all_orders):
    pool, _ = drawn
    constraints = Constraints(stages, bound, frozenset({0}), all_orders)
    allowed = list_committees(pool.costs, constraints)
    free = list_committees(pool.costs, Constraints(4, all_orders=all_orders))
    assert allowed == [c for c in free if len(c) <= stages and 0 in c and worst_cost(c, pool.costs) <= bound]
    assert len(set(free)) == len(free)
    if not allowed:
        with pytest.raises(ValueError, match="no committee"):
            grid_search(pool, equal_weights(), constraints)


@given(
    st.lists(
        st.sampled_from([0.0, 0.1, 0.1000001, 0.5, 0.9995, 1.0, float(np.nextafter(np.float32(1), 0))]),
        min_size=1,
    )
)
def test_no_image_is_between_two_sides_of_a_threshold(values):
    confidence = np.array(values, np.float32)
    distinct = np.unique(confidence)
    thresholds = quantile_thresholds(confidence, 255)
    assert len(thresholds) == len(distinct) - 1
    for place, threshold in enumerate(thresholds):
        assert distinct[place] < threshold <= distinct[place + 1]
    grid = lay_grid(confidence[None], 3, 1)
    expected = (confidence[:, None] >= grid.thresholds[0]).sum(axis=1)
    np.testing.assert_array_equal(grid.bins[0], expected)
    assert len(grid.thresholds[0]) <= 3
    assert (np.diff(grid.thresholds[0]) > 0).all()


def test_a_grid_of_quantiles_is_near_them():
    confidence = np.random.default_rng(0).permutation(10_000).astype(np.float32)
    bins = lay_grid(confidence[None], 50, 2).bins[0]
    assert np.abs(np.bincount(bins) - 10_000 / 51).max() <= 2


def test_neighbouring_floats_have_the_upper_one_as_threshold():
    low = np.float32(0.5)
    high = np.nextafter(low, np.float32(1))
    assert between(low, high) == high
    np.testing.assert_array_equal(lay_grid(np.array([[low, high]]), 5, 1).bins, [[0, 1]])


def searched_by_threads(threads):
    rng = np.random.default_rng(4)
    pool, _ = make_pool(
        [dense_rows(rng, 200, 5, "coarse") for _ in range(5)], [1, 1, 1, 2, 2], rng.integers(5, size=200)
    )
    assert use_threads(threads) == threads
    return grid_search(pool, equal_weights(), thresholds=7, threads=threads)


def test_threads_do_not_change_the_result(monkeypatch):
    monkeypatch.setenv("NUMBA_NUM_THREADS", "2")  # numba reads it once, and the tests' own process may have one thread
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        one, two = process.map(searched_by_threads, (1, 2))
    for name in ("mean_cost", "committee", "cell"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def test_an_interrupt_keeps_the_best_so_far(monkeypatch):
    monkeypatch.setattr("build_cascade.exhaustive.grid_search._CHUNK", 4)
    rng = np.random.default_rng(5)
    pool, _ = make_pool([dense_rows(rng, 50, 5, "smooth") for _ in range(4)], [1, 2, 3, 4], rng.integers(5, size=50))
    seen = []

    def interrupt(done: int, total: int) -> None:
        seen.append((done, total))
        if len(seen) == 2:
            raise KeyboardInterrupt

    found = grid_search(pool, equal_weights(), thresholds=5, on_count=interrupt)
    assert seen == [(4, 15), (8, 15)]
    assert not found.complete
    part = grid_search(pool, equal_weights(), thresholds=5, committees=list_committees(pool.costs, Constraints())[:8])
    np.testing.assert_array_equal(found.mean_cost, part.mean_cost)


@pytest.mark.parametrize("kind", ["flat", "smooth"])
def test_one_backbone(kind):
    rng = np.random.default_rng(1)
    pool, dense = make_pool([dense_rows(rng, 30, 4, kind)], [2.5], rng.integers(4, size=30))
    found = grid_search(pool, equal_weights())
    right = int((dense[0].argmax(axis=1) == pool.labels).sum())
    assert [(p.right, p.mean_cost, p.committee) for p in found.points()] == [(right, 2.5, (0,))]


def test_one_class_is_always_right_and_the_cheapest_wins():
    rows = np.ones((9, 1), np.float16)
    pool, _ = make_pool([rows, rows], [2, 1], np.zeros(9))
    for confidence in ("max_probability", "margin", "entropy"):
        (point,) = grid_search(pool, equal_weights(confidence=confidence)).points()
        assert (point.right, point.mean_cost, point.committee) == (9, 1.0, (1,))


def test_equal_confidences_exit_all_or_none():
    rng = np.random.default_rng(2)
    flat = dense_rows(rng, 20, 4, "flat")
    pool, dense = make_pool([flat, dense_rows(rng, 20, 4, "smooth")], [1, 2], rng.integers(4, size=20))
    found = grid_search(pool, equal_weights())
    assert found.cells == 3
    np.testing.assert_array_equal(found.mean_cost, brute_force(pool, dense, found.committees, equal_weights(), 50)[0])


@pytest.mark.parametrize("topk", [None, 5])
def test_21000_classes(topk):
    rng = np.random.default_rng(3)
    arrays = [dense_rows(rng, 40, 21_000, "smooth") for _ in range(3)]
    labels = np.where(rng.random(40) < 0.5, arrays[0].argmax(axis=1), arrays[1].argmax(axis=1))
    pool, dense = make_pool(arrays, [1, 2, 4], labels, topk)
    for confidence in ("max_probability", "margin"):
        rule = equal_weights(confidence=confidence)
        found = grid_search(pool, rule, thresholds=4)
        np.testing.assert_array_equal(found.mean_cost, brute_force(pool, dense, found.committees, rule, 4)[0])


def test_too_many_stages_names_the_greedy():
    rows = np.ones((3, 1), np.float16)
    pool, _ = make_pool([rows] * 5, [1] * 5, np.zeros(3))
    with pytest.raises(ValueError, match="greedy"):
        grid_search(pool, GatingRule((1.0,) * 5), Constraints(stages=5))
    with pytest.raises(ValueError, match=r"4 weights for 5 stages|greedy"):
        grid_search(pool, equal_weights(), committees=[(0, 1, 2, 3, 4)])
    with pytest.raises(ValueError, match="255"):
        grid_search(pool, equal_weights(), thresholds=256)


def test_count_cells_is_what_is_evaluated_when_confidences_differ():
    rng = np.random.default_rng(6)
    pool, _ = make_pool([dense_rows(rng, 300, 9, "smooth") for _ in range(4)], [1, 2, 3, 4], rng.integers(9, size=300))
    found = grid_search(pool, equal_weights(), thresholds=4)
    assert found.cells == count_cells(found.committees, 4)


def test_own_answers_is_last_only():
    rng = np.random.default_rng(7)
    dense = [dense_rows(rng, 30, 4, "smooth") for _ in range(2)]
    class_id, exit_stage = own_answers(dense, (0, 1), equal_weights(combine="last"), [np.inf])
    np.testing.assert_array_equal(class_id, gating.replay(GatingRule((1.0,)), [], [dense[1]]).class_id)
    assert (exit_stage == 2).all()
