"""FP16: the body of an exported graph in half precision; preprocessing and the final softmax stay in FP32.

The first convolutions may stay in FP32 too. Their rounding errors are magnified by every later layer: FP16 moved a
probability of the demo's mobilenetv2_48, whose first layers have 8 to 16 channels, by up to 0.014 on 997 images, and
with the first three convolutions in FP32 by 0.006. The demo's other backbones stayed under 0.006 as they were.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from copy import deepcopy

from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, shape_inference
from onnxruntime.transformers.float16 import convert_float_to_float16

from build_engines.errors import BuildError

FP32 = "fp32."  # before the names of initializers of FP32 nodes: the body may use the same ones in FP16


def to_fp16(model: ModelProto, fp32_convolutions: int = 0) -> ModelProto:
    """Return a served graph whose backbone computes in FP16, with casts before it and one after it.

    Convert the exported graph, not the PyTorch module: there the export would fold BatchNorm in FP16, less exactly.

    Args:
        model: With inferred tensor types.
        fp32_convolutions: How many of the first convolutions stay in FP32.

    Raises:
        BuildError: the graph has no convolution, does not end in a softmax, or cannot be cast.
    """
    graph, softmax = model.graph, _final_softmax(model.graph)
    first = _convolutions(graph)[: fp32_convolutions + 1]
    ends = [first[0].input[0], *(node.output[0] for node in first[:fp32_convolutions])]
    *before, last = kept = [deepcopy(node) for node in (*_ancestors(graph, ends), softmax)]
    outputs = {node.output[0] for node in kept}
    body = [node for node in graph.node if node.output[0] not in outputs]
    fp16_body = _cast(body, graph.initializer, _float_outputs(graph, before), softmax.input[0])
    initializers = [*_own_initializers(graph, kept), *fp16_body.initializer]
    nodes = [*before, *_casts_first(fp16_body.node), last]
    whole = helper.make_graph(nodes, graph.name, graph.input, graph.output, initializers)
    result = helper.make_model(whole, opset_imports=model.opset_import, ir_version=model.ir_version)
    try:
        return shape_inference.infer_shapes(result, check_type=True, strict_mode=True)
    except shape_inference.InferenceError as error:
        raise BuildError(f"its graph cannot be cast to FP16 ({error})") from error


def _cast(
    body: Sequence[NodeProto], initializers: Sequence[TensorProto], crossing: Collection[str], logits: str
) -> GraphProto:
    """Return the body in FP16, between casts from and to FP32, with the initializers that it uses."""
    used = {name for node in body for name in node.input}
    starts = [_float(name) for name in crossing if name in used]
    weights = [tensor for tensor in initializers if tensor.name in used]
    graph = helper.make_graph(body, "body", starts, [_float(logits)], weights)
    converted = convert_float_to_float16(
        helper.make_model(graph), keep_io_types=True, disable_shape_infer=True, op_block_list=[]
    )
    return converted.graph  # type: ignore[no-any-return]


def _float(name: str) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, None)


def _float_outputs(graph: GraphProto, nodes: Sequence[NodeProto]) -> list[str]:
    """Return the names of the FP32 tensors that the nodes compute, in order."""
    floats = {value.name for value in graph.value_info if value.type.tensor_type.elem_type == TensorProto.FLOAT}
    return [name for node in nodes for name in node.output if name in floats]


def _casts_first(nodes: Sequence[NodeProto]) -> list[NodeProto]:
    """Move the converter's casts of the inputs, which it appends at the end, to the front: nodes must be ordered."""
    return sorted(nodes, key=lambda node: not node.name.startswith("graph_input_cast"))


def _own_initializers(graph: GraphProto, nodes: Sequence[NodeProto]) -> list[TensorProto]:
    """Rename, in the nodes, the initializers that they use, and return copies under the new names."""
    used = {name for node in nodes for name in node.input}
    own = [deepcopy(tensor) for tensor in graph.initializer if tensor.name in used]
    names = {tensor.name for tensor in own}
    for node in nodes:
        node.input[:] = [FP32 + name if name in names else name for name in node.input]
    for tensor in own:
        tensor.name = FP32 + tensor.name
    return own


def _convolutions(graph: GraphProto) -> list[NodeProto]:
    found = [node for node in graph.node if node.op_type == "Conv"]
    if not found:
        raise BuildError("its graph has no convolution, so where preprocessing ends is unknown")
    return found


def _final_softmax(graph: GraphProto) -> NodeProto:
    last = graph.node[-1]
    if last.op_type != "Softmax" or list(last.output) != [graph.output[0].name]:
        raise BuildError("its graph does not end in its softmax")
    return last


def _ancestors(graph: GraphProto, names: Iterable[str]) -> list[NodeProto]:
    """Return the nodes that compute some tensors, and those that read the shape of a tensor on the way."""
    needed = set(names)
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
    return [
        node
        for node in graph.node
        if needed.intersection(node.output) or (node.op_type == "Shape" and node.input[0] in needed)
    ]
