"""All threshold cells of a cascade at once, by histograms and prefix sums.

A committee of stages 1, 2, 3 and a last one has a cell (i, j, k) for every choice of thresholds. With bins
b1, b2, b3 (how many thresholds a confidence reaches) an image escalates at stage 1 when b1 <= i, and so on:

    right(i, j, k) =  #{b1 > i, stage 1 right}
                    + #{b1 <= i, b2 > j, stage 2 right}
                    + #{b1 <= i, b2 <= j, b3 > k, stage 3 right}
                    + #{b1 <= i, b2 <= j, b3 <= k, all stages right}
    cost(i, j, k) = N c1 + c2 #{b1 <= i} + c3 #{b1 <= i, b2 <= j} + c4 #{b1 <= i, b2 <= j, b3 <= k}

Every count is a prefix sum of a histogram over (b1, b2, b3). All but the last line of `right` are shared by
the committees that differ in the last stage only; they form a group. Shorter committees are padded in front
with stages that cost nothing and where no image exits, so one kernel serves all lengths.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from build_cascade.exhaustive.compiled import compiled, parallel, prange

Counts = npt.NDArray[np.int32]
Ints = npt.NDArray[np.int32]
Costs = npt.NDArray[np.float64]
Bins = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]
Shape = tuple[int, int, int]


class BinnedImages(NamedTuple):
    """Where N images lie among the thresholds of P stages.

    Attributes:
        bins: uint8 [P, N], how many of a stage's thresholds an image's confidence reaches.
        choices: int32 [P], the thresholds of each stage and one more, "no image exits".
    """

    bins: Bins
    choices: Ints


class Groups(NamedTuple):
    """G groups of committees that differ in the last stage only.

    Attributes:
        stages: int32 [G, 3], rows of the prefixes in `BinnedImages`, -1 for none.
        nodes: int32 [G, 3], rows of the prefixes in `right`, -1 for none.
        bounds: int32 [G+1], where each group begins among the members.
        costs: float64 [G, 3], of the stages before the last, 0 for none.
    """

    stages: Ints
    nodes: Ints
    bounds: Ints
    costs: Costs


class Members(NamedTuple):
    """The committees of all groups, group after group.

    Attributes:
        nodes: int32 [committees], rows in `right`.
        numbers: int32 [committees], in the order in which committees were listed.
        costs: float64 [committees], of the last stage.
    """

    nodes: Ints
    numbers: Ints
    costs: Costs


class Cheapest(NamedTuple):
    """The cheapest cascade of each number of right answers, one row a thread or one row alone.

    Attributes:
        cost: float64 [..., N+1], of all images; inf where there is no cascade.
        committee: int32 [..., N+1], its number.
        cell: int32 [..., N+1], its thresholds.
    """

    cost: Costs
    committee: Ints
    cell: Ints


@parallel
def sweep(
    images: BinnedImages,
    right: Bools,
    groups: Groups,
    members: Members,
    best: Cheapest,
    most_cells: int,
) -> None:
    """Update the best cost of each number of right answers with every cell of every committee.

    Args:
        images: By confidence after each inner node of the tree.
        right: bool [S, N], of the tree's nodes.
        groups: The committees by prefix.
        members: The committees.
        best: One row a thread; updated.
        most_cells: The cells of the largest committee.
    """
    threads = len(best.cost)
    for thread in prange(threads):
        work = np.empty((3, most_cells), np.int32)
        codes = np.empty(right.shape[1], np.int32)
        mine = Cheapest(best.cost[thread], best.committee[thread], best.cell[thread])
        for group in range(thread, len(groups.stages), threads):
            _sweep_group(images, right, groups, members, group, work, codes, mine)


@compiled
def _sweep_group(
    images: BinnedImages,
    right: Bools,
    groups: Groups,
    members: Members,
    group: int,
    work: Counts,
    codes: Ints,
    best: Cheapest,
) -> None:
    shape = _encode(images, groups.stages[group], codes)
    cells = shape[0] * shape[1] * shape[2]
    reach, shared, counts = work[0, :cells], work[1, :cells], work[2, :cells]
    _count_reach(codes, reach, shape)
    _count_shared(codes, right, groups.nodes[group], shared, counts, shape)
    costs = groups.costs[group]
    for member in range(groups.bounds[group], groups.bounds[group + 1]):
        _histogram(codes, right[members.nodes[member]], counts)
        _sum_outer(counts, shape)
        prices = (costs[0], costs[1], costs[2], members.costs[member])
        _update(reach, shared, counts, shape, prices, len(codes), members.numbers[member], best)


@compiled
def _encode(images: BinnedImages, stages: Ints, codes: Ints) -> Shape:
    """Write each image's place in the histogram; return the choices of the three stages."""
    bins, choices = images.bins, images.choices
    codes[:] = 0
    shape = np.ones(3, np.int64)
    for stage in range(3):
        row = stages[stage]
        if row >= 0:
            shape[stage] = choices[row]
            for image in range(len(codes)):
                codes[image] = codes[image] * choices[row] + bins[row, image]
    return shape[0], shape[1], shape[2]


@compiled
def _histogram(codes: Ints, right: Bools, counts: Counts) -> None:
    counts[:] = 0
    for image in range(len(codes)):
        counts[codes[image]] += right[image]


@compiled
def _sum_outer(counts: Counts, shape: Shape) -> None:
    """Turn a histogram into prefix sums along its first two axes, in place."""
    plane = shape[1] * shape[2]
    for cell in range(plane, shape[0] * plane):
        counts[cell] += counts[cell - plane]
    for i in range(shape[0]):
        for cell in range(i * plane + shape[2], (i + 1) * plane):
            counts[cell] += counts[cell - shape[2]]


@compiled
def _sum_inner(counts: Counts, shape: Shape) -> None:
    for line in range(shape[0] * shape[1]):
        run = np.int32(0)
        for cell in range(line * shape[2], (line + 1) * shape[2]):
            run += counts[cell]
            counts[cell] = run


@compiled
def _count_reach(codes: Ints, reach: Counts, shape: Shape) -> None:
    """Count the images that reach the last stage in each cell."""
    reach[:] = 0
    for code in codes:
        reach[code] += 1
    _sum_outer(reach, shape)
    _sum_inner(reach, shape)


@compiled
def _count_shared(codes: Ints, right: Bools, nodes: Ints, shared: Counts, counts: Counts, shape: Shape) -> None:
    """Count the right answers of those that leave before the last stage, in each cell."""
    plane = shape[1] * shape[2]
    shared[:] = 0
    for stage in range(3):
        if nodes[stage] < 0:
            continue
        _histogram(codes, right[nodes[stage]], counts)
        _sum_outer(counts, shape)
        _sum_inner(counts, shape)
        for i in range(shape[0]):
            for j in range(shape[1]):
                line = i * plane + j * shape[2]
                # What enters this stage, less what reaches the next.
                for k in range(shape[2]):
                    if stage == 0:
                        shared[line + k] += counts[-1] - counts[(i + 1) * plane - 1]
                    elif stage == 1:
                        shared[line + k] += counts[(i + 1) * plane - 1] - counts[line + shape[2] - 1]
                    else:
                        shared[line + k] += counts[line + shape[2] - 1] - counts[line + k]


@compiled
def _update(
    reach: Counts,
    shared: Counts,
    counts: Counts,
    shape: Shape,
    prices: tuple[float, float, float, float],
    images: int,
    committee: int,
    best: Cheapest,
) -> None:
    """Finish the prefix sums along the last axis and keep every cell that is the cheapest for its count.

    Equal costs go to the committee of the lower number, whatever thread meets it first.
    """
    cost, committees, cells = best.cost, best.committee, best.cell
    plane = shape[1] * shape[2]
    for i in range(shape[0]):
        at_second = prices[0] * images + prices[1] * reach[(i + 1) * plane - 1]
        for j in range(shape[1]):
            line = i * plane + j * shape[2]
            at_third = at_second + prices[2] * reach[line + shape[2] - 1]
            run = np.int32(0)
            for cell in range(line, line + shape[2]):
                run += counts[cell]
                place = shared[cell] + run
                total = at_third + prices[3] * reach[cell]
                if total <= cost[place] and (total < cost[place] or committee < committees[place]):
                    cost[place] = total
                    committees[place] = committee
                    cells[place] = cell
