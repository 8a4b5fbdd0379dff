"""A PyTorch module as an ONNX graph of one file, without traces of the machine that exported it."""

from __future__ import annotations

import warnings

import torch
from onnx import ModelProto
from torch import nn

from build_engines.errors import BuildError

OPSET = 20  # 23 and later write attention as an operator that TensorRT before 10.14 does not know
EXAMPLE_BATCH = 2


def to_onnx(module: nn.Module, canvas: int, output: str) -> ModelProto:
    """Export a module that takes canvases.

    Args:
        module: Maps UINT8 [B, S, S, 3] to one tensor.
        canvas: S.
        output: Name of that tensor.

    Returns:
        A model of `OPSET`, its input `image`, its batch free.
    """
    example = torch.zeros(EXAMPLE_BATCH, canvas, canvas, 3, dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's exporter warns about itself
        program = torch.onnx.export(
            module,
            (example,),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
            input_names=["image"],
            output_names=[output],
            opset_version=OPSET,
            verbose=False,
        )
    if program is None:
        raise BuildError("torch.onnx.export returned no program")
    model = program.model_proto
    strip_local_paths(model)
    return model


def strip_local_paths(model: ModelProto) -> None:
    """Drop an exporter's notes and stack traces, which name files of the machine that it ran on."""
    model.doc_string = ""
    for part in (model, model.graph):
        del part.metadata_props[:]
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        del value.metadata_props[:]
    for initializer in model.graph.initializer:
        del initializer.metadata_props[:]
