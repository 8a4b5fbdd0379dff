"""What each prefix of a committee answers and how sure it is, on every image.

Images of about as many classes lie side by side in panels, so that one instruction serves several of them.

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
from build_cascade.exhaustive.compiled import compiled, parallel, prange
from build_cascade.exhaustive.rules import Scale, scale_of
from build_cascade.exhaustive.sources import Problem, RowBlocks
from cascade_core.gating import COMBINES, CONFIDENCES, LOGARITHMS, GatingRule

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]
Offsets = npt.NDArray[np.int64]
Best = tuple[Floats, Floats, Floats]

_MEAN, _LOG_MEAN, _LAST = range(3)
_, _MARGIN, _ENTROPY = range(3)
_LANES = 64


@dataclass(frozen=True)
class Scores:
    """Hold what S nodes of a tree give on N images.

    Attributes:
        images: int32 [N], which image each column is.
        right: bool [S, N], whether the answer is the label.
        confidence: float32 [inner nodes, N].
        predicted: int32 [S, N], the class; empty where nobody asked.
    """

    images: Ints
    right: npt.NDArray[np.bool_]
    confidence: Floats
    predicted: Ints


@dataclass(frozen=True)
class PrefixStatistics:
    """Hold what one prefix of a committee gives on N images.

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
    tree = Tree(tree.models, tree.depths, np.arange(len(chain), dtype=np.int32), tree.leaves, tree.stages)
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
        tree: Its models are places in the choice that `blocks` brings.
        blocks: The pool's rows.
        problem: Of N images.
        rule: Of at least as many weights as the tree is deep.
        predicted: Whether the classes are wanted as well.

    Raises:
        ValueError: the rule has too few weights.
    """
    if tree.depths.max(initial=0) >= len(rule.weights):
        raise ValueError(f"{len(rule.weights)} weights for {tree.depths.max() + 1} stages")
    nodes = len(tree.models)
    images = np.empty(problem.images, np.int32)
    right = np.empty((nodes, problem.images), np.bool_)
    confidence = np.empty((tree.inner_count, problem.images), np.float32)
    classes = np.empty((nodes if predicted else 0, problem.images), np.int32)
    fill = LOGARITHMS[0] if rule.combine == "log_mean" else np.float32(0)
    kinds = (COMBINES.index(rule.combine), list(CONFIDENCES).index(rule.confidence), problem.predictions.classes)
    for start, rows in blocks:
        columns = slice(start, start + len(rows.label_slots))
        order = np.argsort(np.diff(rows.offsets), kind="stable")
        images[columns] = start + order
        _score(
            (rows.offsets, rows.class_ids, rows.values, rows.label_slots),
            order,
            fill,
            (tree.models, tree.depths, tree.inner),
            scale_of(rule),
            kinds,
            (right[:, columns], confidence[:, columns], classes[:, columns]),
        )
    return Scores(images, right, confidence, classes)


@parallel
def _score(
    source: tuple[Offsets, Ints, Floats, Ints],
    order: Offsets,
    fill: np.float32,
    tree: tuple[Ints, Ints, Ints],
    scale: Scale,
    kinds: tuple[int, int, int],
    result: tuple[npt.NDArray[np.bool_], Floats, Ints],
) -> None:
    """Score panels of `_LANES` rows, taken in `order`; the columns of the result are in that order too."""
    models, depths, inner = tree
    combine, _, classes = kinds
    right, confidence, predicted = result
    for first in prange((len(order) + _LANES - 1) // _LANES):
        columns = slice(first * _LANES, min(len(order), (first + 1) * _LANES))
        rows = order[columns]
        values, labels = _panel(source, rows, fill, classes)
        totals = np.empty((len(scale.factors), *values.shape[1:]), np.float32)
        shares = np.empty(values.shape[1:], np.float32)
        best = (np.empty(_LANES, np.float32), np.empty(_LANES, np.float32), np.empty(_LANES, np.float32))
        for node in range(len(models)):
            depth = depths[node]
            _add(totals, depth, values[models[node]], scale.factors[depth], combine)
            total, divisor = totals[depth], scale.divisors[depth]
            if combine == _LOG_MEAN:
                _normalise(total, divisor, classes, shares)
                total, divisor = shares, np.float32(1)
            _find_best(total, labels, best)
            _mark_right(total, labels, divisor, best, right[node, columns])
            if inner[node] >= 0:
                _write_confidence(total, divisor, best, kinds, confidence[inner[node], columns])
            if len(predicted):
                _write_class(total, divisor, best, (source[0], source[1], rows), predicted[node, columns])


@compiled
def _panel(
    source: tuple[Offsets, Ints, Floats, Ints], rows: Offsets, fill: np.float32, classes: int
) -> tuple[Floats, Ints]:
    """Return values float32 [models, slots, lanes] and label slots int32 [lanes].

    Behind the slots of a row, and in lanes without one, stands `fill`, as a class has it that no model names. If there
    are such classes, the last slot is one in every lane.
    """
    offsets, _, values, label_slots = source
    width = 0
    for row in rows:
        width = max(width, offsets[row + 1] - offsets[row])
    panel = np.full((len(values), min(width + 1, classes), _LANES), fill, np.float32)
    labels = np.full(_LANES, -1, np.int32)
    for lane, row in enumerate(rows):
        labels[lane] = label_slots[row]
        for model in range(len(values)):
            for slot in range(offsets[row], offsets[row + 1]):
                panel[model, slot - offsets[row], lane] = values[model, slot]
    return panel, labels


@compiled
def _add(totals: Floats, depth: int, values: Floats, factor: np.float32, combine: int) -> None:
    """Write the sum of the prefix that ends here; its parent's sum lies one row above."""
    for slot in range(len(values)):
        for lane in range(_LANES):
            own = values[slot, lane] * factor
            if depth == 0 or combine == _LAST:
                totals[depth, slot, lane] = own
            else:
                totals[depth, slot, lane] = totals[depth - 1, slot, lane] + own


@compiled
def _find_best(total: Floats, labels: Ints, best: Best) -> None:
    """Write each lane's largest sum, its second largest, and the largest before the label's, into `best`.

    Written without branches, which would be guessed wrong, and which vector instructions do not have.
    """
    infinite = np.float32(-np.inf)
    top, second, before = best
    top[:] = second[:] = before[:] = infinite
    for slot in range(len(total)):
        for lane in range(_LANES):
            value = total[slot, lane]
            second[lane] = max(second[lane], min(top[lane], value))
            top[lane] = max(top[lane], value)
            before[lane] = max(before[lane], value if np.int32(slot) < labels[lane] else infinite)


@compiled
def _mark_right(total: Floats, labels: Ints, divisor: np.float32, best: Best, right: npt.NDArray[np.bool_]) -> None:
    """Write whether each lane's label has the first largest quotient: it must exceed all before it.

    Division may make different sums equal, so quotients are compared; it keeps order, so only the largest are
    divided.
    """
    top, _, before = best
    for lane in range(len(right)):
        own, highest = total[max(labels[lane], 0), lane] / divisor, top[lane] / divisor
        right[lane] = (labels[lane] >= 0) & (own == highest) & (before[lane] / divisor < highest)


@compiled
def _write_class(
    total: Floats, divisor: np.float32, best: Best, rows: tuple[Offsets, Ints, Offsets], predicted: Ints
) -> None:
    offsets, class_ids, chosen = rows
    for lane in range(len(predicted)):
        first = 0
        for slot in range(len(total) - 1, -1, -1):
            if total[slot, lane] / divisor == best[0][lane] / divisor:
                first = slot
        predicted[lane] = class_ids[offsets[chosen[lane]] + first]


@compiled
def _normalise(total: Floats, divisor: np.float32, classes: int, shares: Floats) -> None:
    """Write each lane's normalised geometric mean; classes beyond the slots have the last one's."""
    slots, lanes = total.shape
    for lane in range(lanes):
        highest = np.float64(total[:, lane].max() / divisor)
        mass = (classes - slots) * np.exp(np.float64(total[-1, lane] / divisor) - highest)
        for slot in range(slots):
            mass += np.exp(np.float64(total[slot, lane] / divisor) - highest)
        for slot in range(slots):
            shares[slot, lane] = np.float32(np.exp(np.float64(total[slot, lane] / divisor) - highest) / mass)


@compiled
def _write_confidence(
    total: Floats, divisor: np.float32, best: Best, kinds: tuple[int, int, int], confidence: Floats
) -> None:
    _, kind, classes = kinds
    top, second, _ = best
    for lane in range(len(confidence)):
        if kind == _ENTROPY:
            confidence[lane] = _certainty(total, lane, divisor, classes)
        elif kind == _MARGIN and classes > 1:
            confidence[lane] = top[lane] / divisor - second[lane] / divisor
        else:
            confidence[lane] = top[lane] / divisor


@compiled
def _certainty(total: Floats, lane: int, divisor: np.float32, classes: int) -> np.float32:
    """Return 1 - H/log(C) of a lane's mean, its entropy H over the classes of positive probability."""
    if classes == 1:
        return np.float32(1)
    rest = np.float64(total[-1, lane] / divisor)
    entropy = -(classes - len(total)) * rest * np.log(rest) if rest > 0 else 0.0
    for slot in range(len(total)):
        mean = np.float64(total[slot, lane] / divisor)
        if mean > 0:
            entropy -= mean * np.log(mean)
    return np.float32(max(0.0, 1 - entropy / np.log(np.float64(classes))))
