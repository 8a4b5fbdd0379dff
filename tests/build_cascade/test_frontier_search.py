"""The search equals brute force: every cascade and every cell of the grid, replayed by the served gate."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from build_cascade.committee import Committee, as_problem
from build_cascade.errors import GoalError
from build_cascade.evaluation import evaluate
from build_cascade.exhaustive.frontier import undominated
from build_cascade.exhaustive.grid import quantile_thresholds
from build_cascade.exhaustive.scoring import prefix_statistics
from build_cascade.frontier_search import committee_frontier, free_weight_frontier, search_frontier
from build_cascade.predictions import Predictions
from build_cascade.search_space import SearchSpace
from cascade_core.gating import COMBINES, CONFIDENCES
from tests.support.random_predictions import COSTS, random_predictions


def brute_force(predictions, committee, count=50):
    problem = as_problem(predictions, COSTS)
    models = [problem.names.index(name) for name in committee.stages]
    grids = [
        [*quantile_thresholds(prefix.confidence, count), np.inf]
        for prefix in prefix_statistics(problem, models, committee.rule)[:-1]
    ]
    for thresholds in itertools.product(*grids):
        seen = evaluate(predictions, COSTS, committee, [float(t) for t in thresholds])
        yield seen.correct, seen.mean_cost


def frontier_of(points):
    best, frontier = -1, []
    for correct, cost in sorted(points, key=lambda point: (round(point[1], 9), -point[0])):
        if correct > best:
            frontier.append((correct, pytest.approx(cost)))
            best = correct
    return frontier


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    stages=st.permutations(["a", "b", "c"]),
    length=st.integers(1, 3),
    ratio=st.sampled_from([1.0, 1.5, 2.0]),
    confidence=st.sampled_from(sorted(CONFIDENCES)),
    combine=st.sampled_from(COMBINES),
)
def test_one_committee_equals_brute_force(seed, stages, length, ratio, confidence, combine):
    predictions = random_predictions(seed)
    committee = Committee.of(stages[:length], confidence, ratio, combine)
    found = committee_frontier(predictions, COSTS, committee)
    assert [(c.correct, c.mean_cost) for c in found] == frontier_of(brute_force(predictions, committee))


@pytest.mark.parametrize("seed", range(3))
def test_the_whole_search_equals_brute_force(seed):
    predictions = random_predictions(seed, images=20, levels=4)
    points = []
    for length in (1, 2, 3):
        for stages in itertools.permutations("abc", length):
            for ratio in (1.0, 2.0):
                points += brute_force(predictions, Committee.of(stages, ratio=ratio))
    found = search_frontier(predictions, COSTS, SearchSpace(("max_probability",), ratios=(1.0, 2.0), all_orders=True))
    assert [(c.correct, c.mean_cost) for c in found] == frontier_of(points)


def test_what_is_found_is_what_a_replay_gives():
    predictions = random_predictions(7, images=200)
    for candidate in search_frontier(predictions, COSTS, SearchSpace(tuple(CONFIDENCES), COMBINES)):
        seen = evaluate(predictions, COSTS, candidate.committee, candidate.thresholds)
        assert (seen.correct, seen.mean_cost) == (candidate.correct, pytest.approx(candidate.mean_cost))


def test_equal_confidences_leave_the_cheapest_alone():
    flat = np.full((10, 4), 0.25, np.float16)
    predictions = Predictions(np.zeros(10, int), {"a": flat, "b": flat})
    found = search_frontier(predictions, COSTS)
    assert [(c.committee.stages, c.correct) for c in found] == [(("a",), 10)]


def test_constraints_hold_for_all_that_is_found():
    predictions = random_predictions(5, images=100)
    for candidate in search_frontier(
        predictions, COSTS, SearchSpace(worst_cost=11.0, must_include=("a",), max_stages=2)
    ):
        assert "a" in candidate.committee.stages
        assert sum(COSTS[name] for name in candidate.committee.stages) <= 11.0


@pytest.mark.parametrize(
    ("space", "says"),
    [
        (SearchSpace(worst_cost=0.5), "cheapest backbone costs 1"),
        (SearchSpace(must_include=("ghost",)), "no backbone 'ghost'"),
        (SearchSpace(must_include=("c",), worst_cost=5.0), "no committee"),
    ],
)
def test_constraints_that_nothing_satisfies_are_named(space, says):
    with pytest.raises(GoalError, match=says):
        search_frontier(random_predictions(3), COSTS, space)


def test_a_pool_that_would_take_hours_is_refused():
    names = [f"m{place}" for place in range(70)]
    row = np.full((1, 2), 0.5, np.float16)
    predictions = Predictions(np.zeros(1, int), dict.fromkeys(names, row))
    with pytest.raises(GoalError, match=r"hours.*greedy"):
        search_frontier(predictions, dict.fromkeys(names, 1.0))


def test_an_interrupted_search_keeps_the_best_so_far():
    def interrupt(done, total):
        raise KeyboardInterrupt

    found = search_frontier(random_predictions(3), COSTS, SearchSpace(confidences=("margin",)), interrupt)
    assert found  # the first chunk was done


@pytest.mark.parametrize("seed", range(5))
def test_free_weights_never_lose_and_replay_to_their_numbers(seed):
    predictions = random_predictions(seed, images=150)
    committee = Committee.of(["a", "b", "c"], "margin")
    weighed = free_weight_frontier(predictions, COSTS, committee)
    for candidate in weighed:
        seen = evaluate(predictions, COSTS, candidate.committee, candidate.thresholds)
        assert (seen.correct, seen.mean_cost) == (candidate.correct, pytest.approx(candidate.mean_cost))
    for even in committee_frontier(predictions, COSTS, committee):
        assert any(c.correct >= even.correct and c.mean_cost <= even.mean_cost for c in weighed)
    assert undominated([*weighed, *reversed(weighed)], lambda c: c.correct) == weighed
