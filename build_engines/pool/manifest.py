"""The manifest of an exported ONNX file, kept beside it as JSON."""

from __future__ import annotations

import json
from importlib.metadata import version

from pydantic import BaseModel, ConfigDict

from build_engines.pool.schema import Backbone, Pool, Precision
from build_engines.support.atomic_files import fingerprint, sha256
from build_engines.support.record import Record

# Raise a version when the exported graph changes, so that older files are exported again.
FORMATS: dict[Precision, str] = {"fp32": "3", "fp16": "4"}
EXPORTERS = ("torch", "timm", "onnxscript")


class GraphAgreement(BaseModel):
    """The agreement of ONNX Runtime with PyTorch on the exported graph.

    Attributes:
        fp32_convolutions: How many of the first convolutions stay in FP32 in a graph of FP16.
    """

    model_config = ConfigDict(frozen=True)

    largest_probability_difference: float
    class_agreement: float
    fp32_convolutions: int = 0


class PreprocessingAgreement(BaseModel):
    """The agreement of the fused preprocessing with the one that the backbone asks for; pixels in levels of 0..255.

    Attributes:
        class_agreement: Share of all images that get the same class.
        mean_probability_difference: Mean over the images of the largest difference among the classes.
        probability_difference_error: Standard error of that mean.
        clear_images: Images whose two most likely classes are clearly apart.
        clear_same_class: How many of these get the same class.
    """

    model_config = ConfigDict(frozen=True)

    images: int
    largest_pixel_difference: float
    mean_pixel_difference: float
    class_agreement: float
    mean_probability_difference: float
    probability_difference_error: float
    clear_images: int
    clear_same_class: int


class ExportManifest(Record):
    """The source of a backbone's ONNX file, the cost of an image, and the agreement with its source.

    Attributes:
        made_of: `source_fingerprint` of the backbone.
        onnx_sha256: Of the file.
        gmacs: Multiply-accumulates of one image in units of 10⁹, preprocessing left out.
    """

    made_of: str
    onnx_sha256: str
    gmacs: float
    graph: GraphAgreement
    preprocessing: PreprocessingAgreement


def source_fingerprint(pool: Pool, backbone: Backbone) -> str:
    """Return a fingerprint of everything that an exported file depends on: backbone, canvas, weights, versions."""
    weights = pool.weights_file(backbone)
    content = sha256(weights) if backbone.has_file and weights.is_file() else backbone.source
    versions = " ".join(version(exporter) for exporter in EXPORTERS)
    return fingerprint(
        FORMATS[backbone.precision],
        versions,
        str(pool.canvas),
        json.dumps(backbone.model_dump(exclude={"max_batch_size"}), sort_keys=True),
        content,
    )
