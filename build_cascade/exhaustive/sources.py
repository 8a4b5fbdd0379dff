"""The predictions of a pool, dense or top-k, behind one interface."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from build_cascade.exhaustive.compact import CompactRows, compact_dense, compact_topk, logarithms
from build_cascade.exhaustive.rules import ClassCutoff, cutoff_of
from cascade_core.gating import EPSILON, GatingRule

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]
Number = TypeVar("Number", np.int32, np.float32)
Array = npt.NDArray[np.floating[Any]]

_BLOCK_BYTES = 128 * 2**20
_SUM_TOLERANCE = 0.02  # float16 rounds each of C numbers


class PredictionSource(Protocol):
    """Probabilities of M models on N images of C classes."""

    models: int
    images: int
    classes: int

    def compact(self, chosen: Sequence[int], start: int, stop: int, labels: Ints, cutoff: ClassCutoff) -> CompactRows:
        """Return images [start, stop) of the chosen models, without the classes below the cutoff."""

    def check(self) -> None:
        """Raise ValueError at the first row that is not a probability distribution."""


class DenseSource:
    """One float16 array [N, C] for each model; memory maps stay on disk and are read block by block."""

    def __init__(self, arrays: Sequence[Array]) -> None:
        """Take the arrays; wider floats are rounded to float16 when they are read.

        Raises:
            ValueError: there are none, or their shapes differ.
        """
        shapes = {array.shape for array in arrays}
        if len(shapes) != 1 or len(arrays[0].shape) != 2:  # noqa: PLR2004
            raise ValueError(f"predictions must be arrays [N, C] of one shape; got {sorted(shapes)}")
        self._arrays = list(arrays)
        self.models = len(arrays)
        self.images, self.classes = arrays[0].shape

    def compact(self, chosen: Sequence[int], start: int, stop: int, labels: Ints, cutoff: ClassCutoff) -> CompactRows:
        """Return images [start, stop) of the chosen models, without the classes below the cutoff."""
        block = np.stack([_rounded(self._arrays[model][start:stop]) for model in chosen])
        return compact_dense(block, labels[start:stop], cutoff)

    def check(self) -> None:
        """Raise ValueError at the first row that is not a probability distribution."""
        step = max(1, _BLOCK_BYTES // (4 * self.classes))
        for model, array in enumerate(self._arrays):
            for start in range(0, self.images, step):
                rows = np.asarray(array[start : start + step]).astype(np.float32)
                _check_rows(rows, model, start)
                _refuse(np.abs(rows.sum(axis=1) - 1) > _SUM_TOLERANCE, model, start, "does not sum to one")


class TopKSource:
    """The k most probable classes of each image for each model; the rest counts as zero."""

    def __init__(
        self, ids: Sequence[npt.NDArray[np.integer[Any]]], probabilities: Sequence[Array], classes: int
    ) -> None:
        """Take one pair of arrays [N, k] a model; k may differ, and the order within a row is free.

        Raises:
            ValueError: there are none, or their shapes do not fit.
        """
        shapes = [(i.shape, p.shape) for i, p in zip(ids, probabilities, strict=True)]
        if not shapes or any(i != p or len(i) != 2 or i[0] != shapes[0][0][0] for i, p in shapes):  # noqa: PLR2004
            raise ValueError(f"ids and probabilities must be pairs [N, k] with one N; got {shapes}")
        width = max(shape[1] for shape, _ in shapes)
        self._ids = np.stack([_padded(i.astype(np.int32), width, -1) for i in ids])
        self._probabilities = np.stack([_padded(_rounded(p), width, 0) for p in probabilities])
        self.models, self.images, _ = self._ids.shape
        self.classes = classes

    def compact(self, chosen: Sequence[int], start: int, stop: int, labels: Ints, cutoff: ClassCutoff) -> CompactRows:
        """Return images [start, stop) of the chosen models, without the classes below the cutoff."""
        rows = (np.asarray(chosen), slice(start, stop))
        return compact_topk(self._ids[rows], self._probabilities[rows], labels[start:stop], cutoff)

    def dense(self, model: int) -> npt.NDArray[np.float16]:
        """Return a model's predictions as float16 [N, C], zeros filled in."""
        full = np.zeros((self.images, self.classes), np.float16)
        rows, entries = np.nonzero(self._ids[model] >= 0)
        full[rows, self._ids[model][rows, entries]] = self._probabilities[model][rows, entries]
        return full

    def check(self) -> None:
        """Raise ValueError at the first row that is not the top of a probability distribution."""
        for model in range(self.models):
            ids, rows = self._ids[model], self._probabilities[model]
            _check_rows(rows, model, 0)
            ordered = np.sort(ids, axis=1)
            twice = ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any(axis=1)
            _refuse(twice, model, 0, "names a class twice")
            _refuse((ids >= self.classes).any(axis=1), model, 0, f"names a class beyond {self.classes - 1}")
            _refuse(rows.sum(axis=1) > 1 + _SUM_TOLERANCE, model, 0, "sums to more than one")


@dataclass(frozen=True)
class Problem:
    """The predictions, labels and costs of a pool.

    Attributes:
        names: Of the M backbones.
        costs: float64 [M], of one image, in any one unit.
        predictions: Of the M backbones on N images.
        labels: int32 [N].

    Raises:
        ValueError: sizes differ, a cost is not a positive number, or a label is out of range.
    """

    names: tuple[str, ...]
    costs: npt.NDArray[np.float64]
    predictions: PredictionSource
    labels: Ints

    def __post_init__(self) -> None:
        source = self.predictions
        if not len(self.names) == len(self.costs) == source.models:
            raise ValueError(
                f"{len(self.names)} names, {len(self.costs)} costs, {source.models} predictions: must agree"
            )
        if len(self.labels) != source.images:
            raise ValueError(f"{len(self.labels)} labels for predictions on {source.images} images")
        bad = [name for name, cost in zip(self.names, self.costs, strict=True) if not 0 < cost < np.inf]
        if bad:
            raise ValueError(f"the cost of {', '.join(bad)} is not a positive number")
        if len(self.labels) and not 0 <= self.labels.min() <= self.labels.max() < source.classes:
            raise ValueError(f"labels must lie in 0..{source.classes - 1}")

    @property
    def images(self) -> int:
        """Return N."""
        return self.predictions.images


class RowBlocks:
    """A pool's rows in blocks whose memory is bounded, kept when all of them fit."""

    def __init__(self, problem: Problem, chosen: Sequence[int], rule: GatingRule, keep_bytes: int = 2**30) -> None:
        """Prepare blocks of the chosen models; `keep_bytes` says how much may stay in memory."""
        self._problem, self._chosen, self._rule = problem, list(chosen), rule
        self._keep_bytes = keep_bytes
        self._kept: list[tuple[int, CompactRows]] | None = None

    def __iter__(self) -> Iterator[tuple[int, CompactRows]]:
        """Yield (first image, rows) from the first image to the last."""
        if self._kept is not None:
            yield from self._kept
            return
        kept: list[tuple[int, CompactRows]] = []
        size = 0
        for start, block in self._read():
            size += block.nbytes
            kept = [*kept, (start, block)] if size <= self._keep_bytes else []
            yield start, block
        self._kept = kept if size <= self._keep_bytes else None

    def _read(self) -> Iterator[tuple[int, CompactRows]]:
        problem, cutoff = self._problem, cutoff_of(self._rule)
        for start in range(0, problem.images, self._step()):
            stop = min(start + self._step(), problem.images)
            rows = problem.predictions.compact(self._chosen, start, stop, problem.labels, cutoff)
            if self._rule.combine == "log_mean":
                rows = CompactRows(rows.offsets, rows.class_ids, logarithms(rows.values), rows.label_slots)
            yield start, rows

    def _step(self) -> int:
        """Return the images of a block: as many as fit when every class of every model is kept."""
        return max(16, _BLOCK_BYTES // (4 * len(self._chosen) * self._widest()))

    def _widest(self) -> int:
        source = self._problem.predictions
        if isinstance(source, TopKSource):
            return min(source.classes, len(self._chosen) * source._ids.shape[2])
        return source.classes


def _rounded(probabilities: Array) -> Floats:
    return np.asarray(probabilities).astype(np.float16).astype(np.float32)


def _padded(array: npt.NDArray[Number], width: int, value: int) -> npt.NDArray[Number]:
    return np.pad(array, ((0, 0), (0, width - array.shape[1])), constant_values=value)


def _check_rows(rows: Floats, model: int, start: int) -> None:
    _refuse(~np.isfinite(rows).all(axis=1), model, start, "has NaN or infinity")
    _refuse((rows < 0).any(axis=1) | (rows > 1).any(axis=1), model, start, "has a number outside [0, 1]")
    _refuse(~(rows.max(axis=1, initial=0) > EPSILON), model, start, "has no positive probability")


def _refuse(bad: npt.NDArray[np.bool_], model: int, start: int, why: str) -> None:
    if bad.any():
        raise ValueError(f"predictions of model {model}: row {start + int(bad.argmax())} {why}")
