"""The frontier of accuracy against mean cost: of a whole pool, or of one committee over thresholds and weights."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache

from build_cascade.committee import Candidate, Committee, as_problem
from build_cascade.errors import GoalError
from build_cascade.exhaustive.committees import ModelIndices, list_committees
from build_cascade.exhaustive.frontier import FrontierPoint, grids_of, merge_points, thresholds_of
from build_cascade.exhaustive.grid_search import OnCount, count_cells, grid_search, ignore_count
from build_cascade.exhaustive.sources import Problem
from build_cascade.predictions import Predictions
from build_cascade.search_space import GRID_THRESHOLDS, SearchSpace

FREE_WEIGHTS = (0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.5)  # of each later stage, against 1 of the first
CELLS_A_SECOND = 1e8  # on two cores, from benchmarks/results; only to estimate how long a search would take
LONGEST_SEARCH_S = 3600.0
WHOLE_SPACE = SearchSpace()


def search_frontier(
    predictions: Predictions,
    costs: Mapping[str, float],
    space: SearchSpace = WHOLE_SPACE,
    on_count: OnCount = ignore_count,
) -> list[Candidate]:
    """Return the frontier: the cascades that no other beats in both accuracy and mean cost.

    Args:
        predictions: Of the pool, on the images to choose on.
        costs: Cost of one image in each backbone.
        space: Which cascades are looked at.
        on_count: Called with the committees done, and their total.

    Returns:
        Candidates by ascending cost and accuracy. An interrupt ends the search early, with the best so far.

    Raises:
        GoalError: no committee is allowed, the search would run for hours, or it was interrupted at once.
    """
    problem = as_problem(predictions, costs)
    committees = _allowed(problem, space)
    total, points = len(committees) * len(space.rules), []
    for before, rule in zip(range(0, total, len(committees)), space.rules, strict=True):
        counted = _counted_from(before, total, on_count)
        found = grid_search(problem, rule, committees=committees, thresholds=space.thresholds, on_count=counted)
        points += found.points()
        if not found.complete:
            break
    if not points:
        raise GoalError("interrupted before anything was searched")
    return list(_candidates(problem, merge_points(points), space.thresholds))


def committee_frontier(predictions: Predictions, costs: Mapping[str, float], committee: Committee) -> list[Candidate]:
    """Return the frontier of one committee over its thresholds; all its stages are kept in each candidate."""
    problem = as_problem(predictions.only(committee.stages), costs)
    everyone = [tuple(range(len(committee.stages)))]
    found = grid_search(problem, committee.rule, committees=everyone, thresholds=GRID_THRESHOLDS)
    return list(_candidates(problem, found.points(), GRID_THRESHOLDS))


def free_weight_frontier(
    predictions: Predictions, costs: Mapping[str, float], committee: Committee, on_count: OnCount = ignore_count
) -> list[Candidate]:
    """Return the frontier of one committee's stages over `FREE_WEIGHTS` of all but the first, and over thresholds."""
    problem = as_problem(predictions.only(committee.stages), costs)
    everyone = [tuple(range(len(committee.stages)))]
    choices = list(itertools.product(FREE_WEIGHTS, repeat=len(committee.stages) - 1))
    points: list[FrontierPoint] = []
    for done, free in enumerate(choices, start=1):
        rule = replace(committee.rule, weights=(1.0, *free))
        found = grid_search(problem, rule, committees=everyone, thresholds=GRID_THRESHOLDS)
        points += found.points()
        on_count(done, len(choices))
        if not found.complete:
            break
    return list(_candidates(problem, merge_points(points), GRID_THRESHOLDS))


def _counted_from(before: int, total: int, on_count: OnCount) -> OnCount:
    return lambda done, _: on_count(before + done, total)


def _allowed(problem: Problem, space: SearchSpace) -> list[ModelIndices]:
    committees = list_committees(problem.costs, space.constraints(problem.names))
    if not committees:
        raise GoalError(
            f"no committee of up to {space.max_stages} stages includes "
            f"{', '.join(space.must_include) or 'any backbone'} at a worst cost of {space.worst_cost}; "
            f"the cheapest backbone costs {problem.costs.min():.4g}"
        )
    seconds = count_cells(committees, space.thresholds) * len(space.rules) / CELLS_A_SECOND
    if seconds > LONGEST_SEARCH_S:
        raise GoalError(
            f"{len(committees)} committees under {len(space.rules)} gating rules would take about "
            f"{seconds / 3600:.0f} hours; allow fewer stages or confidences, or use build-cascade greedy"
        )
    return committees


def _candidates(problem: Problem, points: Sequence[FrontierPoint], thresholds: int) -> Iterator[Candidate]:
    grids = cache(lambda committee, rule: grids_of(problem, committee, rule, thresholds))
    for point in points:
        stages = tuple(problem.names[model] for model in point.committee)
        chosen = thresholds_of(point, grids(point.committee, point.rule))
        yield Candidate(Committee(stages, point.rule.first(len(stages))), chosen, point.right, point.mean_cost)
