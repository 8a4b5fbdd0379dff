"""What a file of predictions was made of; kept beside it as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from build_cascade.errors import PredictionError
from build_engines.files import fingerprint
from build_engines.image_folder import ImageFolder


class Note(BaseModel):
    """Name the graph, the label set and the images of one backbone's predictions, by fingerprint."""

    model_config = ConfigDict(frozen=True)

    onnx_sha256: str
    labels: str
    images: str

    @classmethod
    def of(cls, onnx_sha256: str, labels: Sequence[str], images: ImageFolder) -> Self:
        """Make a note; images are known by name, class, size and time."""
        stats = [path.stat() for path in images.paths]
        rows = zip(images.image_ids, images.class_ids, stats, strict=True)
        files = (f"{name} {class_id} {stat.st_size} {stat.st_mtime_ns}" for name, class_id, stat in rows)
        return cls(onnx_sha256=onnx_sha256, labels=fingerprint(*labels), images=fingerprint(*files))

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Read a note; None where there is none or it cannot be understood."""
        try:
            return cls.model_validate_json(path.read_text())
        except (OSError, ValidationError):
            return None


def check_notes(folder: Path, onnx_sha256: Mapping[str, str], labels: Sequence[str]) -> None:
    """Check that a folder's predictions are of these graphs, this label set and the same images.

    Raises:
        PredictionError: those of one backbone are not.
    """
    notes = {name: Note.read(folder / f"{name}.json") for name in onnx_sha256}
    first = next(iter(notes.values()))
    for name, note in notes.items():
        if note is None or first is None:
            raise PredictionError(f"no whole predictions of {name!r} in {folder}; run build-cascade predict")
        made_of_these = (note.onnx_sha256, note.labels) == (onnx_sha256[name], fingerprint(*labels))
        if not made_of_these or note.images != first.images:
            raise PredictionError(
                f"the predictions of {name!r} in {folder} are of another export, label set or image folder; "
                "run build-cascade predict"
            )
