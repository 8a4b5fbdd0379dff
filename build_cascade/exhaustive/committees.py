"""Committees as indices of models, and the tree of their prefixes."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

ModelIndices = tuple[int, ...]  # of a committee, in the order in which its models run
Ints = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Constraints:
    """Which committees are allowed; the others are left out before anything is counted.

    Attributes:
        stages: The most stages, 1 to 4.
        worst_cost: The highest cost of an image that runs every stage; None for no bound.
        must_include: Models that every committee has.
        all_orders: Whether every order is tried, rather than ascending cost only.
    """

    stages: int = 4
    worst_cost: float | None = None
    must_include: frozenset[int] = frozenset()
    all_orders: bool = False


def list_committees(costs: npt.NDArray[np.float64], constraints: Constraints) -> list[ModelIndices]:
    """Return the committees allowed, in lexicographic order of the models' rank by cost."""
    ranked = [int(model) for model in np.argsort(costs, kind="stable")]
    choose = itertools.permutations if constraints.all_orders else itertools.combinations
    found = [
        committee
        for size in range(1, min(constraints.stages, len(ranked)) + 1)
        for committee in choose(ranked, size)
        if _allowed(committee, costs, constraints)
    ]
    rank = {model: place for place, model in enumerate(ranked)}
    return sorted(found, key=lambda committee: [rank[model] for model in committee])


def _allowed(committee: ModelIndices, costs: npt.NDArray[np.float64], constraints: Constraints) -> bool:
    if constraints.worst_cost is not None and worst_cost(committee, costs) > constraints.worst_cost:
        return False
    return constraints.must_include.issubset(committee)


def worst_cost(committee: Collection[int], costs: npt.NDArray[np.float64]) -> float:
    """Return the cost of an image that runs every stage, in the unit of `costs`."""
    return float(sum(float(costs[model]) for model in committee))


class Tree(NamedTuple):
    """Committees and their prefixes as S nodes, parents before children, depth first.

    Attributes:
        models: int32 [S], the last model of each node.
        depths: int32 [S], 0 for a single model.
        inner: int32 [S], the row of a node that has children among the inner nodes, else -1.
        leaves: int32 [committees], the node of each committee.
        stages: int32 [committees, 3], the inner rows of its prefixes, the longest last, -1 where there is
            none.
    """

    models: Ints
    depths: Ints
    inner: Ints
    leaves: Ints
    stages: Ints

    @property
    def inner_count(self) -> int:
        """The number of nodes that have children."""
        return int(self.inner.max(initial=-1)) + 1


def build_tree(committees: Sequence[ModelIndices]) -> Tree:
    """Return the tree of the committees and all their prefixes."""
    prefixes = {committee[:size] for committee in committees for size in range(1, len(committee) + 1)}
    nodes = sorted(prefixes)
    place = {node: index for index, node in enumerate(nodes)}
    parents = sorted({place[node[:-1]] for node in nodes if len(node) > 1})
    inner = np.full(len(nodes), -1, np.int32)
    inner[parents] = np.arange(len(parents))
    stages = np.full((len(committees), 3), -1, np.int32)
    for row, committee in enumerate(committees):
        for size in range(1, len(committee)):
            stages[row, 3 - len(committee) + size] = inner[place[committee[:size]]]
    return Tree(
        np.array([node[-1] for node in nodes], np.int32),
        np.array([len(node) - 1 for node in nodes], np.int32),
        inner,
        np.array([place[committee] for committee in committees], np.int32),
        stages,
    )


def chunked(committees: Sequence[ModelIndices], size: int) -> Iterator[tuple[int, Sequence[ModelIndices]]]:
    """Yield (index of the first, committees) of at most `size`; neighbours share prefixes."""
    for start in range(0, len(committees), size):
        yield start, committees[start : start + size]
