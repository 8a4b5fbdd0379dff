"""Predictions of which only the k most probable classes of each image are known; the rest counts as zero."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from build_cascade.errors import PredictionError
from build_cascade.exhaustive.sources import TopKSource
from build_cascade.predictions import Predictions, Probabilities, save_array
from build_engines.costs.costs import Costs
from build_engines.support.atomic_files import write_text_whole, write_whole

Pair = tuple[npt.NDArray[np.int32], Probabilities]
KEPT_DENSE = 4  # a cascade's stages


class TopK(Mapping[str, Probabilities]):
    """Map backbone names to dense FP16 [N, C], made when asked for."""

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
class SparsePredictions(Predictions):
    """Hold top-k predictions of several backbones on the same N images."""

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
        return type(self)(self.class_ids[chosen], TopK(pairs, self.probabilities.classes))

    def only(self, names: Sequence[str]) -> Self:
        """Return the predictions of some of the backbones."""
        pairs = {name: self.probabilities.pairs[name] for name in names}
        return type(self)(self.class_ids, TopK(pairs, self.probabilities.classes))

    def source(self) -> TopKSource:
        """Return the probabilities as the exhaustive search takes them."""
        return self.probabilities.source()


def read_npz_folder(folder: Path) -> tuple[SparsePredictions, Costs]:
    """Read `labels.npz` (labels), `models.json` (gmacs of each) and `MODEL.npz` (ids, probs) of each model.

    Raises:
        PredictionError: a file is missing or holds something else.
    """
    try:
        models = json.loads((folder / "models.json").read_text())
        class_ids = np.load(folder / "labels.npz")["labels"].astype(np.int64)
        gmacs = {name: float(entry["gmacs"]) for name, entry in models.items()}
        pairs = {name: _pair(np.load(folder / f"{name}.npz"), "ids", "probs") for name in models}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PredictionError(
            f"{folder} needs models.json with gmacs, labels.npz and a MODEL.npz of ids and probs each ({error})"
        ) from error
    return SparsePredictions(class_ids, TopK(pairs, _classes(class_ids, pairs))), Costs(gmacs, source="models.json")


def read_npy_pairs(folder: Path, labels: Path, costs: Path) -> tuple[SparsePredictions, Costs]:
    """Read `MODEL_top5preds.npy` and `MODEL_top5probs.npy` of each model in `costs`.

    Args:
        folder: Where the pairs lie.
        labels: INT [N], as .npy.
        costs: JSON of each model's GMACs.

    Raises:
        PredictionError: a file is missing or holds something else.
    """
    try:
        gmacs = {name: float(value) for name, value in json.loads(costs.read_text()).items()}
        class_ids = np.load(labels).astype(np.int64)
        pairs = {
            name: (np.load(folder / f"{name}_top5preds.npy").astype(np.int32),
                   np.load(folder / f"{name}_top5probs.npy").astype(np.float16))
            for name in gmacs
        }  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise PredictionError(
            f"{folder} needs a pair MODEL_top5preds.npy, MODEL_top5probs.npy each ({error})"
        ) from error
    return SparsePredictions(class_ids, TopK(pairs, _classes(class_ids, pairs))), Costs(gmacs, source=costs.name)


def write_set(folder: Path, predictions: SparsePredictions, costs: Costs) -> None:
    """Write an imported set: `class_ids.npy`, `costs.json`, and one `BACKBONE.npz` each."""
    for name, (ids, probabilities) in predictions.probabilities.pairs.items():
        write_whole(folder / f"{name}.npz", lambda aside, i=ids, p=probabilities: _save_pair(aside, i, p))  # type: ignore[misc]
    write_whole(folder / "class_ids.npy", lambda aside: save_array(aside, predictions.class_ids))
    write_text_whole(folder / "classes.json", json.dumps(predictions.probabilities.classes))
    costs.write(folder / "costs.json")


def read_set(folder: Path, names: Sequence[str]) -> tuple[SparsePredictions, Costs]:
    """Read an imported set.

    Raises:
        PredictionError: it is not whole.
    """
    try:
        classes = int(json.loads((folder / "classes.json").read_text()))
        class_ids = np.load(folder / "class_ids.npy")
        pairs = {name: _pair(np.load(folder / f"{name}.npz"), "ids", "probabilities") for name in names}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PredictionError(f"{folder} is not whole ({error}); run build-cascade import-topk again") from error
    return SparsePredictions(class_ids, TopK(pairs, classes)), Costs.read(folder / "costs.json").only(names)


def _classes(class_ids: npt.NDArray[np.int64], pairs: Mapping[str, Pair]) -> int:
    return int(max(class_ids.max(), *(ids.max() for ids, _ in pairs.values()))) + 1


def _pair(file: Mapping[str, npt.NDArray[np.generic]], ids: str, probabilities: str) -> Pair:
    return file[ids].astype(np.int32), file[probabilities].astype(np.float16)


def _save_pair(path: Path, ids: npt.NDArray[np.int32], probabilities: Probabilities) -> None:
    with path.open("wb") as file:
        np.savez(file, ids=ids, probabilities=probabilities)
