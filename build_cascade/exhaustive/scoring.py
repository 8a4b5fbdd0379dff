"""What each prefix of a committee answers and how sure it is, on every image.

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
from build_cascade.exhaustive.setting import Setting
from build_cascade.exhaustive.sources import Problem, RowBlocks
from gating import COMBINES, CONFIDENCES, LOGARITHMS

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]
Offsets = npt.NDArray[np.int64]

_MEAN, _LOG_MEAN, _LAST = range(3)
_, _MARGIN, _ENTROPY = range(3)
_CACHE_BYTES = 2**19


@dataclass(frozen=True)
class Scores:
    """Hold what S nodes of a tree give on N images.

    Attributes:
        right: bool [S, N], whether the answer is the label.
        confidence: float32 [inner nodes, N].
        predicted: int32 [S, N], the class; empty where nobody asked.
    """

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


def prefix_statistics(problem: Problem, committee: Sequence[int], setting: Setting) -> list[PrefixStatistics]:
    """Return the statistics of the prefixes of an ordered committee, the first model alone first."""
    # Every node counts as an inner one, so that the whole committee's confidence is kept as well.
    chain = tuple(range(len(committee)))
    tree = build_tree([chain])
    tree = Tree(tree.models, tree.depths, np.arange(len(chain), dtype=np.int32), tree.leaves, tree.stages)
    scores = score(tree, RowBlocks(problem, committee, setting), problem, setting, predicted=True)
    arrays = zip(scores.predicted, scores.right, scores.confidence, strict=True)
    return [PrefixStatistics(*row) for row in arrays]


def score(
    tree: Tree,
    blocks: Iterable[tuple[int, CompactRows]],
    problem: Problem,
    setting: Setting,
    *,
    predicted: bool = False,
) -> Scores:
    """Score every node of a tree on every image.

    Args:
        tree: Its models are places in the choice that `blocks` brings.
        blocks: The pool's rows.
        problem: Of N images.
        setting: Of at least as many weights as the tree is deep.
        predicted: Whether the classes are wanted as well.

    Raises:
        ValueError: If the setting has too few weights.
    """
    if tree.depths.max(initial=0) >= len(setting.weights):
        raise ValueError(f"{len(setting.weights)} weights for {tree.depths.max() + 1} stages")
    nodes = len(tree.models)
    right = np.empty((nodes, problem.images), np.bool_)
    confidence = np.empty((tree.inner_count, problem.images), np.float32)
    classes = np.empty((nodes if predicted else 0, problem.images), np.int32)
    for start, rows in blocks:
        _score_block(rows, tree, setting, problem.predictions.classes, start, right, confidence, classes)
    return Scores(right, confidence, classes)


def _score_block(
    rows: CompactRows,
    tree: Tree,
    setting: Setting,
    classes: int,
    start: int,
    right: npt.NDArray[np.bool_],
    confidence: Floats,
    predicted: Ints,
) -> None:
    count = len(rows.label_slots)
    row_bytes = rows.values.nbytes / max(1, count) + 1
    stop = start + count
    _score(
        rows.offsets,
        rows.class_ids,
        rows.values,
        rows.label_slots,
        (tree.models, tree.depths, tree.inner),
        (setting.factors(), setting.divisors()),
        (COMBINES.index(setting.combine), list(CONFIDENCES).index(setting.confidence), classes),
        LOGARITHMS[0],
        max(1, int(_CACHE_BYTES / row_bytes)),
        right[:, start:stop],
        confidence[:, start:stop],
        predicted[:, start:stop],
    )


@parallel
def _score(
    offsets: Offsets,
    class_ids: Ints,
    values: Floats,
    label_slots: Ints,
    tree: tuple[Ints, Ints, Ints],
    scale: tuple[Floats, Floats],
    kinds: tuple[int, int, int],
    log_epsilon: np.float32,
    step: int,
    right: npt.NDArray[np.bool_],
    confidence: Floats,
    predicted: Ints,
) -> None:
    """Score blocks of `step` rows, few enough for all models' values to stay in cache."""
    models, depths, inner = tree
    factors, divisors = scale
    combine, _, classes = kinds
    rows = len(label_slots)
    for block in prange((rows + step - 1) // step):
        first = block * step
        last = min(rows, first + step)
        base = offsets[first]
        totals = np.empty((len(factors), offsets[last] - base), np.float32)
        shares = np.empty(offsets[last] - base, np.float32)
        for node in range(len(models)):
            depth = depths[node]
            _add(totals, depth, values[models[node], base : offsets[last]], factors[depth], combine)
            missing = _missing(log_epsilon, factors, depth, combine)
            total, divisor = totals[depth], divisors[depth]
            if combine == _LOG_MEAN:
                total, divisor = shares, np.float32(1)
            for row in range(first, last):
                span = (offsets[row] - base, offsets[row + 1] - base)
                absent = (missing, classes - (span[1] - span[0]))
                if combine == _LOG_MEAN:
                    absent = (_normalise(totals[depth], span, divisors[depth], absent, shares), absent[1])
                right[node, row], top, second = _judge(total, span, label_slots[row], divisor, absent)
                if inner[node] >= 0:
                    confidence[inner[node], row] = _confidence(total, span, (top, second), divisor, absent, kinds)
                if len(predicted):
                    predicted[node, row] = class_ids[base + _first_slot(total, span, top, divisor)]


@compiled
def _add(totals: Floats, depth: int, values: Floats, factor: np.float32, combine: int) -> None:
    """Write the sum of the prefix that ends here; its parent's sum lies one row above."""
    if depth == 0 or combine == _LAST:
        for slot in range(len(values)):
            totals[depth, slot] = values[slot] * factor
    else:
        for slot in range(len(values)):
            totals[depth, slot] = totals[depth - 1, slot] + values[slot] * factor


@compiled
def _missing(log_epsilon: np.float32, factors: Floats, depth: int, combine: int) -> np.float32:
    """Return the sum of a class that no model names."""
    total = np.float32(0)
    if combine == _LOG_MEAN:
        for stage in range(depth + 1):
            total += log_epsilon * factors[stage]
    return total


@compiled
def _judge(
    total: Floats, span: tuple[int, int], label_slot: int, divisor: np.float32, absent: tuple[np.float32, int]
) -> tuple[bool, np.float32, np.float32]:
    """Return (right, largest, second largest) of the mean.

    The answer is the first largest quotient: the label's must exceed all before it and reach all behind it.
    Division may make different sums equal, so quotients are compared; it keeps order, so only the largest are
    divided.
    """
    infinite = np.float32(-np.inf)
    split = span[0] + max(label_slot, 0)
    before, second = _top_two(total, (span[0], split), infinite, infinite)
    top, second = _top_two(total, (split, span[1]), before, second)
    if absent[1] > 0:
        second = max(second, absent[0])
    highest = top / divisor
    right = label_slot >= 0 and total[split] / divisor == highest and before / divisor < highest
    return bool(right), highest, second / divisor


@compiled
def _top_two(
    total: Floats, span: tuple[int, int], top: np.float32, second: np.float32
) -> tuple[np.float32, np.float32]:
    """Carry the two largest on over more slots; written without branches, which would be guessed wrong."""
    for slot in range(span[0], span[1]):
        value = total[slot]
        second = max(second, min(top, value))
        top = max(top, value)
    return top, second


@compiled
def _first_slot(total: Floats, span: tuple[int, int], highest: np.float32, divisor: np.float32) -> int:
    for slot in range(span[0], span[1]):
        if total[slot] / divisor == highest:
            return slot
    return span[0]


@compiled
def _normalise(
    total: Floats, span: tuple[int, int], divisor: np.float32, absent: tuple[np.float32, int], shares: Floats
) -> np.float32:
    """Write the normalised geometric mean of a row; return that of a class which no model names."""
    highest = np.float64(absent[0] / divisor) if absent[1] > 0 else -np.inf
    for slot in range(span[0], span[1]):
        highest = max(highest, np.float64(total[slot] / divisor))
    rest = np.exp(np.float64(absent[0] / divisor) - highest)
    mass = absent[1] * rest
    for slot in range(span[0], span[1]):
        mass += np.exp(np.float64(total[slot] / divisor) - highest)
    for slot in range(span[0], span[1]):
        shares[slot] = np.float32(np.exp(np.float64(total[slot] / divisor) - highest) / mass)
    return np.float32(rest / mass)


@compiled
def _confidence(
    total: Floats,
    span: tuple[int, int],
    best: tuple[np.float32, np.float32],
    divisor: np.float32,
    absent: tuple[np.float32, int],
    kinds: tuple[int, int, int],
) -> np.float32:
    """Return the confidence of a row."""
    _, kind, classes = kinds
    if kind == _ENTROPY:
        return _certainty(total, span, divisor, absent, classes)
    if kind == _MARGIN and classes > 1:
        return best[0] - best[1]
    return best[0]


@compiled
def _certainty(
    total: Floats, span: tuple[int, int], divisor: np.float32, absent: tuple[np.float32, int], classes: int
) -> np.float32:
    """Return 1 - H/log(C) of the mean, its entropy H over the classes of positive probability."""
    if classes == 1:
        return np.float32(1)
    rest = np.float64(absent[0])
    entropy = -absent[1] * rest * np.log(rest) if rest > 0 else 0.0
    for slot in range(span[0], span[1]):
        mean = np.float64(total[slot] / divisor)
        if mean > 0:
            entropy -= mean * np.log(mean)
    return np.float32(max(0.0, 1 - entropy / np.log(np.float64(classes))))
