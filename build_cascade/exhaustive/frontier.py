"""What a search finds: for each number of right answers, the cheapest cascade."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from build_cascade.exhaustive.committees import ModelIndices, worst_cost
from build_cascade.exhaustive.grid import quantile_thresholds
from build_cascade.exhaustive.scoring import PrefixStatistics, prefix_statistics
from build_cascade.exhaustive.sources import Problem
from cascade_core.gating import GatingRule

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class FrontierPoint:
    """One cascade of a frontier.

    Attributes:
        right: Images that it answers right.
        mean_cost: Of an image, in the unit of the pool's costs.
        committee: The models, in order.
        cell: Its thresholds, as an index into the grid of the committee's stages.
        rule: How it combines and gates.
    """

    right: int
    mean_cost: float
    committee: ModelIndices
    cell: int
    rule: GatingRule


@dataclass(frozen=True)
class Ensemble:
    """A committee that every image runs whole; its mean cost is its worst cost."""

    right: int
    cost: float
    committee: ModelIndices
    rule: GatingRule


@dataclass(frozen=True)
class Frontier:
    """The cheapest cascade for each number of right answers, of all that were searched on N images.

    Attributes:
        rule: Of all of them.
        thresholds: T, the most thresholds a stage was tried with.
        committees: All that were to be searched.
        mean_cost: float64 [N+1], by the number of right answers; inf where no cascade has that many.
        committee: int32 [N+1], the index of the cheapest in `committees`; meaningless at inf.
        cell: int32 [N+1], its cell.
        ensemble_right: int32 [committees], right answers of each as an ensemble; -1 where not searched.
        cells: Cascades that were evaluated.
        complete: Whether the search ran to its end.
    """

    rule: GatingRule
    thresholds: int
    committees: Sequence[ModelIndices]
    mean_cost: npt.NDArray[np.float64]
    committee: npt.NDArray[np.int32]
    cell: npt.NDArray[np.int32]
    ensemble_right: npt.NDArray[np.int32]
    cells: int
    complete: bool

    def points(self) -> list[FrontierPoint]:
        """Return the cascades that none beats in both accuracy and mean cost, cheapest first."""
        best_above = np.minimum.accumulate(self.mean_cost[::-1])[::-1]
        above = np.append(best_above[1:], math.inf)
        kept = np.flatnonzero((self.mean_cost < above) & np.isfinite(self.mean_cost))
        return [self._point(int(right)) for right in kept]

    def cheapest(self, least_right: int) -> FrontierPoint | None:
        """Return the cheapest cascade with at least `least_right` right answers, None if there is none."""
        tail = self.mean_cost[least_right:]
        if not len(tail) or not np.isfinite(tail.min()):
            return None
        last = len(tail) - 1 - int(tail[::-1].argmin())
        return self._point(least_right + last)

    def ensembles(self, costs: npt.NDArray[np.float64]) -> list[Ensemble]:
        """Return every committee as an ensemble."""
        return [
            Ensemble(int(right), worst_cost(committee, costs), committee, self.rule)
            for committee, right in zip(self.committees, self.ensemble_right, strict=True)
            if right >= 0
        ]

    def _point(self, right: int) -> FrontierPoint:
        committee = self.committees[self.committee[right]]
        return FrontierPoint(right, float(self.mean_cost[right]), committee, int(self.cell[right]), self.rule)


class Costed(Protocol):
    """Anything that has a mean cost."""

    @property
    def mean_cost(self) -> float:
        """Return the mean cost of an image."""


C = TypeVar("C", bound=Costed)


def undominated(points: Iterable[C], right: Callable[[C], int]) -> list[C]:
    """Return the points that no other beats in both right answers and mean cost, cheapest first."""
    kept: list[C] = []
    for point in sorted(points, key=lambda point: (point.mean_cost, -right(point))):
        if not kept or right(point) > right(kept[-1]):
            kept.append(point)
    return kept


def merge_points(points: Iterable[FrontierPoint]) -> list[FrontierPoint]:
    """Merge the frontiers of several gating rules."""
    return undominated(points, lambda point: point.right)


@dataclass(frozen=True)
class ScoredCascade:
    """A cascade, and what it does on N images.

    Attributes:
        committee: The K models, in order.
        rule: How it combines and gates.
        thresholds: Of the first K-1 stages: inf where no image exits, -inf where all do.
        right: Images answered right.
        reach: Images that run each stage, K numbers, the first of them N.
        mean_cost: Of an image.
        worst_cost: Of an image that runs every stage.
    """

    committee: ModelIndices
    rule: GatingRule
    thresholds: tuple[float, ...]
    right: int
    reach: tuple[int, ...]
    mean_cost: float
    worst_cost: float


def exit_places(statistics: Sequence[PrefixStatistics], thresholds: Sequence[float]) -> npt.NDArray[np.intp]:
    """Return the stage, from 0, at which each image leaves: INTP [N].

    Args:
        statistics: Of K stages.
        thresholds: Of the first K-1.
    """
    floors = np.array([*thresholds, -math.inf], np.float32)
    confident = [stage.confidence >= floor for stage, floor in zip(statistics, floors, strict=True)]
    return np.asarray(np.array(confident).argmax(axis=0))


def score_cascade(
    problem: Problem, committee: ModelIndices, rule: GatingRule, thresholds: Sequence[float]
) -> ScoredCascade:
    """Count what a cascade does on a pool's images; the thresholds may come from elsewhere.

    Args:
        problem: Of N images.
        committee: K models of the pool, in order.
        rule: How to combine and gate.
        thresholds: Of the first K-1 stages.
    """
    statistics = prefix_statistics(problem, committee, rule)
    left = exit_places(statistics, thresholds)
    right = sum(int(stage.right[left == place].sum()) for place, stage in enumerate(statistics))
    reach = [int((left >= place).sum()) for place in range(len(committee))]
    cost = _mean_cost(problem, committee, reach)
    worst = worst_cost(committee, problem.costs)
    return ScoredCascade(committee, rule, tuple(thresholds), right, tuple(reach), cost, worst)


def grids_of(problem: Problem, committee: ModelIndices, rule: GatingRule, thresholds: int) -> list[Floats]:
    """Return the thresholds that a search tried at each stage but the last, inf for "no image exits" among them."""
    prefixes = prefix_statistics(problem, committee, rule)[:-1]
    return [np.append(quantile_thresholds(stage.confidence, thresholds), np.inf) for stage in prefixes]


def thresholds_of(point: FrontierPoint, grids: Sequence[Floats]) -> tuple[float, ...]:
    """Return the thresholds of a point's cell on the grids of its committee."""
    places = np.unravel_index(point.cell, [len(grid) for grid in grids]) if grids else ()
    return tuple(float(grid[place]) for grid, place in zip(grids, places, strict=True))


def _mean_cost(problem: Problem, committee: ModelIndices, reach: Sequence[int]) -> float:
    """Return the sum of cost times images reached, over N, in the kernel's order: equal to the bit."""
    total = 0.0
    for model, count in zip(committee, reach, strict=True):
        total += float(problem.costs[model]) * count
    return total / problem.images
