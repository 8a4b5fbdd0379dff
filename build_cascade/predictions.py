"""Predictions on images, one file for each backbone: what a cascade is chosen on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from build_cascade.errors import PredictionError
from build_cascade.exhaustive.sources import DenseSource, TopKSource
from build_engines.images.source import UNLABELLED, ImageSource
from build_engines.support.atomic_files import write_text_whole, write_whole

Probabilities = npt.NDArray[np.float16]
SPLITS = ("calibration", "test")
CHOOSING_SHARE = 0.5  # of the calibration images; under a guarantee the rest certify
SPLIT_SEED = 0
UNREADABLE = (OSError, ValueError, EOFError)  # what numpy raises for a damaged file
SUM_TOLERANCE = 0.02  # float16 rounds each of C probabilities
UNUSABLE = -1.0  # in the first column of the file: the image could not be read


@dataclass(frozen=True)
class Predictions:
    """The predictions of several backbones on the same N images.

    Attributes:
        class_ids: INT64 [N], the true classes, UNLABELLED where they are not known; or a backbone's answers.
        probabilities: FP16 [N, C] of each backbone, by name.
        reference: The backbone whose answers stand for the true classes; None where these are labels.
    """

    class_ids: npt.NDArray[np.int64]
    probabilities: Mapping[str, Probabilities]
    reference: str | None = None

    def __post_init__(self) -> None:
        shapes = {name: array.shape for name, array in self.probabilities.items()}
        if len(set(shapes.values())) != 1:
            raise PredictionError(f"predictions have different shapes: {shapes}; collect them again on the same images")
        count, classes = next(iter(shapes.values()))
        self.check_labels(count, classes)
        for name, array in self.probabilities.items():
            check_probabilities(name, array)

    @property
    def names(self) -> tuple[str, ...]:
        """The backbones."""
        return tuple(self.probabilities)

    def check_labels(self, count: int, classes: int) -> None:
        """Check the true classes of `count` images.

        Raises:
            PredictionError: there are more or fewer, or one is out of range.
        """
        if count != len(self.class_ids):
            raise PredictionError(
                f"{count} predictions but {len(self.class_ids)} labels; collect the predictions again"
            )
        if count == 0 or self.class_ids.min() < UNLABELLED or self.class_ids.max() >= classes:
            raise PredictionError(f"labels must lie between 0 and {classes - 1}, and there must be at least one")

    def only(self, names: Sequence[str]) -> Self:
        """Return the predictions of some of the backbones."""
        return replace(self, probabilities={name: self.probabilities[name] for name in names})

    def rows(self, chosen: npt.NDArray[np.intp]) -> Self:
        """Return the predictions on some of the images."""
        arrays = {name: array[chosen] for name, array in self.probabilities.items()}
        return replace(self, class_ids=self.class_ids[chosen], probabilities=arrays)

    @property
    def sha256(self) -> str:
        """The fingerprint of the predictions and of what they are judged by."""
        digest = hashlib.sha256(np.ascontiguousarray(self.class_ids, np.int64).data)
        for name, arrays in self._as_kept():
            digest.update(name.encode())
            for array in arrays:
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def _as_kept(self) -> Iterator[tuple[str, Sequence[npt.NDArray[Any]]]]:
        """Yield each backbone and its arrays."""
        for name in sorted(self.names):
            yield name, (self.probabilities[name],)

    @property
    def labelled(self) -> int:
        """How many images have a class."""
        return int((self.class_ids != UNLABELLED).sum())

    def only_labelled(self) -> Self:
        """Return the predictions on the images that have a class."""
        known = np.flatnonzero(self.class_ids != UNLABELLED)
        return self if len(known) == len(self.class_ids) else self.rows(known)

    def split(self, share: float, seed: int) -> tuple[Self, Self]:
        """Split the images at random; return the predictions on a share of them, and on the rest."""
        order = np.random.default_rng(seed).permutation(len(self.class_ids))
        cut = round(share * len(order))
        return self.rows(np.sort(order[:cut])), self.rows(np.sort(order[cut:]))

    def halves(self) -> tuple[Self, Self]:
        """Return the predictions on the images that choose under a guarantee, and on those that certify."""
        return self.split(CHOOSING_SHARE, SPLIT_SEED)

    def source(self) -> DenseSource | TopKSource:
        """Return the probabilities as the exhaustive search takes them."""
        return DenseSource(list(self.probabilities.values()))

    @classmethod
    def read(cls, folder: Path, names: Sequence[str]) -> Self:
        """Read the predictions of some backbones on the images that could be read.

        The arrays stay on disk, unless an image could not.

        Raises:
            PredictionError: a file is missing, damaged, or not of these images.
        """
        try:
            class_ids = np.load(folder / "class_ids.npy")
        except UNREADABLE as error:
            raise PredictionError(f"no predictions in {folder} ({error}); run build-cascade predict") from error
        arrays = {name: read_probabilities(folder, name) for name in names}
        if {array.shape[:1] for array in arrays.values()} == {class_ids.shape}:
            usable = np.all([array[:, 0] != UNUSABLE for array in arrays.values()], axis=0)
            if not usable.all():
                arrays, class_ids = {name: array[usable] for name, array in arrays.items()}, class_ids[usable]
        return cls(class_ids, arrays)


def read_probabilities(folder: Path, name: str) -> Probabilities:
    """Map one backbone's predictions from disk: FP16 [N, C].

    Raises:
        PredictionError: the file is missing or damaged.
    """
    path = folder / f"{name}.npy"
    try:
        return np.load(path, mmap_mode="r")  # type: ignore[no-any-return]
    except UNREADABLE as error:
        raise PredictionError(f"{path} is missing or damaged ({error}); run build-cascade predict again") from error


def check_probabilities(name: str, probabilities: npt.NDArray[np.floating[Any]]) -> None:
    """Check that every row is a probability vector.

    Raises:
        PredictionError: a row has NaN, a negative number, or does not sum to one.
    """
    sums = probabilities.sum(axis=1, dtype=np.float64)
    wrong = ~(np.abs(sums - 1) <= SUM_TOLERANCE) | (probabilities.min(axis=1) < 0)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise PredictionError(
            f"predictions of {name!r}: row {row} sums to {sums[row]:.4g}; {int(wrong.sum())} of {len(wrong)} rows are "
            "not probabilities; the backbone must return softmax probabilities"
        )


def write_images(folder: Path, images: ImageSource) -> None:
    """Write the ids of the images that the predictions of a folder are of, and their true classes."""
    write_text_whole(folder / "images.json", json.dumps(images.image_ids, indent=0))
    write_whole(folder / "class_ids.npy", lambda aside: save_array(aside, images.class_ids))


def save_array(path: Path, array: npt.NDArray[np.int64]) -> None:
    """Write an array as .npy under exactly the name given."""
    with path.open("wb") as file:  # numpy would append .npy to the name
        np.save(file, array)
