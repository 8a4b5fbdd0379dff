"""Thresholds worth trying: midpoints between neighbouring confidences, at quantiles of the images."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from build_cascade.exhaustive.compiled import parallel, prange

Floats = npt.NDArray[np.float32]
Bins = npt.NDArray[np.uint8]

MOST_THRESHOLDS = 255
"""A bin is one byte."""


@dataclass(frozen=True)
class Grid:
    """The thresholds of P stages, and where N images lie among them.

    Attributes:
        thresholds: P arrays float32, ascending, each of 0 to T numbers.
        bins: uint8 [P, N], how many of a stage's thresholds an image's confidence reaches.
        choices: int32 [P], the thresholds of each stage and one more, "no image exits".
    """

    thresholds: list[Floats]
    bins: Bins
    choices: npt.NDArray[np.int32]


def between(below: npt.ArrayLike, above: npt.ArrayLike) -> Floats:
    """Return float32 midpoints of below < above; `above` itself where float32 has nothing in between.

    An image exits at a confidence equal to the threshold or more, so either way exactly those at `above` or
    more do.
    """
    low, high = np.asarray(below, np.float32), np.asarray(above, np.float32)
    middle = ((low.astype(np.float64) + high) / 2).astype(np.float32)
    return np.where(middle > low, middle, high)


def quantile_thresholds(confidence: Floats, count: int) -> Floats:
    """Return at most `count` thresholds that split confidences [N] near the quantiles t/(count+1).

    Equal confidences cannot be split, so each quantile moves to the nearest place between distinct ones;
    quantiles that coincide become one. Where there are at most `count` such places, all are taken and the
    grid is exhaustive. "Everybody exits" is left out: that is the shorter cascade.
    """
    ordered = np.sort(confidence)
    cuts = np.flatnonzero(ordered[1:] > ordered[:-1]) + 1
    if len(cuts) > count:
        wanted = len(ordered) * np.arange(1, count + 1) / (count + 1)
        right = np.searchsorted(cuts, wanted).clip(1, len(cuts) - 1)
        nearer = wanted - cuts[right - 1] <= cuts[right] - wanted
        cuts = cuts[np.unique(right - nearer)]
    return between(ordered[cuts - 1], ordered[cuts])


def lay_grid(confidence: Floats, count: int, threads: int) -> Grid:
    """Choose the thresholds of every stage and bin the images.

    Args:
        confidence: float32 [P, N].
        count: T, at most 255.
        threads: Threads to sort on; numpy sorts without holding Python's lock.

    Raises:
        ValueError: `count` is not 1 to 255.
    """
    if not 1 <= count <= MOST_THRESHOLDS:
        raise ValueError(f"a stage takes 1 to {MOST_THRESHOLDS} thresholds, not {count}")
    with ThreadPoolExecutor(threads) as workers:
        thresholds = list(workers.map(lambda row: quantile_thresholds(row, count), confidence))
    counts = np.array([len(row) for row in thresholds], np.int32)
    table = np.full((len(thresholds), 256), np.inf, np.float32)
    for row, values in zip(table, thresholds, strict=True):
        row[: len(values)] = values
    bins = np.empty(confidence.shape, np.uint8)
    _fill_bins(confidence, table, counts, bins)
    return Grid(thresholds, bins, counts + 1)


@parallel
def _fill_bins(confidence: Floats, table: Floats, counts: npt.NDArray[np.int32], bins: Bins) -> None:
    """Find each confidence by binary search; the number of steps is the same for all images, so nothing branches."""
    for stage in prange(len(confidence)):
        thresholds = table[stage]
        half = 1
        while half <= counts[stage]:
            half *= 2
        for image in range(confidence.shape[1]):
            value = confidence[stage, image]
            place = 0
            step = half // 2
            while step > 0:
                place += step * (thresholds[place + step - 1] <= value)
                step //= 2
            bins[stage, image] = place
