"""What is known of an exported ONNX file; kept beside it as JSON."""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from build_engines.errors import BuildError
from build_engines.pool.artifacts import Workspace
from build_engines.pool.schema import Backbone, Pool, Precision
from build_engines.support.atomic_files import fingerprint, sha256

# Raise it when the exported graph changes, so that old files are made again.
FORMATS: dict[Precision, str] = {"fp32": "3", "fp16": "4"}
MAKERS = ("torch", "timm", "onnxscript")


class GraphCheck(BaseModel):
    """Compare ONNX Runtime with PyTorch on the exported graph; in FP16 some of the first convolutions stay in FP32."""

    model_config = ConfigDict(frozen=True)

    largest_probability_difference: float
    class_agreement: float
    fp32_convolutions: int = 0


class PreprocessingCheck(BaseModel):
    """Compare the fused preprocessing with timm's evaluation transform; pixels in levels of 0..255."""

    model_config = ConfigDict(frozen=True)

    images: int
    largest_pixel_difference: float
    mean_pixel_difference: float
    class_agreement: float


class ExportRecord(BaseModel):
    """Say what a backbone's ONNX file was made of, what it costs, and how well it agrees."""

    model_config = ConfigDict(frozen=True)

    made_of: str
    onnx_sha256: str
    gmacs: float
    graph: GraphCheck
    preprocessing: PreprocessingCheck

    @classmethod
    def of(cls, pool: Pool, backbone: Backbone, workspace: Workspace) -> Self | None:
        """Return the record of an ONNX file that is whole and up to date with the pool, or None."""
        try:
            record = cls.model_validate_json(workspace.export_record(backbone.name).read_bytes())
        except (OSError, ValidationError):
            return None
        onnx_file = workspace.onnx(backbone.name)
        current = record.made_of == made_of(pool, backbone) and onnx_file.is_file()
        return record if current and sha256(onnx_file) == record.onnx_sha256 else None

    @classmethod
    def required(cls, pool: Pool, backbone: Backbone, workspace: Workspace) -> Self:
        """Return the record of an up-to-date ONNX file.

        Raises:
            BuildError: the file is missing, or older than the pool file or the weights.
        """
        record = cls.of(pool, backbone, workspace)
        if record is None:
            raise BuildError(
                f"backbone {backbone.name!r} has no up-to-date {workspace.onnx(backbone.name)}; "
                "run build-engines export on this pool"
            )
        return record


def made_of(pool: Pool, backbone: Backbone) -> str:
    """Return a fingerprint of all that an exported file depends on: backbone, canvas, weights, versions."""
    weights = pool.weights_file(backbone)
    content = sha256(weights) if backbone.has_file and weights.is_file() else backbone.source
    versions = " ".join(version(maker) for maker in MAKERS)
    return fingerprint(
        FORMATS[backbone.precision],
        versions,
        str(pool.canvas),
        json.dumps(backbone.model_dump(exclude={"max_batch_size"}), sort_keys=True),
        content,
    )
