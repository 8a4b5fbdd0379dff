"""Rows of many classes, reduced to the classes that can matter.

Of the 1,000 probabilities of an image only a few can be the largest of any committee's mean. A `CompactRows`
keeps those, ascending in class id, for all models side by side: the search then adds short vectors. Top-k
files become the same thing by the union of their class ids, so nothing downstream of this file knows what the
predictions came from.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from build_cascade.exhaustive.compiled import compiled, parallel, prange
from build_cascade.exhaustive.rules import ClassCutoff
from cascade_core.gating import LOGARITHMS

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]
Offsets = npt.NDArray[np.int64]


class CompactRows(NamedTuple):
    """The classes that can matter of n rows of M models.

    Attributes:
        offsets: int64 [n+1]; row i owns the slots offsets[i] to offsets[i+1].
        class_ids: int32 [slots], ascending within a row.
        values: float32 [M, slots]: probabilities, or their logarithms for `log_mean`.
        label_slots: int32 [n], the label's place within its row, -1 where it is below the cutoff in every model.
    """

    offsets: Offsets
    class_ids: Ints
    values: Floats
    label_slots: Ints

    @property
    def nbytes(self) -> int:
        """The memory that the arrays take, in bytes."""
        return self.offsets.nbytes + self.class_ids.nbytes + self.values.nbytes + self.label_slots.nbytes


def compact_dense(probabilities: Floats, labels: Ints, cutoff: ClassCutoff) -> CompactRows:
    """Compact dense rows.

    Args:
        probabilities: float32 [M, n, C], already rounded to float16.
        labels: int32 [n].
        cutoff: Which classes are left out.
    """
    mask = _mark_dense(probabilities, cutoff)
    offsets = _offsets(mask.sum(axis=1))
    class_ids = np.nonzero(mask)[1].astype(np.int32)
    values = np.empty((len(probabilities), len(class_ids)), np.float32)
    _fill_dense(probabilities, offsets, class_ids, values)
    return CompactRows(offsets, class_ids, values, _label_slots(offsets, class_ids, labels))


def compact_topk(ids: Ints, probabilities: Floats, labels: Ints, cutoff: ClassCutoff) -> CompactRows:
    """Compact top-k rows: the union of the models' class ids; a model that lacks a class gives it zero.

    Args:
        ids: int32 [M, n, k]; -1 fills up.
        probabilities: float32 [M, n, k], already rounded to float16, in any order.
        labels: int32 [n].
        cutoff: Which classes are left out.
    """
    models, rows, width = ids.shape
    union = np.empty((rows, models * width), np.int32)
    counts = np.empty(rows, np.int64)
    _unite(ids, probabilities, cutoff, union, counts)
    offsets = _offsets(counts)
    class_ids = union[np.arange(models * width) < counts[:, None]]
    values = np.zeros((models, len(class_ids)), np.float32)
    _fill_topk(ids, probabilities, offsets, class_ids, values)
    return CompactRows(offsets, class_ids, values, _label_slots(offsets, class_ids, labels))


def logarithms(values: Floats) -> Floats:
    """Return log(max(p, EPSILON)) of float16-valued probabilities, by a table: equal inputs, equal bits."""
    return np.asarray(LOGARITHMS[values.astype(np.float16).view(np.uint16)])


def _offsets(counts: npt.NDArray[np.int64]) -> Offsets:
    offsets = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    return offsets


@compiled
def _floor(row: Floats, cutoff: ClassCutoff) -> float:
    """Return what a probability of this row must reach to matter."""
    first = np.float32(0)
    second = np.float32(0)
    for value in row:
        if value > first:
            second = first
            first = value
        elif value > second:
            second = value
    if cutoff.rank == 0:
        return 0.0
    return cutoff.share * float(first if cutoff.rank == 1 else second)


@parallel
def _mark_dense(probabilities: Floats, cutoff: ClassCutoff) -> npt.NDArray[np.bool_]:
    models, rows, classes = probabilities.shape
    mask = np.zeros((rows, classes), np.bool_)
    for row in prange(rows):
        for model in range(models):
            floor = _floor(probabilities[model, row], cutoff)
            for c in range(classes):
                value = probabilities[model, row, c]
                mask[row, c] |= (value > 0) & (value >= floor)
    return mask


@parallel
def _fill_dense(probabilities: Floats, offsets: Offsets, class_ids: Ints, values: Floats) -> None:
    for row in prange(len(offsets) - 1):
        for model in range(len(values)):
            for slot in range(offsets[row], offsets[row + 1]):
                values[model, slot] = probabilities[model, row, class_ids[slot]]


@compiled
def _insert(found: Ints, count: int, class_id: int) -> int:
    """Put `class_id` into the ascending found[:count] unless it is there; return the new count."""
    place = np.searchsorted(found[:count], class_id)
    if place < count and found[place] == class_id:
        return count
    for slot in range(count, place, -1):
        found[slot] = found[slot - 1]
    found[place] = class_id
    return count + 1


@parallel
def _unite(ids: Ints, probabilities: Floats, cutoff: ClassCutoff, union: Ints, counts: Offsets) -> None:
    for row in prange(ids.shape[1]):
        count = 0
        for model in range(ids.shape[0]):
            floor = _floor(probabilities[model, row], cutoff)
            for entry in range(ids.shape[2]):
                value = probabilities[model, row, entry]
                if value > 0 and value >= floor:
                    count = _insert(union[row], count, ids[model, row, entry])
        counts[row] = count


@parallel
def _fill_topk(ids: Ints, probabilities: Floats, offsets: Offsets, class_ids: Ints, values: Floats) -> None:
    for row in prange(len(offsets) - 1):
        start, stop = offsets[row], offsets[row + 1]
        for model in range(ids.shape[0]):
            for entry in range(ids.shape[2]):
                slot = start + np.searchsorted(class_ids[start:stop], ids[model, row, entry])
                if slot < stop and class_ids[slot] == ids[model, row, entry]:
                    values[model, slot] = probabilities[model, row, entry]


@parallel
def _label_slots(offsets: Offsets, class_ids: Ints, labels: Ints) -> Ints:
    slots = np.full(len(labels), -1, np.int32)
    for row in prange(len(labels)):
        start, stop = offsets[row], offsets[row + 1]
        slot = np.searchsorted(class_ids[start:stop], labels[row])
        if start + slot < stop and class_ids[start + slot] == labels[row]:
            slots[row] = slot
    return slots
