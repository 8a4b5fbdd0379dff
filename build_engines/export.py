"""Export a backbone with its preprocessing and softmax as one ONNX file, checked before it is kept."""

from __future__ import annotations

import warnings
from pathlib import Path

import onnx
import torch

from build_engines import backbone as backbones
from build_engines.canvas import Canvas
from build_engines.checks import CLASS_AGREEMENT_FLOOR, check_graph, check_preprocessing
from build_engines.errors import BuildError
from build_engines.files import sha256, write_text_whole, write_whole
from build_engines.half import to_half
from build_engines.pool import Backbone, Pool, Precision
from build_engines.preprocessing import ServedBackbone
from build_engines.record import ExportRecord, GraphCheck, made_of
from build_engines.workspace import Workspace
from build_engines.zoo import check_architecture, check_pretrained

OPSET = 20  # 23 and later write attention as an operator that TensorRT before 10.14 does not know
EXAMPLE_BATCH = 2


def check_pool(pool: Pool) -> None:
    """Check that every backbone can be made, before the first one takes its time.

    Raises:
        PoolError: unknown architecture or tag.
        WeightsError: a weights file is missing, or timm has no such pretrained weights.
    """
    for backbone in pool.backbones:
        check_architecture(backbone)
        backbones.check_weights_file(pool, backbone)
        if backbone.is_pretrained:
            check_pretrained(backbone)


def export(pool: Pool, backbone: Backbone, workspace: Workspace, images: Canvas) -> ExportRecord:
    """Export a backbone, check the file against PyTorch and timm, and keep it.

    Args:
        pool: The pool.
        backbone: One of its backbones.
        workspace: Where the file goes.
        images: UINT8 [N, S, S, 3], real images for the checks.

    Raises:
        PoolError: unknown architecture or arguments.
        WeightsError: the weights are missing or do not fit.
        CheckError: the file does not agree with PyTorch, or its preprocessing with timm's; it is not kept.
    """
    served = backbones.served(pool, backbone)
    data, floor = backbones.data_config(backbone, served.backbone), 0.0 if backbone.is_random else CLASS_AGREEMENT_FLOOR
    preprocessing = check_preprocessing(backbone.name, served, data, images, floor)
    checks: list[GraphCheck] = []

    def write(path: Path) -> None:
        _write_onnx(served, pool.canvas, backbone.precision, path)
        checks.append(check_graph(backbone, served, path, images))

    write_whole(workspace.onnx(backbone.name), write)
    record = ExportRecord(
        made_of=made_of(pool, backbone),
        onnx_sha256=sha256(workspace.onnx(backbone.name)),
        gmacs=backbones.gmacs(backbone),
        graph=checks[0],
        preprocessing=preprocessing,
    )
    write_text_whole(workspace.export_record(backbone.name), record.model_dump_json(indent=2))
    return record


def _write_onnx(served: ServedBackbone, canvas: int, precision: Precision, path: Path) -> None:
    example = torch.zeros(EXAMPLE_BATCH, canvas, canvas, 3, dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's exporter warns about itself
        program = torch.onnx.export(
            served,
            (example,),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
            input_names=["image"],
            output_names=["probabilities"],
            opset_version=OPSET,
            verbose=False,
        )
    if program is None:
        raise BuildError("torch.onnx.export returned no program")
    model = program.model_proto
    _strip_local_paths(model)
    if precision == "fp16":
        model = to_half(model)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def _strip_local_paths(model: onnx.ModelProto) -> None:
    """Drop the exporter's stack traces, which name files of this machine."""
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        del value.metadata_props[:]
    for initializer in model.graph.initializer:
        del initializer.metadata_props[:]
