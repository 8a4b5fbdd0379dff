"""Export a backbone with its preprocessing and softmax as one ONNX file, checked before it is kept."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import ModelProto

from build_engines.errors import BuildError, CheckError
from build_engines.export import onnx_source as onnx_backbone
from build_engines.export import timm_source as timm_backbone
from build_engines.export.fp16 import to_half
from build_engines.export.parity import (
    BATCHES,
    CLASS_AGREEMENT_FLOOR,
    PROBABILITY_TOLERANCES,
    check_preprocessing,
    compare_graph,
    require_agreement,
)
from build_engines.export.source import Model
from build_engines.export.timm_catalog import of_timm
from build_engines.images.canvas import Canvas
from build_engines.pool.artifacts import BackboneBuild
from build_engines.pool.manifest import ExportManifest, GraphCheck
from build_engines.pool.schema import Backbone, OnnxBackbone, Pool
from build_engines.support.atomic_files import sha256, write_text_whole, write_whole

# In FP16 the first convolutions go back to FP32 where half of the tolerance does not do: these images stand for many.
FP32_CONVOLUTIONS = (0, 3)
ENOUGH = 0.5


def check_pool(pool: Pool) -> None:
    """Check that every backbone can be made, before the first one takes its time.

    Raises:
        PoolError: unknown architecture or tag.
        WeightsError: a file is missing or no ONNX file to be used, or timm has no such pretrained weights.
    """
    for backbone in pool.backbones:
        if isinstance(backbone, OnnxBackbone):
            onnx_backbone.check_source(pool, backbone)
        else:
            timm_backbone.check_source(pool, of_timm(backbone))


def open_model(pool: Pool, backbone: Backbone) -> Model:
    """Return a backbone ready to be exported.

    Raises:
        PoolError: unknown architecture or arguments.
        WeightsError: the weights are missing or do not fit, or the ONNX file is not what the pool file says.
    """
    if isinstance(backbone, OnnxBackbone):
        return onnx_backbone.open_model(pool, backbone)
    return timm_backbone.open_model(pool, of_timm(backbone))


def export(built: BackboneBuild, images: Canvas) -> ExportManifest:
    """Export a backbone, check the file against PyTorch and timm, and keep it.

    Args:
        built: The backbone, and where its file goes.
        images: UINT8 [N, S, S, 3], real images for the checks.

    Raises:
        PoolError: unknown architecture or arguments.
        WeightsError: the weights are missing or do not fit.
        CheckError: the file does not agree with PyTorch, or its preprocessing with timm's; it is not kept.
    """
    backbone = built.backbone
    model = open_model(built.pool, backbone)
    floor = 0.0 if backbone.is_random else CLASS_AGREEMENT_FLOOR
    preprocessing = check_preprocessing(backbone.name, model.served, model.data, images, floor)
    checks: list[GraphCheck] = []
    write_whole(built.onnx, lambda path: checks.append(_write_checked(backbone, model, images, path)))
    manifest = ExportManifest(
        made_of=built.source_fingerprint(),
        onnx_sha256=sha256(built.onnx),
        gmacs=model.gmacs,
        graph=checks[0],
        preprocessing=preprocessing,
    )
    write_text_whole(built.manifest_file, manifest.model_dump_json(indent=2))
    return manifest


def _write_checked(backbone: Backbone, model: Model, images: Canvas, path: Path) -> GraphCheck:
    """Write the graph in the backbone's precision and check it; in FP16 as much of it as the answers bear."""
    if backbone.precision == "fp32":
        _save(model.graph(), path)
        check = compare_graph(model.served, path, images[: BATCHES[-1]])
    else:
        check = _write_half(backbone, model, images, path)
    require_agreement(backbone, check)
    return check


def _write_half(backbone: Backbone, model: Model, images: Canvas, path: Path) -> GraphCheck:
    graph = model.graph()
    for fp32_convolutions in FP32_CONVOLUTIONS:
        _save(_half(backbone, graph, fp32_convolutions), path)
        check = compare_graph(model.served, path, images).model_copy(update={"fp32_convolutions": fp32_convolutions})
        if check.largest_probability_difference <= ENOUGH * PROBABILITY_TOLERANCES["fp16"]:
            break
    return check


def _half(backbone: Backbone, graph: ModelProto, fp32_convolutions: int) -> ModelProto:
    try:
        return to_half(graph, fp32_convolutions)
    except BuildError as error:
        raise CheckError(f"backbone {backbone.name!r}: {error}; write `precision: fp32` for it") from error


def _save(model: ModelProto, path: Path) -> None:
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
