"""The search equals brute force: every cascade and every cell of the grid, replayed by the served gate."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from build_cascade.committee import Committee, as_problem
from build_cascade.errors import GoalError
from build_cascade.evaluation import evaluate, wilson_interval
from build_cascade.exhaustive.frontier import undominated
from build_cascade.exhaustive.grid import quantile_thresholds
from build_cascade.exhaustive.scoring import prefix_statistics
from build_cascade.frontier_search import committee_frontier, free_weight_frontier, search_frontier
from build_cascade.goal import Goal
from build_cascade.greedy_search import greedy_search
from build_cascade.predictions import PredictionError, Predictions
from build_cascade.search_space import SearchSpace
from build_cascade.selection import select
from cascade_core.gating import COMBINES, CONFIDENCES

COSTS = {"a": 1.0, "b": 3.0, "c": 10.0}


def random_predictions(
    seed: int, images: int = 30, classes: int = 3, names=("a", "b", "c"), levels: int = 6
) -> Predictions:
    """Coarse probabilities: ties and equal confidences are common."""
    generator = np.random.default_rng(seed)
    raw = generator.integers(1, levels, (len(names), images, classes)) ** 2.0
    probabilities = (raw / raw.sum(axis=2, keepdims=True)).astype(np.float16)
    return Predictions(generator.integers(0, classes, images), dict(zip(names, probabilities, strict=True)))


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


def test_a_goal_picks_the_cheapest_that_is_accurate_enough():
    predictions = random_predictions(3, images=100)
    frontier = search_frontier(predictions, COSTS)
    best = frontier[-1]
    assert select(frontier, 100, Goal(accuracy_at_least=best.correct / 100)) == best
    assert select(frontier, 100, Goal(accuracy_at_least=0.0)) == frontier[0]
    assert select(frontier, 100, Goal(cost_at_most=best.mean_cost)) == best


@pytest.mark.parametrize(
    ("goal", "says"),
    [
        (Goal(accuracy_at_least=1.01), "the best reaches"),
        (Goal(cost_at_most=0.5), "the cheapest costs 1"),
        (Goal(accuracy_at_least=1.01, cost_at_most=5.0), "nor would a higher mean cost help"),
    ],
)
def test_a_goal_out_of_reach_says_what_is_possible(goal, says):
    with pytest.raises(GoalError, match=says):
        select(search_frontier(random_predictions(3), COSTS), 30, goal)


def test_an_accuracy_that_a_bound_on_cost_forbids_says_what_it_costs():
    frontier = search_frontier(random_predictions(3, images=100), COSTS)
    best = frontier[-1]
    with pytest.raises(GoalError, match=f"{best.correct / 100:.2%} costs {best.mean_cost:.4g}"):
        select(frontier, 100, Goal(best.correct / 100, frontier[0].mean_cost))


def test_an_interrupted_search_keeps_the_best_so_far():
    def interrupt(done, total):
        raise KeyboardInterrupt

    found = search_frontier(random_predictions(3), COSTS, SearchSpace(confidences=("margin",)), interrupt)
    assert found  # the first chunk was done


def test_an_ensemble_never_exits_early():
    seen = evaluate(random_predictions(1), COSTS, Committee.of("abc"), [np.inf, np.inf])
    assert seen.exit_rates == (0.0, 0.0, 1.0)
    assert seen.mean_cost == seen.worst_cost == pytest.approx(14.0)


@pytest.mark.parametrize(
    ("successes", "trials", "expected"), [(0, 10, (0.0, 0.2775)), (10, 10, (0.7225, 1.0)), (50, 100, (0.4038, 0.5962))]
)
def test_wilson_interval(successes, trials, expected):
    assert wilson_interval(successes, trials) == pytest.approx(expected, abs=1e-4)


GOOD = np.full((4, 2), 0.5, np.float16)


@pytest.mark.parametrize(
    ("class_ids", "arrays", "says"),
    [
        ([0, 1, 0], {"a": GOOD}, "4 predictions but 3 labels"),
        ([0, 1, 0, 2], {"a": GOOD}, "labels must lie between 0 and 1"),
        ([0, 1, 0, -1], {"a": GOOD}, "labels must lie between 0 and 1"),
        ([0, 1, 0, 1], {"a": GOOD, "b": GOOD[:3]}, "different shapes"),
        ([0, 1, 0, 1], {"a": GOOD * 0.8}, "row 0 sums to 0.7998"),
        ([0, 1, 0, 1], {"a": np.where([[0], [0], [1], [0]], np.nan, GOOD).astype(np.float16)}, "row 2"),
        ([0, 1, 0, 1], {"a": np.array([[1.5, -0.5]] * 4, np.float16)}, "not probabilities"),
    ],
)
def test_predictions_that_do_not_belong_together_are_refused(class_ids, arrays, says):
    with pytest.raises(PredictionError, match=says):
        Predictions(np.array(class_ids), arrays)


@pytest.mark.parametrize("max_stages", [1, 2, 3])
def test_the_greedy_is_served_as_it_was_counted_and_keeps_to_its_stages(max_stages):
    predictions = random_predictions(0, images=200)
    reference = evaluate(predictions, COSTS, Committee.of(["c"]), [])
    found = greedy_search(predictions, COSTS, "c", 0.95, max_stages=max_stages)
    seen = evaluate(predictions, COSTS, found.committee, found.thresholds)
    assert (seen.correct, seen.mean_cost) == (found.correct, pytest.approx(found.mean_cost))
    assert found.correct >= 0.95 * reference.correct
    assert len(found.committee.stages) == max_stages  # unbounded, it takes three


@pytest.mark.parametrize(("reference", "alpha"), [("ghost", 1.0), ("c", 1.5), ("c", 0.0)])
def test_a_greedy_that_cannot_be_says_why(reference, alpha):
    with pytest.raises(GoalError):
        greedy_search(random_predictions(1), COSTS, reference, alpha)


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
