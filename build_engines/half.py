"""FP16: the body of an exported graph in half precision; preprocessing and the last softmax stay in FP32."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, shape_inference
from onnxruntime.transformers.float16 import convert_float_to_float16

from build_engines.errors import BuildError

FP32 = "fp32."  # before the names of initializers of FP32 nodes: the body may use the same ones in FP16


def to_half(model: ModelProto) -> ModelProto:
    """Return a served graph whose backbone computes in FP16, with one cast before and one after it.

    To be done to the exported graph: half precision before the export folds BatchNorm in FP16, which errs more.

    Raises:
        BuildError: the graph has no convolution, or does not end in a softmax.
    """
    graph = model.graph
    pixels, softmax = _first_convolution(graph).input[0], _last_softmax(graph)
    *before, last = kept = [deepcopy(node) for node in (*_ancestors(graph, pixels), softmax)]
    outputs = {node.output[0] for node in kept}
    body = [node for node in graph.node if node.output[0] not in outputs]
    half = _cast(body, graph.initializer, pixels, softmax.input[0])
    initializers = [*_own_initializers(graph, kept), *half.initializer]
    nodes = [*before, *_casts_first(half.node), last]
    whole = helper.make_graph(nodes, graph.name, graph.input, graph.output, initializers)
    result = helper.make_model(whole, opset_imports=model.opset_import, ir_version=model.ir_version)
    return shape_inference.infer_shapes(result, check_type=True, strict_mode=True)


def _cast(body: Sequence[NodeProto], initializers: Sequence[TensorProto], pixels: str, logits: str) -> GraphProto:
    """Return the body in FP16, between casts from and to FP32, with the initializers that it uses."""
    used = {name for node in body for name in node.input}
    start, end = (helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in (pixels, logits))
    weights = [tensor for tensor in initializers if tensor.name in used]
    graph = helper.make_graph(body, "body", [start], [end], weights)
    half = convert_float_to_float16(
        helper.make_model(graph), keep_io_types=True, disable_shape_infer=True, op_block_list=[]
    )
    return half.graph  # type: ignore[no-any-return]


def _casts_first(nodes: Sequence[NodeProto]) -> list[NodeProto]:
    """Put the converter's cast of the input, which it leaves at the end, where an ordered graph has it."""
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


def _first_convolution(graph: GraphProto) -> NodeProto:
    for node in graph.node:
        if node.op_type == "Conv":
            return node
    raise BuildError("the graph has no convolution, so where preprocessing ends is unknown; export it with fp32")


def _last_softmax(graph: GraphProto) -> NodeProto:
    last = graph.node[-1]
    if last.op_type != "Softmax" or list(last.output) != [graph.output[0].name]:
        raise BuildError("the graph does not end in its softmax; export it with fp32")
    return last


def _ancestors(graph: GraphProto, name: str) -> list[NodeProto]:
    """Return the nodes that a tensor is computed by, in the graph's order."""
    needed, found = {name}, []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            found.append(node)
    return found[::-1]
