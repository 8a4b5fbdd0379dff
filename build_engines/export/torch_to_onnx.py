"""A PyTorch module as an ONNX graph, without traces of the machine that exported it."""

from __future__ import annotations

import warnings

import torch
from onnx import GraphProto, ModelProto
from torch import nn

from build_engines.errors import BuildError
from cascade_core.contract import IMAGE

OPSET = 20  # 23 and later write attention as an operator that TensorRT supports only from 10.14 on
EXAMPLE_BATCH = 2


def to_onnx(module: nn.Module, canvas: int, output: str) -> ModelProto:
    """Export a module that takes canvases.

    Args:
        module: Maps UINT8 [B, S, S, 3] to one tensor.
        canvas: S.
        output: Name of that tensor.

    Returns:
        A model of `OPSET` with the input `image` and a dynamic batch dimension.
    """
    example = torch.zeros(EXAMPLE_BATCH, canvas, canvas, 3, dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's exporter emits warnings about its own code
        program = torch.onnx.export(
            module,
            (example,),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
            input_names=[IMAGE.name],
            output_names=[output],
            opset_version=OPSET,
            verbose=False,
        )
    if program is None:
        raise BuildError("torch.onnx.export returned no program")
    model = program.model_proto
    strip_local_paths(model)
    _read_the_cast(model.graph)
    return model


def _read_the_cast(graph: GraphProto) -> None:
    """Make all nodes read the cast of the UINT8 input, also for its shape: TensorRT accepts bytes only into a cast."""
    image = graph.input[0].name
    place = next(place for place, node in enumerate(graph.node) if node.op_type == "Cast" and node.input[0] == image)
    cast = graph.node.pop(place)
    for node in graph.node:
        node.input[:] = [cast.output[0] if name == image else name for name in node.input]
    graph.node.insert(0, cast)


def strip_local_paths(model: ModelProto) -> None:
    """Remove metadata and stack traces, which contain paths of the machine that the exporter ran on."""
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
