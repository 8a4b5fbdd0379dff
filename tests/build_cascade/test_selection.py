"""A goal selects one cascade of a frontier, or says what is possible."""

from __future__ import annotations

import pytest

from build_cascade.errors import GoalError
from build_cascade.frontier_search import search_frontier
from build_cascade.goal import Goal
from build_cascade.selection import select
from tests.support.random_predictions import COSTS, random_predictions


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
