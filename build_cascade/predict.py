"""Collect predictions through the served backbones: thresholds are chosen on what will be served."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap

from build_cascade.errors import PredictionError
from build_cascade.predictions import UNREADABLE, Predictions, Probabilities, check_probabilities, write_images
from build_cascade.provenance import Provenance
from build_engines.images.folder import ImageFolder, open_image_folder
from build_engines.pool.artifacts import PoolBuild
from build_engines.repository.served_model import ServedModel
from build_engines.support.atomic_files import write_text_whole
from build_engines.support.progress import OnProgress, ignore_progress


@dataclass(frozen=True)
class Collection:
    """One backbone's predictions on N images, collected into `<folder>/<backbone>.npy`, FP16 [N, C].

    The file appears once it is complete; an interrupted run continues where it stopped.

    Attributes:
        backbone: Its name.
        config: Triton's configuration of the served backbone.
        images: The labelled images.
        canvas: Side of the canvas, in pixels.
        labels: Names of the C classes.
        folder: Of the predictions on these images.
    """

    backbone: str
    config: Any
    images: ImageFolder
    canvas: int
    labels: tuple[str, ...]
    folder: Path

    @property
    def is_done(self) -> bool:
        """Tell whether the predictions of what is served, on these images, are complete."""
        if Provenance.read(self._file.with_suffix(".json")) != self._provenance:
            return False
        try:
            read = Predictions.read(self.folder, [self.backbone])
        except PredictionError:  # damaged since
            return False
        return np.array_equal(read.class_ids, self.images.class_ids)

    def run(self, served: ServedModel) -> Iterator[int]:
        """Ask the served backbone about the images not yet asked; yield the number of images done.

        Raises:
            ServedError: the server cannot be reached, or the backbone fails.
            PredictionError: its answers are not probabilities.
        """
        max_batch_size = int(self.config.max_batch_size)
        partial = self._open_partial()
        for start in range(_rows_done(partial), len(self.images), max_batch_size):
            canvases = self.images.canvases(self.canvas, start, start + max_batch_size)
            partial[start : start + len(canvases)] = served.infer(canvases)
            yield start + len(canvases)
        self._finish(partial)

    @property
    def _file(self) -> Path:
        return self.folder / f"{self.backbone}.npy"

    @property
    def _partial_file(self) -> Path:
        return self.folder / f".{self.backbone}.partial.npy"

    @cached_property
    def _provenance(self) -> Provenance:
        return Provenance.of(self.config, self.labels, self.images)

    def _open_partial(self) -> Probabilities:
        """Open the unfinished predictions, or start them: rows not yet collected are NaN."""
        owner = self._partial_file.with_suffix(".json")
        if _is_complete(self._partial_file) and Provenance.read(owner) == self._provenance:
            return open_memmap(self._partial_file, mode="r+")  # type: ignore[no-untyped-call, no-any-return]
        self.folder.mkdir(parents=True, exist_ok=True)
        owner.unlink(missing_ok=True)
        shape = (len(self.images), len(self.labels))
        partial: Probabilities = open_memmap(self._partial_file, mode="w+", dtype=np.float16, shape=shape)  # type: ignore[no-untyped-call]
        partial[:] = np.nan
        write_text_whole(owner, self._provenance.model_dump_json())
        return partial

    def _finish(self, partial: Probabilities) -> None:
        check_probabilities(self.backbone, partial)
        if isinstance(partial, np.memmap):
            partial.flush()
        provenance = self._file.with_suffix(".json")
        provenance.unlink(missing_ok=True)  # the old one must not vouch for the new file
        self._partial_file.replace(self._file)
        write_images(self.folder, self.images)
        write_text_whole(provenance, self._provenance.model_dump_json())
        self._partial_file.with_suffix(".json").unlink()


@dataclass(frozen=True)
class CollectedSplit:
    """What was collected of one split.

    Attributes:
        images: How many there are.
        asked: Backbones that were asked.
        reused: Backbones whose predictions were there already.
    """

    images: int
    asked: int
    reused: int


def collect_split(
    build: PoolBuild,
    split: str,
    folder: Path,
    url: str,
    configs: Mapping[str, Any],
    on_progress: OnProgress = ignore_progress,
) -> CollectedSplit:
    """Collect the predictions of all backbones on one split, where they are missing or not of what is served.

    Args:
        build: Of the pool.
        split: One of `SPLITS`.
        folder: The labelled images, one folder a class.
        url: host:port of Triton's gRPC service, which serves the backbones.
        configs: Triton's configuration of every backbone, see `served_configs`.
        on_progress: Called after each batch.

    Raises:
        ServedError: a backbone is no longer served.
        PredictionError: a backbone's answers are not probabilities.
        ImageFolderError: the folder or an image cannot be used.
    """
    images = open_image_folder(folder, build.pool.labels)
    collections = [
        Collection(
            backbone=built.name,
            config=configs[built.name],
            images=images,
            canvas=build.pool.canvas,
            labels=build.pool.labels,
            folder=build.predictions(split),
        )
        for built in build
    ]
    missing = [collection for collection in collections if not collection.is_done]
    for collection in missing:
        with ServedModel(url, collection.backbone) as served:
            for done in collection.run(served):
                on_progress(f"{collection.backbone} on {split}", done, len(images))
    return CollectedSplit(len(images), len(missing), len(collections) - len(missing))


def _is_complete(path: Path) -> bool:
    try:
        return bool(np.load(path, mmap_mode="r").size)
    except UNREADABLE:
        return False


def _rows_done(partial: Probabilities) -> int:
    missing = np.isnan(partial[:, 0])
    return int(np.argmax(missing)) if missing.any() else len(partial)
