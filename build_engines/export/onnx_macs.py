"""Count the multiply-accumulates of an ONNX graph.

Shapes are taken from a run on one image: shape inference stops at the first shape that is computed, and a ViT has many.
The run returns only shapes, so it takes no more memory than the graph itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnx import ModelProto, NodeProto, TensorProto, helper

COUNTED = ("Conv", "Gemm", "MatMul")
# Operators with multiply-accumulates that are not counted here, as are all operators of another domain.
NOT_COUNTED = frozenset(
    {"Attention", "ConvInteger", "ConvTranspose", "DeformConv", "Einsum", "GRU", "If", "LSTM", "Loop"}
    | {"MatMulInteger", "QLinearConv", "QLinearMatMul", "RNN", "Scan"}
)
# Places of the quantised tensors among an operator's inputs, and of their scales and zero points.
QUANTISED = {
    "DequantizeLinear": (0,),
    "ConvInteger": (1,),
    "MatMulInteger": (0, 1),
    "QLinearConv": (3, 8),
    "QLinearMatMul": (0, 3),
}
SCALES = {
    "QuantizeLinear": (1, 2),
    "DequantizeLinear": (1, 2),
    "ConvInteger": (2, 3),
    "MatMulInteger": (2, 3),
    "QLinearConv": (1, 2, 4, 5, 6, 7),
    "QLinearMatMul": (1, 2, 4, 5, 6, 7),
}
STANDARD_DOMAINS = ("", "ai.onnx")


def uncountable(model: ModelProto) -> list[str]:
    """Return the operators whose multiply-accumulates are unknown."""
    nodes = model.graph.node
    return sorted({n.op_type for n in nodes if n.domain not in STANDARD_DOMAINS or n.op_type in NOT_COUNTED})


def count_gmacs(model: ModelProto, image: npt.NDArray[np.float32]) -> float:
    """Count the multiply-accumulates of one image, in units of 10⁹: convolutions and matrix products, as torch does.

    Args:
        model: Has no uncountable operators, and one input.
        image: An input of batch 1.
    """
    counted = [node for node in model.graph.node if node.op_type in COUNTED]
    shapes = _shapes(model, [name for node in counted for name in (*node.input[:2], node.output[0])], image)
    return sum(prod(shapes[node.output[0]]) * _products(node, shapes) for node in counted) / 1e9


def count_parameters(model: ModelProto) -> int:
    """Count the numbers that a graph's weights consist of, quantised ones too, without scales and zero points."""
    floats = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16)
    quantised, scales = (_inputs_at(model, places) for places in (QUANTISED, SCALES))
    return sum(
        prod(tensor.dims)
        for tensor in model.graph.initializer
        if tensor.name not in scales and (tensor.data_type in floats or tensor.name in quantised)
    )


def _inputs_at(model: ModelProto, places: Mapping[str, Sequence[int]]) -> set[str]:
    """Return the names of the inputs at some places of some operators."""
    return {
        node.input[place]
        for node in model.graph.node
        for place in places.get(node.op_type, ())
        if place < len(node.input)
    }


def _products(node: NodeProto, shapes: dict[str, tuple[int, ...]]) -> int:
    """Return the number of products in each element of a node's output."""
    left, right = (shapes[name] for name in node.input[:2])
    if node.op_type == "Conv":
        return prod(right[1:])  # the weights [M, C / groups, kernel...]
    transposed = node.op_type == "Gemm" and any(a.name == "transA" and a.i for a in node.attribute)
    return left[0] if transposed else left[-1]


def _shapes(model: ModelProto, names: Sequence[str], image: npt.NDArray[np.float32]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the named tensors in a run on one image."""
    measured, wanted = ModelProto(), list(dict.fromkeys(names))
    measured.CopyFrom(model)
    outputs = [f"shape of {name}" for name in wanted]
    nodes = [helper.make_node("Shape", [name], [output]) for name, output in zip(wanted, outputs, strict=True)]
    measured.graph.node.extend(nodes)
    measured.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.INT64, [None]) for name in outputs)
    session = onnxruntime.InferenceSession(measured.SerializeToString(), providers=["CPUExecutionProvider"])
    found = session.run(outputs, {model.graph.input[0].name: image})
    return {name: tuple(shape.tolist()) for name, shape in zip(wanted, found, strict=True)}
