"""Predictions of which only the k most probable classes of each image are known; the rest counts as zero."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from build_cascade.errors import PredictionError
from build_cascade.exhaustive.sources import TopKSource
from build_cascade.predictions import Predictions, Probabilities

Pair = tuple[npt.NDArray[np.int32], Probabilities]
KEPT_DENSE = 4  # a cascade's stages


class TopK(Mapping[str, Probabilities]):
    """Dense predictions FP16 [N, C] by backbone name, made from the top k when they are read."""

    def __init__(self, pairs: Mapping[str, Pair], classes: int) -> None:
        """Take class ids INT32 [N, k] and probabilities FP16 [N, k] of each backbone."""
        self.pairs, self.classes = dict(pairs), classes
        self._dense = lru_cache(KEPT_DENSE)(self._make_dense)

    def __getitem__(self, name: str) -> Probabilities:
        return self._dense(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    def source(self) -> TopKSource:
        """Return them as the exhaustive search takes them."""
        ids, probabilities = zip(*self.pairs.values(), strict=True)
        return TopKSource(ids, probabilities, self.classes)

    def _make_dense(self, name: str) -> Probabilities:
        ids, probabilities = self.pairs[name]
        dense = np.zeros((len(ids), self.classes), np.float16)
        np.put_along_axis(dense, ids.astype(np.intp), probabilities, axis=1)
        return dense


@dataclass(frozen=True)
class TopKPredictions(Predictions):
    """The top-k predictions of several backbones on the same N images."""

    probabilities: TopK

    def __post_init__(self) -> None:
        try:
            source = self.probabilities.source()
            source.check()
        except ValueError as error:
            raise PredictionError(f"top-k predictions of {', '.join(self.names)}: {error}") from error
        self.check_labels(source.images, source.classes)

    def rows(self, chosen: npt.NDArray[np.intp]) -> Self:
        """Return the predictions on some of the images."""
        pairs = {name: (ids[chosen], p[chosen]) for name, (ids, p) in self.probabilities.pairs.items()}
        return replace(self, class_ids=self.class_ids[chosen], probabilities=TopK(pairs, self.probabilities.classes))

    def only(self, names: Sequence[str]) -> Self:
        """Return the predictions of some of the backbones."""
        pairs = {name: self.probabilities.pairs[name] for name in names}
        return replace(self, probabilities=TopK(pairs, self.probabilities.classes))

    def _as_kept(self) -> Iterator[tuple[str, Sequence[npt.NDArray[Any]]]]:
        yield from sorted(self.probabilities.pairs.items())

    def source(self) -> TopKSource:
        """Return the probabilities as the exhaustive search takes them."""
        return self.probabilities.source()
