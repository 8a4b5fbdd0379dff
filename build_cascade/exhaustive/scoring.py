"""The answer and the confidence of each prefix of a committee, on every image.

Equal to gating.py to the bit: the same float16 numbers, the same float32 sums in the order of the stages, the same
division, the first largest class. What needs logarithms or exponentials (`log_mean`, the entropy) is computed in
float64 and rounded once in both, so that their libraries' last bits do not show.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from build_cascade.exhaustive.committees import Tree, build_tree
from build_cascade.exhaustive.compact import CompactRows
from build_cascade.exhaustive.rules import scale_of
from build_cascade.exhaustive.score_kernels import RuleCodes, Scores, score_panels
from build_cascade.exhaustive.sources import Problem, RowBlocks
from cascade_core.gating import COMBINES, CONFIDENCES, LOGARITHMS, GatingRule

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]


@dataclass(frozen=True)
class PrefixStatistics:
    """The results of one prefix of a committee on N images.

    Attributes:
        predicted: int32 [N], the class.
        right: bool [N], whether that is the label.
        confidence: float32 [N].
    """

    predicted: Ints
    right: npt.NDArray[np.bool_]
    confidence: Floats


def prefix_statistics(problem: Problem, committee: Sequence[int], rule: GatingRule) -> list[PrefixStatistics]:
    """Return the statistics of the prefixes of an ordered committee, the first model alone first."""
    # Every node counts as an inner one, so that the whole committee's confidence is kept as well.
    chain = tuple(range(len(committee)))
    tree = build_tree([chain])
    tree = tree._replace(inner=np.arange(len(chain), dtype=np.int32))
    scores = score(tree, RowBlocks(problem, committee, rule), problem, rule, predicted=True)
    place = np.argsort(scores.images)
    arrays = zip(scores.predicted, scores.right, scores.confidence, strict=True)
    return [PrefixStatistics(*(array[place] for array in row)) for row in arrays]


def score(
    tree: Tree,
    blocks: Iterable[tuple[int, CompactRows]],
    problem: Problem,
    rule: GatingRule,
    *,
    predicted: bool = False,
) -> Scores:
    """Score every node of a tree on every image.

    Args:
        tree: Its models are indices into the models of `blocks`.
        blocks: Rows of the pool, block by block.
        problem: Of N images.
        rule: Of at least as many weights as the tree is deep.
        predicted: Whether to return the classes as well.

    Raises:
        ValueError: the rule has too few weights.
    """
    if tree.depths.max(initial=0) >= len(rule.weights):
        raise ValueError(f"{len(rule.weights)} weights for {tree.depths.max() + 1} stages")
    nodes = len(tree.models)
    scores = Scores(
        np.empty(problem.images, np.int32),
        np.empty((nodes, problem.images), np.bool_),
        np.empty((tree.inner_count, problem.images), np.float32),
        np.empty((nodes if predicted else 0, problem.images), np.int32),
    )
    fill = LOGARITHMS[0] if rule.combine == "log_mean" else np.float32(0)
    codes = RuleCodes(
        COMBINES.index(rule.combine), list(CONFIDENCES).index(rule.confidence), problem.predictions.classes
    )
    for start, rows in blocks:
        order = np.argsort(np.diff(rows.offsets), kind="stable")
        part = scores.columns(start, start + len(order))
        part.images[:] = start + order
        score_panels(rows, order, fill, tree, scale_of(rule), codes, part)
    return scores
