"""Search every cascade of up to four backbones, under every way to weigh and to be confident that is asked for."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Self

import numpy as np

from build_cascade.errors import GoalError
from build_cascade.exhaustive import search as exhaustive
from build_cascade.exhaustive.committees import Constraints, list_committees
from build_cascade.exhaustive.frontier import Frontier, Point, grids_of, merged, thresholds_of
from build_cascade.exhaustive.greedy import greedy
from build_cascade.exhaustive.rules import geometric_weights, rule_grid
from build_cascade.exhaustive.scoring import PrefixStatistics, prefix_statistics
from build_cascade.exhaustive.sources import Problem
from build_cascade.predictions import Predictions
from cascade_core.gating import GatingRule
from cascade_core.spec import MAX_STAGES

GRID_THRESHOLDS = 50
# Stage k's prediction counts r^(k-1) in the mean; 1 is the paper's rule, more lets the dear stages overrule the cheap.
WEIGHT_RATIOS = (1.0, 1.25, 1.5)
FREE_WEIGHTS = (0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.5)  # of each stage beside the first one's 1
DEFAULT_CONFIDENCES = ("max_probability", "margin")
CELLS_A_SECOND = 1e8  # on two cores, from benchmarks/results; only to say how long a search would take
LONGEST_SEARCH_S = 3600.0

Tell = Callable[[int, int], None]


@dataclass(frozen=True)
class Committee:
    """Backbones in the order in which they run, and the rule that combines and gates them.

    Attributes:
        stages: Backbone names.
        rule: With one weight a stage.

    Raises:
        ValueError: there are more or fewer weights than stages.
    """

    stages: tuple[str, ...]
    rule: GatingRule

    def __post_init__(self) -> None:
        if len(self.stages) != len(self.rule.weights):
            raise ValueError(f"{len(self.rule.weights)} weights for {len(self.stages)} stages")

    @classmethod
    def of(
        cls, stages: Sequence[str], confidence: str = "max_probability", ratio: float = 1.0, combine: str = "mean"
    ) -> Self:
        """Return a committee whose stage k has the weight ratio^(k-1)."""
        return cls(tuple(stages), GatingRule(geometric_weights(ratio, len(stages)), confidence, combine))


@dataclass(frozen=True)
class Candidate:
    """Hold one cascade and what it did on the images that it was searched on.

    Attributes:
        committee: Its stages.
        thresholds: Of all stages but the last; infinite where nobody exits.
        correct: Right answers.
        mean_cost: Mean cost of an image.
    """

    committee: Committee
    thresholds: tuple[float, ...]
    correct: int
    mean_cost: float


@dataclass(frozen=True)
class Space:
    """Say which cascades are looked at.

    Attributes:
        confidences: Keys of `cascade_core.gating.CONFIDENCES`, each tried.
        combines: Of `cascade_core.gating.COMBINES`, each tried.
        ratios: Each r tried, where stage k counts r^(k-1).
        max_stages: The most stages.
        worst_cost: Most that an image may cost that runs every stage; None for no bound.
        must_include: Backbones that every cascade has.
        all_orders: Whether every order is tried, rather than ascending cost only.
        thresholds: How many are tried a stage, beside "nobody exits".
    """

    confidences: tuple[str, ...] = DEFAULT_CONFIDENCES
    combines: tuple[str, ...] = ("mean",)
    ratios: tuple[float, ...] = WEIGHT_RATIOS
    max_stages: int = MAX_STAGES
    worst_cost: float | None = None
    must_include: tuple[str, ...] = ()
    all_orders: bool = False
    thresholds: int = GRID_THRESHOLDS
    rules: tuple[GatingRule, ...] = field(init=False)

    def __post_init__(self) -> None:
        made = rule_grid(self.ratios, self.confidences, self.combines, self.max_stages)
        object.__setattr__(self, "rules", tuple(made))

    def constraints(self, names: Sequence[str]) -> Constraints:
        """Return which committees of the named backbones are allowed.

        Raises:
            GoalError: a backbone that must be included is not in the pool.
        """
        unknown = [name for name in self.must_include if name not in names]
        if unknown:
            raise GoalError(f"no backbone {unknown[0]!r} to include; the pool has: {', '.join(names)}")
        included = frozenset(names.index(name) for name in self.must_include)
        return Constraints(self.max_stages, self.worst_cost, included, self.all_orders)


def search(
    predictions: Predictions, costs: Mapping[str, float], space: Space = Space(), tell: Tell = lambda done, total: None
) -> list[Candidate]:
    """Return the frontier: for each number of right answers that pays, the cascade of least mean cost.

    Args:
        predictions: Of the pool, on the images to choose on.
        costs: Cost of one image in each backbone.
        space: Which cascades are looked at.
        tell: Told how many committees are done, and their total.

    Returns:
        By ascending cost and accuracy. An interrupt ends the search early, with the best so far.

    Raises:
        GoalError: no committee is allowed, the search would run for hours, or it was interrupted at once.
    """
    problem = as_problem(predictions, costs)
    committees = _allowed(problem, space)
    total, points = len(committees) * len(space.rules), []
    for place, rule in enumerate(space.rules):
        done_before = place * len(committees)
        found = exhaustive.search(
            problem,
            rule,
            committees=committees,
            thresholds=space.thresholds,
            progress=lambda done, _, before=done_before: tell(before + done, total),  # type: ignore[misc]
        )
        points += found.points()
        if not found.complete:
            break
    if not points:
        raise GoalError("interrupted before anything was searched")
    return list(_candidates(problem, merged(points), space.thresholds))


def committee_frontier(predictions: Predictions, costs: Mapping[str, float], committee: Committee) -> list[Candidate]:
    """Return the frontier of one committee over its thresholds; all its stages are kept in each candidate."""
    problem = as_problem(predictions.only(committee.stages), costs)
    everyone = [tuple(range(len(committee.stages)))]
    found: Frontier = exhaustive.search(problem, committee.rule, committees=everyone, thresholds=GRID_THRESHOLDS)
    return list(_candidates(problem, found.points(), GRID_THRESHOLDS))


def stage_statistics(predictions: Predictions, committee: Committee) -> list[PrefixStatistics]:
    """Return what the mean after each stage says of every image; equal to the gate's numbers to the bit."""
    anything = dict.fromkeys(committee.stages, 1.0)  # costs say nothing here
    problem = as_problem(predictions.only(committee.stages), anything)
    return prefix_statistics(problem, range(len(committee.stages)), committee.rule)


def weigh_freely(
    predictions: Predictions, costs: Mapping[str, float], committee: Committee, tell: Tell = lambda done, total: None
) -> list[Candidate]:
    """Return the frontier of one committee's stages over `FREE_WEIGHTS` of all but the first, and over thresholds."""
    problem = as_problem(predictions.only(committee.stages), costs)
    everyone = [tuple(range(len(committee.stages)))]
    choices = list(itertools.product(FREE_WEIGHTS, repeat=len(committee.stages) - 1))
    points: list[Point] = []
    for done, free in enumerate(choices, start=1):
        rule = replace(committee.rule, weights=(1.0, *free))
        found = exhaustive.search(problem, rule, committees=everyone, thresholds=GRID_THRESHOLDS)
        points += found.points()
        tell(done, len(choices))
        if not found.complete:
            break
    return list(_candidates(problem, merged(points), GRID_THRESHOLDS))


def greedy_candidate(
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
        reference: The backbone to be compared with.
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


def as_problem(predictions: Predictions, costs: Mapping[str, float]) -> Problem:
    """Return predictions and costs as the exhaustive search takes them."""
    values = np.array([costs[name] for name in predictions.names], np.float64)
    return Problem(predictions.names, values, predictions.source(), predictions.class_ids.astype(np.int32))


def _allowed(problem: Problem, space: Space) -> list[tuple[int, ...]]:
    committees = list_committees(problem.costs, space.constraints(problem.names))
    if not committees:
        raise GoalError(
            f"no committee of up to {space.max_stages} stages includes "
            f"{', '.join(space.must_include) or 'any backbone'} at a worst cost of {space.worst_cost}; "
            f"the cheapest backbone costs {problem.costs.min():.4g}"
        )
    seconds = exhaustive.count_cells(committees, space.thresholds) * len(space.rules) / CELLS_A_SECOND
    if seconds > LONGEST_SEARCH_S:
        raise GoalError(
            f"{len(committees)} committees under {len(space.rules)} gating rules would take about "
            f"{seconds / 3600:.0f} hours; "
            "allow fewer stages or confidences, or use build-cascade greedy"
        )
    return committees


def _candidates(problem: Problem, points: Sequence[Point], thresholds: int) -> Iterator[Candidate]:
    grids = cache(lambda committee, rule: grids_of(problem, committee, rule, thresholds))
    for point in points:
        stages = tuple(problem.names[model] for model in point.committee)
        chosen = thresholds_of(point, grids(point.committee, point.rule))
        yield Candidate(Committee(stages, point.rule.first(len(stages))), chosen, point.right, point.mean_cost)
