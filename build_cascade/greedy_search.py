"""A greedy search, for pools too large to search exhaustively."""

from __future__ import annotations

from collections.abc import Mapping

from build_cascade.committee import Candidate, Committee, as_problem
from build_cascade.errors import GoalError
from build_cascade.exhaustive.greedy import greedy
from build_cascade.predictions import Predictions
from cascade_core.spec import MAX_STAGES


def greedy_search(
    predictions: Predictions,
    costs: Mapping[str, float],
    reference: str,
    alpha: float = 1.0,
    confidence: str = "max_probability",
    max_stages: int = MAX_STAGES,
) -> Candidate:
    """Return Streeter's greedy cascade (`build_cascade.exhaustive.greedy`), for pools too large to search.

    Args:
        predictions: Of the pool, on the images to choose on.
        costs: Of one image in each backbone.
        reference: The backbone to compare with.
        alpha: Every stage is at least this many times as accurate as the reference on the images that it answers.
        confidence: A key of `cascade_core.gating.CONFIDENCES`.
        max_stages: The most stages.

    Raises:
        GoalError: alpha is out of range, or the reference is not in the pool.
    """
    if reference not in predictions.names:
        raise GoalError(f"no backbone {reference!r} to compare with; the pool has: {', '.join(predictions.names)}")
    problem = as_problem(predictions, costs)
    try:
        found = greedy(problem, predictions.names.index(reference), alpha, confidence, max_stages)
    except ValueError as error:
        raise GoalError(str(error)) from error
    stages = tuple(problem.names[model] for model in found.committee)
    return Candidate(Committee(stages, found.rule), found.thresholds, found.right, found.mean_cost)
