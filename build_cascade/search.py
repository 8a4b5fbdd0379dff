"""Look at every cascade of up to four backbones on a grid of thresholds.

Thresholds are not looped over: images are counted by the grid cell that their confidences fall in, and running sums of
the counts give the right answers and the cost of every cell at once.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from build_cascade.predictions import Predictions
from gating import CONFIDENCES, accumulate, mean_prediction

MAX_STAGES = 4
GRID_QUANTILES = 40
# Stage k's prediction counts r^(k-1) in the mean; 1 is the paper's rule, more lets the dear stages overrule the cheap.
WEIGHT_RATIOS = (1.0, 1.5, 2.0)

Counts = npt.NDArray[np.float64]
Thresholds = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Committee:
    """Hold an ordered choice of backbones and how they are combined.

    Attributes:
        stages: Backbone names, in order.
        weights: Of each stage in the mean.
        confidence: A key of `gating.CONFIDENCES`.
    """

    stages: tuple[str, ...]
    weights: tuple[float, ...]
    confidence: str = "max_probability"

    @classmethod
    def of(cls, stages: Sequence[str], confidence: str = "max_probability", ratio: float = 1.0) -> Self:
        """Return a committee whose stage k counts ratio^(k-1)."""
        return cls(tuple(stages), tuple(ratio**place for place in range(len(stages))), confidence)


@dataclass(frozen=True)
class Candidate:
    """Hold one cascade and what it did on the images that it was searched on.

    Attributes:
        committee: Its stages.
        thresholds: Of all stages but the last.
        correct: Right answers.
        mean_gmacs: Mean cost of an image.
    """

    committee: Committee
    thresholds: tuple[float, ...]
    correct: int
    mean_gmacs: float


@dataclass(frozen=True)
class StageStatistics:
    """Hold what the mean of the first k predictions says, for all N images.

    Attributes:
        right: FP64 [N], 1 where its class is the true one.
        thresholds: FP32 [T], the grid of this stage, ascending.
        cell: INT64 [N], how many thresholds an image's confidence reaches.
    """

    right: Counts
    thresholds: npt.NDArray[np.float32]
    cell: npt.NDArray[np.int64]


def search(
    predictions: Predictions,
    gmacs: Mapping[str, float],
    *,
    confidence: str = "max_probability",
    max_stages: int = MAX_STAGES,
    ratios: Sequence[float] = WEIGHT_RATIOS,
    on_committee: Callable[[int, int], None] = lambda done, total: None,
) -> list[Candidate]:
    """Return the frontier: for each number of right answers that pays, the cascade of least mean cost.

    Args:
        predictions: Of the pool, on the images to choose on.
        gmacs: Cost of one image in each backbone.
        confidence: A key of `gating.CONFIDENCES`.
        max_stages: The most stages.
        ratios: Each r tried, where stage k counts r^(k-1).
        on_committee: Told how many committees are done, and their total.

    Returns:
        By ascending cost and accuracy.
    """
    committees = list(_committees(predictions.names, confidence, max_stages, ratios))
    found: list[Candidate] = []
    for done, committee in enumerate(committees, start=1):
        found = pareto([*found, *committee_frontier(predictions, gmacs, committee)])
        on_committee(done, len(committees))
    return found


def committee_frontier(predictions: Predictions, gmacs: Mapping[str, float], committee: Committee) -> list[Candidate]:
    """Return the frontier of one committee over all cells of its threshold grid."""
    statistics = list(stage_statistics(predictions, committee))
    correct, mean_gmacs = cell_totals(statistics, [gmacs[name] for name in committee.stages])
    candidates = []
    for cell in pareto_cells(correct.ravel(), mean_gmacs.ravel()):
        place = np.unravel_index(cell, correct.shape)
        thresholds = tuple(float(s.thresholds[i]) for s, i in zip(statistics, place, strict=False))
        candidates.append(Candidate(committee, thresholds, round(correct[place]), float(mean_gmacs[place])))
    return candidates


def stage_statistics(predictions: Predictions, committee: Committee) -> Iterator[StageStatistics]:
    """Yield the statistics of the running mean after each stage, by the served gate's own arithmetic."""
    total, weights = None, committee.weights
    for stage, name in enumerate(committee.stages, start=1):
        total = accumulate(total, predictions.probabilities[name], weights[stage - 1])
        mean = mean_prediction(total, weights[:stage])
        confidences = CONFIDENCES[committee.confidence](mean)
        grid = threshold_grid(confidences)
        right = (mean.argmax(axis=1) == predictions.class_ids).astype(np.float64)
        yield StageStatistics(right, grid, np.searchsorted(grid, confidences, side="right"))


def threshold_grid(confidences: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return thresholds at quantiles, each halfway between two confidences that occur; FP32 [at most T], ascending."""
    distinct = np.unique(confidences)
    if len(distinct) == 1:
        return distinct
    ordered = np.sort(confidences)
    picks = ordered[np.linspace(0, len(ordered) - 1, GRID_QUANTILES + 1).round().astype(int)[1:]]
    above = np.unique(np.searchsorted(distinct, picks).clip(1))
    return np.asarray((distinct[above - 1] + distinct[above]) / 2, dtype=np.float32)


def cell_totals(statistics: Sequence[StageStatistics], costs: Sequence[float]) -> tuple[Counts, Counts]:
    """Return right answers and mean cost of every cell of the grid, each FP64 [T1, ..., T(K-1)].

    An image leaves at the first stage whose threshold it reaches; its cell counts how many it reaches.
    """
    stages = len(statistics)
    shape = tuple(len(s.thresholds) for s in statistics[:-1])
    correct, mean_cost = np.zeros(shape), np.zeros(shape)
    count = len(statistics[0].right)
    for stage, (current, cost) in enumerate(zip(statistics, costs, strict=True), start=1):
        before = statistics[: stage - 1]
        reached = _stayed_in(_histogram(before, np.ones(count)), stage - 1)
        mean_cost += _spread(reached, shape) * (cost / count)
        here = _histogram(statistics[: min(stage, stages - 1)], current.right)
        correct += _spread(_left_here(_stayed_in(here, stage - 1), stage, stages), shape)
    return correct, mean_cost


def pareto_cells(correct: Counts, cost: Counts) -> list[int]:
    """Return the cells that no other beats: more right answers than every cell that costs no more."""
    order = np.lexsort((-correct, cost))
    best_before = np.concatenate([[-1.0], np.maximum.accumulate(correct[order])[:-1]])
    return [int(cell) for cell in order[correct[order] > best_before]]


def pareto(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidates that no other beats, by ascending cost; of equals the one with fewer stages."""
    ordered = sorted(candidates, key=lambda c: len(c.committee.stages))
    cells = pareto_cells(np.array([c.correct for c in ordered], float), np.array([c.mean_gmacs for c in ordered]))
    return [ordered[cell] for cell in cells]


def _committees(names: Sequence[str], confidence: str, max_stages: int, ratios: Sequence[float]) -> Iterator[Committee]:
    for length in range(1, min(max_stages, len(names)) + 1):
        for stages in itertools.permutations(names, length):
            for ratio in ratios if length > 1 else (1.0,):
                yield Committee.of(stages, confidence, ratio)


def _histogram(statistics: Sequence[StageStatistics], weights: Counts) -> Counts:
    """Sum the images' weights by the cells of some stages: FP64 [T1+1, T2+1, ...]."""
    shape = tuple(len(s.thresholds) + 1 for s in statistics)
    if not shape:
        return np.asarray(weights.sum())
    flat = np.ravel_multi_index([s.cell for s in statistics], shape)
    counts: Counts = np.bincount(flat, weights, minlength=int(np.prod(shape)))  # type: ignore[assignment]
    return counts.reshape(shape)


def _stayed_in(histogram: Counts, axes: int) -> Counts:
    """Sum over the images that reach none of the first stages' thresholds; each axis shrinks to T."""
    for axis in range(axes):
        histogram = np.cumsum(histogram, axis=axis).take(range(histogram.shape[axis] - 1), axis=axis)
    return histogram


def _left_here(histogram: Counts, stage: int, stages: int) -> Counts:
    """Sum over the images that reach this stage's threshold; at the last stage all do."""
    if stage == stages:
        return histogram
    axis = stage - 1
    reversed_sum = np.flip(np.cumsum(np.flip(histogram, axis), axis=axis), axis)
    return reversed_sum.take(range(1, histogram.shape[axis]), axis=axis)


def _spread(values: Counts, shape: tuple[int, ...]) -> Counts:
    """Give values over the first stages' axes the remaining axes too."""
    return values.reshape(values.shape + (1,) * (len(shape) - values.ndim))
