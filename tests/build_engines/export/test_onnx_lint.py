"""Traces of the export, and operators that TensorRT does not list."""

from __future__ import annotations

import onnx
import pytest
from onnx import TensorProto, helper

from build_engines.export.onnx_lint import leftovers, unlisted_operators
from tests.support.helpers import CANVAS


def graph_of(*nodes, initializers=()):
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", CANVAS, CANVAS, 3])
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    body = (helper.make_node("Cast", ["image"], ["x"], to=TensorProto.FLOAT), *nodes)
    graph = helper.make_graph(body, "g", [image], [output], initializers)
    opsets = [helper.make_opsetid(domain, version) for domain, version in (("", 20), ("pkg", 1))]
    return onnx.shape_inference.infer_shapes(helper.make_model(graph, opset_imports=opsets))


INDEX = helper.make_tensor("index", TensorProto.INT64, [1], [0])
TABLE = helper.make_tensor("table", TensorProto.FLOAT, [2], [0, 1])


@pytest.mark.parametrize(
    ("nodes", "found"),
    [
        ([helper.make_node("Relu", ["x"], ["y"])], []),
        ([helper.make_node("Gather", ["x", "index"], ["y"])], ["Gather on the batch"]),
        ([helper.make_node("Gather", ["x", "index"], ["y"], axis=1)], []),
        ([helper.make_node("Gather", ["table", "index"], ["y"])], []),
        ([helper.make_node("Range", ["index", "index", "index"], ["r"])], ["Range"]),
        ([helper.make_node("aten_as_strided", ["x"], ["y"], domain="pkg")], ["as_strided"]),
        ([helper.make_node("Transpose", ["image"], ["t"])], ["Transpose of UINT8"]),
        ([helper.make_node("Relu", ["x"], ["y"], doc_string="/home/me/venv/torch/nn.py")], ["a local path"]),
    ],
)
def test_traces_of_the_export_are_found(nodes, found):
    assert leftovers(graph_of(*nodes, initializers=[INDEX, TABLE])) == found


def test_operators_outside_the_list_are_found():
    model = graph_of(helper.make_node("Hardmax", ["x"], ["h"]), helper.make_node("Det", ["h"], ["y"]))
    assert unlisted_operators(model) == ["Det"]
    model.graph.node[-1].domain = "com.microsoft"
    assert unlisted_operators(model) == ["com.microsoft.Det"]
