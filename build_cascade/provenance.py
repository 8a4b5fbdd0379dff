"""The provenance of a file of predictions, kept next to it as JSON: what it was made of, and by what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from build_cascade.errors import PredictionError
from build_engines.images.source import ImageSource
from build_engines.repository.entry import MADE_FROM
from build_engines.repository.served_model import runtime_of, weights_of
from build_engines.support.atomic_files import fingerprint
from build_engines.support.record import Record


class Provenance(Record):
    """The origin of one backbone's predictions, by fingerprints.

    Attributes:
        onnx_sha256: Of the exported ONNX file.
        labels: Of the label set.
        images: Of the images.
        runtime: Triton's backend, the precision and the device: FP16 on a GPU does not answer as FP32 on a CPU.
        weights_sha256: Of the file that was served: the ONNX file, or what was made of it.
    """

    onnx_sha256: str
    labels: str
    images: str
    runtime: str
    weights_sha256: str

    @classmethod
    def of(cls, config: Any, labels: Sequence[str], images: ImageSource) -> Self:  # noqa: ANN401 (protobuf)
        """Return the provenance of predictions to collect.

        Args:
            config: Triton's configuration of the served backbone.
            labels: Names of the classes.
            images: What it is asked about; known by name, size and modification time; their labels may change.
        """
        files = (f"{image.image_id} {image.version}" for image in images.images)
        return cls(
            onnx_sha256=config.parameters[MADE_FROM].string_value,
            labels=fingerprint(*labels),
            images=fingerprint(*files),
            runtime=runtime_of(config),
            weights_sha256=fingerprint(*weights_of(config).values()),
        )


def check_provenance(folders: Sequence[Path], onnx_sha256: Mapping[str, str], labels: Sequence[str]) -> dict[str, str]:
    """Check that predictions are of these graphs and this label set; return the runtime that answered, by backbone.

    Those of a folder must be of the same images, those of a backbone by the same runtime and weights.

    Raises:
        PredictionError: those of one backbone are not.
    """
    first: dict[str, Provenance] = {}
    for folder in folders:
        for name, origin in _read_all(folder, onnx_sha256, labels).items():
            other = first.setdefault(name, origin)
            if (origin.runtime, origin.weights_sha256) != (other.runtime, other.weights_sha256):
                raise PredictionError(
                    f"{name!r} answered the images of {folders[0].name} as {other.runtime} and those of {folder.name} "
                    f"as {origin.runtime}, or by other weights; run build-cascade predict"
                )
    return {name: origin.runtime for name, origin in first.items()}


def _read_all(folder: Path, onnx_sha256: Mapping[str, str], labels: Sequence[str]) -> dict[str, Provenance]:
    found: dict[str, Provenance] = {}
    for name, sha256 in onnx_sha256.items():
        origin = Provenance.read(folder / f"{name}.json")
        if origin is None:
            raise PredictionError(f"no complete predictions of {name!r} in {folder}; run build-cascade predict")
        found[name] = origin
        images = next(iter(found.values())).images
        if (origin.onnx_sha256, origin.labels, origin.images) != (sha256, fingerprint(*labels), images):
            raise PredictionError(
                f"the predictions of {name!r} in {folder} are of another export, label set or images; "
                "run build-cascade predict"
            )
    return found
