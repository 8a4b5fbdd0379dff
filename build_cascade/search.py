"""Look at every cascade of up to four backbones on a grid of thresholds.

Thresholds are not looped over: images are counted by the grid cell that their confidences fall in, and running sums of
the counts give the right answers and the cost of every cell at once.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from gating import CONFIDENCES, accumulate, mean_prediction

from build_cascade.predictions import Predictions

MAX_STAGES = 4
GRID_QUANTILES = 40

Counts = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Candidate:
    """Hold one cascade and what it did on the images that it was searched on.

    Attributes:
        stages: Backbone names, in order.
        thresholds: Of all stages but the last.
        correct: Right answers.
        mean_gmacs: Mean cost of an image.
    """

    stages: tuple[str, ...]
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
    on_committee: Callable[[int, int], None] = lambda done, total: None,
) -> list[Candidate]:
    """Return the frontier: for each number of right answers that pays, the cascade of least mean cost.

    Args:
        predictions: Of the pool, on the images to choose on.
        gmacs: Cost of one image in each backbone.
        confidence: A key of `gating.CONFIDENCES`.
        max_stages: The most stages.
        on_committee: Told how many ordered choices are done, and their total.

    Returns:
        By ascending cost and accuracy.
    """
    lengths = range(1, min(max_stages, len(predictions.names)) + 1)
    orders = [order for length in lengths for order in itertools.permutations(predictions.names, length)]
    found: list[Candidate] = []
    for done, stages in enumerate(orders, start=1):
        found = pareto([*found, *committee_frontier(predictions, gmacs, stages, confidence)])
        on_committee(done, len(orders))
    return found


def committee_frontier(
    predictions: Predictions, gmacs: Mapping[str, float], stages: tuple[str, ...], confidence: str
) -> list[Candidate]:
    """Return the frontier of one ordered choice of backbones over all cells of its threshold grid."""
    statistics = list(stage_statistics(predictions, stages, confidence))
    correct, mean_gmacs = cell_totals(statistics, [gmacs[name] for name in stages])
    candidates = []
    for cell in pareto_cells(correct.ravel(), mean_gmacs.ravel()):
        place = np.unravel_index(cell, correct.shape)
        thresholds = tuple(float(s.thresholds[i]) for s, i in zip(statistics, place, strict=False))
        candidates.append(Candidate(stages, thresholds, round(correct[place]), float(mean_gmacs[place])))
    return candidates


def stage_statistics(predictions: Predictions, stages: Sequence[str], confidence: str) -> Iterator[StageStatistics]:
    """Yield the statistics of the running mean after each stage, by the served gate's own arithmetic."""
    total, weights = None, [1.0] * len(stages)
    for stage, name in enumerate(stages, start=1):
        total = accumulate(total, predictions.probabilities[name], weights[stage - 1])
        mean = mean_prediction(total, weights[:stage])
        confidences = CONFIDENCES[confidence](mean)
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
    return ((distinct[above - 1] + distinct[above]) / 2).astype(np.float32)


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
    ordered = sorted(candidates, key=lambda c: len(c.stages))
    cells = pareto_cells(np.array([c.correct for c in ordered], float), np.array([c.mean_gmacs for c in ordered]))
    return [ordered[cell] for cell in cells]


def _histogram(statistics: Sequence[StageStatistics], weights: Counts) -> Counts:
    """Sum the images' weights by the cells of some stages: FP64 [T1+1, T2+1, ...]."""
    shape = tuple(len(s.thresholds) + 1 for s in statistics)
    if not shape:
        return np.asarray(weights.sum())
    flat = np.ravel_multi_index([s.cell for s in statistics], shape)
    return np.bincount(flat, weights, minlength=int(np.prod(shape))).reshape(shape)


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
