"""What a file of predictions was made of, and by what; kept beside it as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from build_cascade.errors import PredictionError
from build_engines.images.folder import ImageFolder
from build_engines.repository.entry import MADE_FROM
from build_engines.repository.served_model import runtime_of, weights_of
from build_engines.support.atomic_files import fingerprint


class Note(BaseModel):
    """Name the graph, the label set and the images of one backbone's predictions, by fingerprint, and what answered.

    Attributes:
        runtime: Triton's backend, the precision and the device: FP16 on a GPU does not answer as FP32 on a CPU.
        weights_sha256: Of the file that was served: the ONNX file, or what was made of it.
    """

    model_config = ConfigDict(frozen=True)

    onnx_sha256: str
    labels: str
    images: str
    runtime: str
    weights_sha256: str

    @classmethod
    def of(cls, config: Any, labels: Sequence[str], images: ImageFolder) -> Self:  # noqa: ANN401 (protobuf)
        """Make a note, by the configuration of the served backbone; images are known by name, class, size and time."""
        stats = [path.stat() for path in images.paths]
        rows = zip(images.image_ids, images.class_ids, stats, strict=True)
        files = (f"{name} {class_id} {stat.st_size} {stat.st_mtime_ns}" for name, class_id, stat in rows)
        return cls(
            onnx_sha256=config.parameters[MADE_FROM].string_value,
            labels=fingerprint(*labels),
            images=fingerprint(*files),
            runtime=runtime_of(config),
            weights_sha256=fingerprint(*weights_of(config).values()),
        )

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Read a note; None where there is none or it cannot be understood."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except (OSError, ValidationError):
            return None


def check_notes(folders: Sequence[Path], onnx_sha256: Mapping[str, str], labels: Sequence[str]) -> dict[str, str]:
    """Check that predictions are of these graphs and this label set; return the runtime that answered, by backbone.

    Those of a folder must be of the same images, those of a backbone by the same runtime and weights.

    Raises:
        PredictionError: those of one backbone are not.
    """
    first: dict[str, Note] = {}
    for folder in folders:
        for name, note in _notes(folder, onnx_sha256, labels).items():
            other = first.setdefault(name, note)
            if (note.runtime, note.weights_sha256) != (other.runtime, other.weights_sha256):
                raise PredictionError(
                    f"{name!r} answered the images of {folders[0].name} as {other.runtime} and those of {folder.name} "
                    f"as {note.runtime}, or by other weights; run build-cascade predict"
                )
    return {name: note.runtime for name, note in first.items()}


def _notes(folder: Path, onnx_sha256: Mapping[str, str], labels: Sequence[str]) -> dict[str, Note]:
    notes: dict[str, Note] = {}
    for name, sha256 in onnx_sha256.items():
        note = Note.read(folder / f"{name}.json")
        if note is None:
            raise PredictionError(f"no whole predictions of {name!r} in {folder}; run build-cascade predict")
        notes[name] = note
        images = next(iter(notes.values())).images
        if (note.onnx_sha256, note.labels, note.images) != (sha256, fingerprint(*labels), images):
            raise PredictionError(
                f"the predictions of {name!r} in {folder} are of another export, label set or image folder; "
                "run build-cascade predict"
            )
    return notes
