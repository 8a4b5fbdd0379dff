"""Search every cascade of a pool: all committees, all cells of a grid of thresholds."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from build_cascade.exhaustive.committees import Constraints, ModelIndices, Tree, build_tree, chunked, list_committees
from build_cascade.exhaustive.compiled import use_threads
from build_cascade.exhaustive.frontier import Frontier
from build_cascade.exhaustive.grid import Grid, lay_grid
from build_cascade.exhaustive.score_kernels import Scores
from build_cascade.exhaustive.scoring import score
from build_cascade.exhaustive.sources import Problem, RowBlocks
from build_cascade.exhaustive.sweep_kernels import BinnedImages, Cheapest, Groups, Members, sweep
from cascade_core.gating import GatingRule

Ints = npt.NDArray[np.int32]
OnCount = Callable[[int, int], None]  # done, total

MOST_STAGES = 4
_CHUNK = 1024
_CHUNK_BYTES = 2**28


def ignore_count(done: int, total: int) -> None:
    """Do nothing: progress is not shown."""


def grid_search(
    problem: Problem,
    rule: GatingRule,
    constraints: Constraints | None = None,
    *,
    thresholds: int = 50,
    threads: int | None = None,
    on_count: OnCount = ignore_count,
    committees: Sequence[ModelIndices] | None = None,
) -> Frontier:
    """Find the cheapest cascade for each number of right answers, over every cascade there is.

    An interrupt (Ctrl-C) ends the search early and keeps the best so far; the frontier is then not `complete`.

    Args:
        problem: Predictions, costs and labels of N images.
        rule: How to combine and gate, with a weight for each stage.
        constraints: Which committees are allowed; up to four stages in ascending cost by default.
        thresholds: T, tried for each stage as well as "no image exits".
        threads: To run on; all cores by default.
        on_count: Called with the committees done and their number, after each chunk.
        committees: Exactly these, instead of those that `constraints` allows.

    Raises:
        ValueError: no committee is allowed, a number is out of range, or there are no images.
    """
    allowed = list_committees(problem.costs, constraints or Constraints()) if committees is None else committees
    _check(problem, allowed)
    run = _GridSearch(problem, rule, allowed, thresholds, use_threads(threads))
    complete = False
    with contextlib.suppress(KeyboardInterrupt):
        for first, chunk in chunked(allowed, _chunk_size(problem.images)):
            run.add(first, chunk)
            on_count(first + len(chunk), len(allowed))
        complete = True
    return run.frontier(complete)


def count_cells(committees: Sequence[ModelIndices], thresholds: int) -> int:
    """Return the cascades that a search evaluates, unless a stage has T distinct confidences or fewer."""
    return sum((thresholds + 1) ** (len(committee) - 1) for committee in committees)


@dataclass
class _GridSearch:
    """A search under way: the best so far of each thread, updated chunk by chunk."""

    problem: Problem
    rule: GatingRule
    committees: Sequence[ModelIndices]
    thresholds: int
    threads: int

    def __post_init__(self) -> None:
        size = (self.threads, self.problem.images + 1)
        self._best = Cheapest(np.full(size, np.inf), np.zeros(size, np.int32), np.zeros(size, np.int32))
        self._ensembles = np.full(len(self.committees), -1, np.int32)
        self._cells = 0
        used = sorted({model for committee in self.committees for model in committee})
        self._rank = {model: rank for rank, model in enumerate(used)}
        self._blocks = RowBlocks(self.problem, used, self.rule)

    def add(self, first: int, chunk: Sequence[ModelIndices]) -> None:
        """Score a chunk's prefixes once, lay the grid, and sweep its cells."""
        tree = build_tree([tuple(self._rank[model] for model in committee) for committee in chunk])
        scores = score(tree, self._blocks, self.problem, self.rule)
        grid = lay_grid(scores.confidence, self.thresholds, self.threads)
        cells = _cells(grid, tree)
        self._sweep(first, chunk, tree, scores, grid, int(cells.max()))
        self._ensembles[first : first + len(chunk)] = np.count_nonzero(scores.right[tree.leaves], axis=1)
        self._cells += int(cells.sum())

    def frontier(self, complete: bool) -> Frontier:
        """Merge the threads' bests; equal costs go to the committee of the lower number."""
        cost, committee, cell = (array[0].copy() for array in self._best)
        for other_cost, other_committee, other_cell in zip(*(array[1:] for array in self._best), strict=True):
            better = (other_cost < cost) | ((other_cost == cost) & (other_committee < committee))
            np.copyto(cost, other_cost, where=better)
            np.copyto(committee, other_committee, where=better)
            np.copyto(cell, other_cell, where=better)
        return Frontier(
            self.rule,
            self.thresholds,
            self.committees,
            cost / self.problem.images,
            committee,
            cell,
            self._ensembles,
            self._cells,
            complete,
        )

    def _sweep(
        self, first: int, chunk: Sequence[ModelIndices], tree: Tree, scores: Scores, grid: Grid, most: int
    ) -> None:
        order, bounds = _group(tree)
        leaders = order[bounds[:-1]]
        stages = tree.stages[leaders]
        inner_nodes = np.append(np.flatnonzero(tree.inner >= 0), -1).astype(np.int32)
        prices = np.array([_front_padded(self.problem.costs, chunk[leader]) for leader in leaders])
        last = np.array([self.problem.costs[chunk[member][-1]] for member in order])
        members = Members(tree.leaves[order], (first + order).astype(np.int32), last)
        groups = Groups(stages, inner_nodes[stages], bounds, prices)
        sweep(BinnedImages(grid.bins, grid.choices), scores.right, groups, members, self._best, most)


def _group(tree: Tree) -> tuple[Ints, Ints]:
    """Return (order, bounds): committees with the same prefix side by side, and where each group begins."""
    order = np.lexsort(tree.stages.T).astype(np.int32)
    ordered = tree.stages[order]
    starts = np.flatnonzero((ordered[1:] != ordered[:-1]).any(axis=1)) + 1
    return order, np.concatenate([[0], starts, [len(order)]]).astype(np.int32)


def _cells(grid: Grid, tree: Tree) -> npt.NDArray[np.int64]:
    """Return the number of cells of each committee, int64 [committees]."""
    choices = np.append(grid.choices, 1).astype(np.int64)
    return np.asarray(choices[tree.stages].prod(axis=1))


def _front_padded(costs: npt.NDArray[np.float64], committee: ModelIndices) -> list[float]:
    prefix = [float(costs[model]) for model in committee[:-1]]
    return [0.0] * (MOST_STAGES - 1 - len(prefix)) + prefix


def _chunk_size(images: int) -> int:
    return max(1, min(_CHUNK, _CHUNK_BYTES // images))


def _check(problem: Problem, committees: Sequence[ModelIndices]) -> None:
    if not problem.images:
        raise ValueError("there are no images to search on")
    if not committees:
        raise ValueError("no committee satisfies the constraints")
    longest = max(map(len, committees))
    if longest > MOST_STAGES:
        raise ValueError(f"exhaustive search takes up to {MOST_STAGES} stages, not {longest}; use the greedy algorithm")
