"""All threshold cells of a cascade at once, by histograms and prefix sums.

A committee of stages 1, 2, 3 and a last one has a cell (i, j, k) for every choice of thresholds. With bins
b1, b2, b3 (how many thresholds a confidence reaches) an image goes on at stage 1 when b1 <= i, and so on:

    right(i, j, k) =  #{b1 > i, stage 1 right}
                    + #{b1 <= i, b2 > j, stage 2 right}
                    + #{b1 <= i, b2 <= j, b3 > k, stage 3 right}
                    + #{b1 <= i, b2 <= j, b3 <= k, all stages right}
    cost(i, j, k) = N c1 + c2 #{b1 <= i} + c3 #{b1 <= i, b2 <= j} + c4 #{b1 <= i, b2 <= j, b3 <= k}

Every count is a prefix sum of a histogram over (b1, b2, b3). All but the last line of `right` are shared by
the committees that differ in the last stage only; they form a group. Shorter committees are padded in front
with stages that cost nothing and that nobody leaves, so one kernel serves all lengths.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from build_cascade.exhaustive.compiled import compiled, parallel, prange

Counts = npt.NDArray[np.int32]
Ints = npt.NDArray[np.int32]
Costs = npt.NDArray[np.float64]
Bins = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]
Best = tuple[Costs, Ints, Ints]


@parallel
def sweep(
    grid: tuple[Bins, Ints],
    right: Bools,
    groups: tuple[Ints, Ints, Ints, Costs],
    members: tuple[Ints, Ints, Costs],
    best: Best,
    most_cells: int,
) -> None:
    """Update the best cost of each number of right answers with every cell of every committee.

    Args:
        grid: bins uint8 [P, N] and choices int32 [P].
        right: bool [S, N], of the tree's nodes.
        groups: For G groups: stages int32 [G, 3], their rows in the grid, -1 for none; nodes int32 [G, 3]
            likewise in `right`; bounds int32 [G+1] into the members; costs float64 [G, 3], 0 for none.
        members: For each committee: node int32 in `right`, number int32, cost float64 of its last stage.
        best: cost float64 [threads, N+1], committee and cell int32 [threads, N+1]; updated.
        most_cells: The cells of the largest committee.
    """
    threads = len(best[0])
    for thread in prange(threads):
        work = np.empty((3, most_cells), np.int32)
        codes = np.empty(right.shape[1], np.int32)
        mine = (best[0][thread], best[1][thread], best[2][thread])
        for group in range(thread, len(groups[0]), threads):
            _sweep_group(grid, right, groups, members, group, work, codes, mine)


@compiled
def _sweep_group(
    grid: tuple[Bins, Ints],
    right: Bools,
    groups: tuple[Ints, Ints, Ints, Costs],
    members: tuple[Ints, Ints, Costs],
    group: int,
    work: Counts,
    codes: Ints,
    best: Best,
) -> None:
    stages, nodes, bounds, costs = groups
    shape = _encode(grid, stages[group], codes)
    cells = shape[0] * shape[1] * shape[2]
    reach, shared, counts = work[0, :cells], work[1, :cells], work[2, :cells]
    _count_reach(codes, reach, shape)
    _count_shared(codes, right, nodes[group], shared, counts, shape)
    for member in range(bounds[group], bounds[group + 1]):
        _histogram(codes, right[members[0][member]], counts)
        _sum_outer(counts, shape)
        prices = (costs[group, 0], costs[group, 1], costs[group, 2], members[2][member])
        _update(reach, shared, counts, shape, prices, len(codes), members[1][member], best)


@compiled
def _encode(grid: tuple[Bins, Ints], stages: Ints, codes: Ints) -> tuple[int, int, int]:
    """Write each image's place in the histogram; return the choices of the three stages."""
    bins, choices = grid
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
def _sum_outer(counts: Counts, shape: tuple[int, int, int]) -> None:
    """Turn a histogram into prefix sums along its first two axes, in place."""
    plane = shape[1] * shape[2]
    for cell in range(plane, shape[0] * plane):
        counts[cell] += counts[cell - plane]
    for i in range(shape[0]):
        for cell in range(i * plane + shape[2], (i + 1) * plane):
            counts[cell] += counts[cell - shape[2]]


@compiled
def _sum_inner(counts: Counts, shape: tuple[int, int, int]) -> None:
    for line in range(shape[0] * shape[1]):
        run = np.int32(0)
        for cell in range(line * shape[2], (line + 1) * shape[2]):
            run += counts[cell]
            counts[cell] = run


@compiled
def _count_reach(codes: Ints, reach: Counts, shape: tuple[int, int, int]) -> None:
    """Count the images that reach the last stage in each cell."""
    reach[:] = 0
    for code in codes:
        reach[code] += 1
    _sum_outer(reach, shape)
    _sum_inner(reach, shape)


@compiled
def _count_shared(
    codes: Ints, right: Bools, nodes: Ints, shared: Counts, counts: Counts, shape: tuple[int, int, int]
) -> None:
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
                # What came in at this stage, less what goes on.
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
    shape: tuple[int, int, int],
    prices: tuple[float, float, float, float],
    images: int,
    committee: int,
    best: Best,
) -> None:
    """Finish the prefix sums along the last axis and keep every cell that is the cheapest for its count.

    Equal costs go to the committee of the lower number, whatever thread meets it first.
    """
    cost, committees, cells = best
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
