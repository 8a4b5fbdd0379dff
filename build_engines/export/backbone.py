"""Export one backbone with its preprocessing and softmax as an ONNX file, checked before it is kept."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import ModelProto

from build_engines.errors import BuildError, CheckError
from build_engines.export.fp16 import to_fp16
from build_engines.export.parity import BATCHES, PROBABILITY_TOLERANCES, check_graph, compare_graph
from build_engines.export.preprocessing_parity import check_preprocessing, compare_preprocessing
from build_engines.export.source import source_of
from build_engines.export.source_model import SourceModel
from build_engines.images.canvas import Canvas
from build_engines.pool.artifacts import BackboneBuild, PoolBuild
from build_engines.pool.manifest import ExportManifest, GraphAgreement
from build_engines.pool.schema import Backbone
from build_engines.support.atomic_files import sha256, write_whole

# In FP16 the first convolutions go back to FP32 where more than half of the tolerance is used: few images are compared.
FP32_CONVOLUTIONS = (0, 3)
USED_TOLERANCE = 0.5


def check_sources(build: PoolBuild) -> None:
    """Check that every backbone can be opened, before the first one takes its time.

    Raises:
        PoolError: unknown architecture or tag.
        WeightsError: a file is missing or is not a usable ONNX file, or timm has no such pretrained weights.
    """
    for built in build:
        source_of(built).check()


def export_backbone(built: BackboneBuild, images: Canvas) -> ExportManifest:
    """Export a backbone, compare the file with its source and its preprocessing with the one asked for, and keep it.

    Args:
        built: The backbone, and where its file goes.
        images: UINT8 [N, S, S, 3], real images to compare on.

    Raises:
        PoolError: unknown architecture or arguments.
        WeightsError: the weights are missing or do not fit.
        CheckError: the file or its preprocessing does not agree with what was asked for; it is not kept.
    """
    model = source_of(built).open()
    preprocessing = compare_preprocessing(model.served, model.data, images).agreement()
    check_preprocessing(built.backbone, preprocessing)
    graphs: list[GraphAgreement] = []
    write_whole(built.onnx, lambda path: graphs.append(_write_checked(built.backbone, model, images, path)))
    manifest = ExportManifest(
        made_of=built.source_fingerprint(),
        onnx_sha256=sha256(built.onnx),
        gmacs=model.gmacs,
        graph=graphs[0],
        preprocessing=preprocessing,
    )
    manifest.write(built.manifest_file)
    return manifest


def _write_checked(backbone: Backbone, model: SourceModel, images: Canvas, path: Path) -> GraphAgreement:
    """Write the graph in the backbone's precision, and check it."""
    if backbone.precision == "fp32":
        _save(model.graph(), path)
        agreement = compare_graph(model.served, path, images[: BATCHES[-1]])
    else:
        agreement = _write_fp16(backbone, model, images, path)
    check_graph(backbone, agreement)
    return agreement


def _write_fp16(backbone: Backbone, model: SourceModel, images: Canvas, path: Path) -> GraphAgreement:
    """Write as much of the graph in FP16 as keeps the answers well within the tolerance."""
    graph = model.graph()
    for fp32_convolutions in FP32_CONVOLUTIONS:
        _save(_to_fp16(backbone, graph, fp32_convolutions), path)
        agreement = compare_graph(model.served, path, images)
        if agreement.largest_probability_difference <= USED_TOLERANCE * PROBABILITY_TOLERANCES["fp16"]:
            break
    return agreement.model_copy(update={"fp32_convolutions": fp32_convolutions})


def _to_fp16(backbone: Backbone, graph: ModelProto, fp32_convolutions: int) -> ModelProto:
    try:
        return to_fp16(graph, fp32_convolutions)
    except BuildError as error:
        raise CheckError(f"backbone {backbone.name!r}: {error}; write `precision: fp32` for it") from error


def _save(model: ModelProto, path: Path) -> None:
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
