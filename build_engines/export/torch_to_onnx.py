"""A PyTorch module as an ONNX graph of one file, without traces of the machine that exported it."""

from __future__ import annotations

import warnings

import torch
from onnx import GraphProto, ModelProto
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
    _leave_bytes_to_the_cast(model.graph)
    return model


def _leave_bytes_to_the_cast(graph: GraphProto) -> None:
    """Let what else reads the UINT8 input, for its shape, read its cast: TensorRT takes bytes to a cast alone."""
    image = graph.input[0].name
    place = next(place for place, node in enumerate(graph.node) if node.op_type == "Cast" and node.input[0] == image)
    cast = graph.node.pop(place)
    for node in graph.node:
        node.input[:] = [cast.output[0] if name == image else name for name in node.input]
    graph.node.insert(0, cast)


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
