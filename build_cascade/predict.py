"""Collect predictions through the served backbones: thresholds are chosen on what will be served."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap

from build_cascade.errors import PredictionError
from build_cascade.inference import OnImages, PendingPredictions, predict_pending
from build_cascade.predictions import (
    UNREADABLE,
    UNUSABLE,
    Probabilities,
    check_probabilities,
    read_probabilities,
    write_images,
)
from build_cascade.provenance import Provenance
from build_engines.images.source import ImageSource
from build_engines.pool.artifacts import PoolBuild
from build_engines.support.progress import OnProgress, ignore_progress

MAX_SHOWN = 5


@dataclass(frozen=True)
class Collection:
    """One backbone's predictions on N images, collected into `<folder>/<backbone>.npy`, FP16 [N, C].

    The file appears once it is complete; an interrupted run continues where it stopped.

    Attributes:
        backbone: Its name.
        config: Triton's configuration of the served backbone.
        images: The images.
        labels: Names of the C classes.
        folder: Of the predictions on these images.
    """

    backbone: str
    config: Any
    images: ImageSource
    labels: tuple[str, ...]
    folder: Path

    @property
    def is_done(self) -> bool:
        """Tell whether the predictions of what is served, on these images, are complete."""
        if Provenance.read(self._file.with_suffix(".json")) != self._provenance:
            return False
        try:
            probabilities = read_probabilities(self.folder, self.backbone)
            self._check(probabilities)
        except PredictionError:  # damaged since
            return False
        return len(probabilities) == len(self.images)

    def open(self) -> Probabilities:
        """Open the unfinished predictions, or start them: rows not yet collected are NaN."""
        owner = self._partial_file.with_suffix(".json")
        if _is_complete(self._partial_file) and Provenance.read(owner) == self._provenance:
            return open_memmap(self._partial_file, mode="r+")  # type: ignore[no-untyped-call, no-any-return]
        self.folder.mkdir(parents=True, exist_ok=True)
        owner.unlink(missing_ok=True)
        shape = (len(self.images), len(self.labels))
        partial: Probabilities = open_memmap(self._partial_file, mode="w+", dtype=np.float16, shape=shape)  # type: ignore[no-untyped-call]
        partial[:] = np.nan
        self._provenance.write(owner)
        return partial

    def finish(self, partial: Probabilities) -> None:
        """Check complete predictions and put them in their place.

        Raises:
            PredictionError: no image could be read, or the answers are not probabilities.
        """
        self._check(partial)
        if isinstance(partial, np.memmap):
            partial.flush()
        provenance = self._file.with_suffix(".json")
        provenance.unlink(missing_ok=True)  # the old one must not vouch for the new file
        self._partial_file.replace(self._file)
        self._provenance.write(provenance)
        self._partial_file.with_suffix(".json").unlink()

    def _check(self, probabilities: Probabilities) -> None:
        unusable = probabilities[:, 0] == UNUSABLE
        if unusable.all():
            raise PredictionError(f"none of {len(unusable)} images can be used; {self.images.reasons([0])[0]}")
        check_probabilities(self.backbone, probabilities[~unusable] if unusable.any() else probabilities)

    @property
    def _file(self) -> Path:
        return self.folder / f"{self.backbone}.npy"

    @property
    def _partial_file(self) -> Path:
        return self.folder / f".{self.backbone}.partial.npy"

    @cached_property
    def _provenance(self) -> Provenance:
        return Provenance.of(self.config, self.labels, self.images)


@dataclass(frozen=True)
class CollectedSplit:
    """What was collected of one split.

    Attributes:
        images: How many could be used.
        unusable: Why each of the others could not, with its name.
        asked: Backbones that were asked.
        reused: Backbones whose predictions were there already.
    """

    images: int
    unusable: tuple[str, ...]
    asked: int
    reused: int

    def note(self, split: str) -> str:
        """Return which images could not be used, and why; empty if all could."""
        if not self.unusable:
            return ""
        shown, more = "; ".join(self.unusable[:MAX_SHOWN]), len(self.unusable) - MAX_SHOWN
        rest = f"; and {more} more" if more > 0 else ""
        return f"{split}: {len(self.unusable)} images could not be used and are left out: {shown}{rest}"


def collect_split(
    build: PoolBuild,
    split: str,
    images: ImageSource,
    url: str,
    configs: Mapping[str, Any],
    on_progress: OnProgress = ignore_progress,
) -> CollectedSplit:
    """Collect the predictions of all backbones on one split, where they are missing or not of what is served.

    Each image is decoded once for all backbones. Images that cannot be read are left out of the predictions. Where
    only labels have changed, nothing is asked again.

    Args:
        build: Of the pool.
        split: One of `SPLITS`.
        images: The images, and their classes as far as they are known.
        url: host:port of Triton's gRPC service, which serves the backbones.
        configs: Triton's configuration of every backbone, see `served_configs`.
        on_progress: Called after each block of images.

    Raises:
        ServedError: a backbone is no longer served.
        PredictionError: a backbone's answers are not probabilities, or no image can be read.
    """
    folder, labels = build.predictions(split), build.pool.labels
    collections = [Collection(built.name, configs[built.name], images, labels, folder) for built in build]
    missing = [collection for collection in collections if not collection.is_done]
    collect(missing, build.pool.canvas, url, lambda done, total: on_progress(f"predicting {split}", done, total))
    write_images(folder, images)  # again, because labels may have changed
    first = read_probabilities(folder, collections[0].backbone)
    unusable = np.flatnonzero(first[:, 0] == UNUSABLE)
    reasons = tuple(images.reasons(unusable.tolist()))
    return CollectedSplit(len(images) - len(reasons), reasons, len(missing), len(collections) - len(missing))


def collect(collections: list[Collection], canvas: int, url: str, on_images: OnImages) -> None:
    """Complete the predictions of several backbones on the same images.

    Args:
        collections: On the same images; none for nothing to do.
        canvas: Side of the canvas, in pixels.
        url: host:port of Triton's gRPC service.
        on_images: Called with the number of images done, and their total.

    Raises:
        ServedError: the server cannot be reached, or a backbone fails.
        PredictionError: no image can be read, or answers are not probabilities.
    """
    if not collections:
        return
    partials = [collection.open() for collection in collections]
    pending = [
        PendingPredictions(collection.backbone, int(collection.config.max_batch_size), partial)
        for collection, partial in zip(collections, partials, strict=True)
    ]
    predict_pending(pending, collections[0].images, canvas, url, on_images)
    for collection, partial in zip(collections, partials, strict=True):
        collection.finish(partial)


def _is_complete(path: Path) -> bool:
    try:
        return bool(np.load(path, mmap_mode="r").size)
    except UNREADABLE:
        return False
