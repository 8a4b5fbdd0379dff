"""Find what TensorRT does not support, or runs badly, in an exported graph."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto

# "Y" in the operator table of NVIDIA's ONNX parser (onnx-tensorrt, docs/operators.md), as of TensorRT 10.15.
TENSORRT_OPERATORS = frozenset(
    """
    Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh Attention AveragePool BatchNormalization BlackmanWindow
    Cast CastLike Ceil Celu Clip Concat Constant ConstantOfShape Conv ConvTranspose Cos Cosh CumSum DeformConv
    DepthToSpace DequantizeLinear Div Dropout Einsum Elu Equal Erf Exp Expand EyeLike Flatten Floor GRU Gather
    GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool Greater GreaterOrEqual GridSample
    GroupNormalization HammingWindow HannWindow HardSigmoid HardSwish Hardmax Identity If ImageScaler
    InstanceNormalization IsInf IsNaN LRN LSTM LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax Loop
    LpNormalization LpPool MatMul Max MaxPool Mean MeanVarianceNormalization Min Mish Mod Mul Neg NonMaxSuppression
    NonZero Not OneHot Or PRelu Pad ParametricSoftplus Pow QuantizeLinear RMSNormalization RNN RandomNormal
    RandomNormalLike RandomUniform RandomUniformLike Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp
    ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize ReverseSequence RoiAlign
    RotaryEmbedding Round STFT ScaledTanh Scan Scatter ScatterElements ScatterND Selu Shape Shrink Sigmoid Sign Sin Sinh
    Size Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Tan Tanh TensorScatter ThresholdedRelu
    Tile TopK Transpose Trilu Unsqueeze Upsample Where Xor
    """.split()  # noqa: SIM905 (a list of one a line would be a page and a half)
)
FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16)
LOCAL_PATH = re.compile(rb"(?:/[\w.+-]+){2,}\.py\b")


def load_graph(path: Path) -> ModelProto:
    """Return an ONNX model without the values of its weights."""
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        tensor.ClearField("raw_data")
    return model


def unlisted_operators(model: ModelProto) -> list[str]:
    """Return the operators that TensorRT's ONNX parser does not document."""
    used = {f"{node.domain}.{node.op_type}".removeprefix("ai.onnx").lstrip(".") for node in model.graph.node}
    return sorted(used - TENSORRT_OPERATORS)


def leftovers(model: ModelProto) -> list[str]:
    """Return the traces of the export that do not belong in a served graph, each once."""
    floats, image = _float_tensors(model.graph), model.graph.input[0].name
    found = [trace for node in model.graph.node for trace in _traces(node, floats, image)]
    if LOCAL_PATH.search(model.SerializeToString()):
        found.append("a local path")
    return list(dict.fromkeys(found))


def _traces(node: NodeProto, floats: frozenset[str], image: str) -> Iterator[str]:
    if node.op_type == "Range":
        yield "Range"
    if "as_strided" in node.op_type:
        yield "as_strided"
    if node.op_type == "Gather" and node.input[0] in floats and _axis(node) == 0:
        yield "Gather on the batch"
    if image in node.input and node.op_type != "Cast":
        yield f"{node.op_type} of UINT8"


def _axis(node: NodeProto) -> int:
    return next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)


def _float_tensors(graph: GraphProto) -> frozenset[str]:
    """Return the names of the tensors that are computed in floating point: neither weights nor shapes."""
    return frozenset(value.name for value in graph.value_info if value.type.tensor_type.elem_type in FLOATS)
