"""The kernels that score a tree of prefixes on panels of images.

Images of about as many classes lie side by side in panels, so that one instruction serves several of them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from build_cascade.exhaustive.committees import Tree
from build_cascade.exhaustive.compact import CompactRows
from build_cascade.exhaustive.compiled import compiled, parallel, prange
from build_cascade.exhaustive.rules import Scale

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]
Offsets = npt.NDArray[np.int64]

_MEAN, _LOG_MEAN, _LAST = range(3)
_, _MARGIN, _ENTROPY = range(3)
_LANES = 64


class RuleCodes(NamedTuple):
    """A gating rule as the kernels read it.

    Attributes:
        combine: The place of its `combine` in `COMBINES`.
        confidence: The place of its `confidence` in `CONFIDENCES`.
        classes: C, of the problem.
    """

    combine: int
    confidence: int
    classes: int


class LargestSums(NamedTuple):
    """Sums of each lane of a panel, float32 [lanes] each.

    Attributes:
        top: The largest.
        second: The second largest.
        before: The largest before the label's.
    """

    top: Floats
    second: Floats
    before: Floats


class Scores(NamedTuple):
    """The results of S nodes of a tree on N images.

    Attributes:
        images: int32 [N], which image each column is.
        right: bool [S, N], whether the answer is the label.
        confidence: float32 [inner nodes, N].
        predicted: int32 [S, N], the class; empty unless asked for.
    """

    images: Ints
    right: npt.NDArray[np.bool_]
    confidence: Floats
    predicted: Ints

    def columns(self, start: int, stop: int) -> Scores:
        """Return a view of some of the columns."""
        chosen = slice(start, stop)
        return Scores(self.images[chosen], self.right[:, chosen], self.confidence[:, chosen], self.predicted[:, chosen])


@parallel
def score_panels(
    source: CompactRows,
    order: Offsets,
    fill: np.float32,
    tree: Tree,
    scale: Scale,
    codes: RuleCodes,
    scores: Scores,
) -> None:
    """Score panels of `_LANES` rows, taken in `order`; the columns of the scores are in that order too."""
    for first in prange((len(order) + _LANES - 1) // _LANES):
        columns = slice(first * _LANES, min(len(order), (first + 1) * _LANES))
        rows = order[columns]
        values, labels = _panel(source, rows, fill, codes.classes)
        totals = np.empty((len(scale.factors), *values.shape[1:]), np.float32)
        shares = np.empty(values.shape[1:], np.float32)
        best = LargestSums(np.empty(_LANES, np.float32), np.empty(_LANES, np.float32), np.empty(_LANES, np.float32))
        for node in range(len(tree.models)):
            depth = tree.depths[node]
            _add(totals, depth, values[tree.models[node]], scale.factors[depth], codes.combine)
            total, divisor = totals[depth], scale.divisors[depth]
            if codes.combine == _LOG_MEAN:
                _normalise(total, divisor, codes.classes, shares)
                total, divisor = shares, np.float32(1)
            _find_best(total, labels, best)
            _mark_right(total, labels, divisor, best, scores.right[node, columns])
            if tree.inner[node] >= 0:
                _write_confidence(total, divisor, best, codes, scores.confidence[tree.inner[node], columns])
            if len(scores.predicted):
                _write_class(total, divisor, best, source, rows, scores.predicted[node, columns])


@compiled
def _panel(source: CompactRows, rows: Offsets, fill: np.float32, classes: int) -> tuple[Floats, Ints]:
    """Return values float32 [models, slots, lanes] and label slots int32 [lanes].

    Behind the slots of a row, and in lanes without one, stands `fill`, as a class has it that no model names. If there
    are such classes, the last slot is one in every lane.
    """
    offsets, values = source.offsets, source.values
    width = 0
    for row in rows:
        width = max(width, offsets[row + 1] - offsets[row])
    panel = np.full((len(values), min(width + 1, classes), _LANES), fill, np.float32)
    labels = np.full(_LANES, -1, np.int32)
    for lane, row in enumerate(rows):
        labels[lane] = source.label_slots[row]
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
def _find_best(total: Floats, labels: Ints, best: LargestSums) -> None:
    """Write each lane's largest sum, its second largest, and the largest before the label's, into `best`.

    Written without branches, which would be guessed wrong, and which vector instructions do not have.
    """
    infinite = np.float32(-np.inf)
    top, second, before = best.top, best.second, best.before
    top[:] = second[:] = before[:] = infinite
    for slot in range(len(total)):
        for lane in range(_LANES):
            value = total[slot, lane]
            second[lane] = max(second[lane], min(top[lane], value))
            top[lane] = max(top[lane], value)
            before[lane] = max(before[lane], value if np.int32(slot) < labels[lane] else infinite)


@compiled
def _mark_right(
    total: Floats, labels: Ints, divisor: np.float32, best: LargestSums, right: npt.NDArray[np.bool_]
) -> None:
    """Write whether each lane's label has the first largest quotient: it must exceed all before it.

    Division may make different sums equal, so quotients are compared; it keeps order, so only the largest are
    divided.
    """
    top, before = best.top, best.before
    for lane in range(len(right)):
        own, highest = total[max(labels[lane], 0), lane] / divisor, top[lane] / divisor
        right[lane] = (labels[lane] >= 0) & (own == highest) & (before[lane] / divisor < highest)


@compiled
def _write_class(
    total: Floats, divisor: np.float32, best: LargestSums, source: CompactRows, rows: Offsets, predicted: Ints
) -> None:
    for lane in range(len(predicted)):
        first = 0
        for slot in range(len(total) - 1, -1, -1):
            if total[slot, lane] / divisor == best.top[lane] / divisor:
                first = slot
        predicted[lane] = source.class_ids[source.offsets[rows[lane]] + first]


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
    total: Floats, divisor: np.float32, best: LargestSums, codes: RuleCodes, confidence: Floats
) -> None:
    top, second = best.top, best.second
    for lane in range(len(confidence)):
        if codes.confidence == _ENTROPY:
            confidence[lane] = _certainty(total, lane, divisor, codes.classes)
        elif codes.confidence == _MARGIN and codes.classes > 1:
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
