"""The greedy cascade is served as it was counted."""

from __future__ import annotations

import pytest

from build_cascade.committee import Committee
from build_cascade.errors import GoalError
from build_cascade.evaluation import evaluate
from build_cascade.greedy_search import greedy_search
from tests.support.random_predictions import COSTS, random_predictions


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
