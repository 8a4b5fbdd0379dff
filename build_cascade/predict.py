"""Collect predictions through the served backbones: thresholds are chosen on what will be served."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap

from build_cascade.errors import PredictionError
from build_cascade.predictions import UNREADABLE, Predictions, Probabilities, check_probabilities, write_images
from build_cascade.provenance import Note
from build_engines.images.folder import ImageFolder
from build_engines.repository.served_model import ServedModel
from build_engines.support.atomic_files import write_text_whole


@dataclass(frozen=True)
class Collection:
    """Collect one backbone's predictions on N images into `<folder>/<backbone>.npy`, FP16 [N, C].

    The file appears when it is whole; a run that is interrupted goes on where it stopped.

    Attributes:
        backbone: Its name.
        config: Triton's, of the served backbone.
        images: The labelled images.
        canvas: Side of the canvas, in pixels.
        labels: Names of the C classes.
        folder: Where the predictions on these images lie.
    """

    backbone: str
    config: Any
    images: ImageFolder
    canvas: int
    labels: tuple[str, ...]
    folder: Path

    @property
    def is_done(self) -> bool:
        """Tell whether predictions of what is served on these images are there."""
        if Note.read(self._file.with_suffix(".json")) != self._made_of:
            return False
        try:
            read = Predictions.read(self.folder, [self.backbone])
        except PredictionError:  # damaged since
            return False
        return np.array_equal(read.class_ids, self.images.class_ids)

    def run(self, served: ServedModel) -> Iterator[int]:
        """Ask the served backbone about the images not yet asked; yield the number of images done.

        Raises:
            ChoiceError: the server is not there or the backbone fails.
            PredictionError: it answers no probabilities.
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
    def _made_of(self) -> Note:
        return Note.of(self.config, self.labels, self.images)

    def _open_partial(self) -> Probabilities:
        """Open the unfinished predictions, or start them: rows not yet collected are NaN."""
        owner = self._partial_file.with_suffix(".json")
        if _is_whole(self._partial_file) and Note.read(owner) == self._made_of:
            return open_memmap(self._partial_file, mode="r+")  # type: ignore[no-untyped-call, no-any-return]
        self.folder.mkdir(parents=True, exist_ok=True)
        owner.unlink(missing_ok=True)
        shape = (len(self.images), len(self.labels))
        partial: Probabilities = open_memmap(self._partial_file, mode="w+", dtype=np.float16, shape=shape)  # type: ignore[no-untyped-call]
        partial[:] = np.nan
        write_text_whole(owner, self._made_of.model_dump_json())
        return partial

    def _finish(self, partial: Probabilities) -> None:
        check_probabilities(self.backbone, partial)
        if isinstance(partial, np.memmap):
            partial.flush()
        note = self._file.with_suffix(".json")
        note.unlink(missing_ok=True)  # the old note must not vouch for the new file
        self._partial_file.replace(self._file)
        write_images(self.folder, self.images)
        write_text_whole(note, self._made_of.model_dump_json())
        self._partial_file.with_suffix(".json").unlink()


def _is_whole(path: Path) -> bool:
    try:
        return bool(np.load(path, mmap_mode="r").size)
    except UNREADABLE:
        return False


def _rows_done(partial: Probabilities) -> int:
    missing = np.isnan(partial[:, 0])
    return int(np.argmax(missing)) if missing.any() else len(partial)
