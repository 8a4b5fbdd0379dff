"""One ONNX graph of our preprocessing and a classifier that is an ONNX file."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, TensorProto, compose, helper, numpy_helper, shape_inference, version_converter

from build_engines.export.onnx_file import OnnxFile
from build_engines.export.onnx_macs import STANDARD_DOMAINS
from build_engines.export.torch_to_onnx import OPSET, strip_local_paths
from build_engines.pool.schema import OnnxBackbone
from cascade_core.contract import PROBABILITIES

KEPT, LEAST = "kept classes", "least probability"
LEAST_PROBABILITY = 1e-7  # not 0 in FP16 either, so that an image which is all background has probabilities
PREFIX = "backbone/"  # before every name of the file's graph, which may have an `image` of its own


def merge(preprocessing: ModelProto, file: OnnxFile, backbone: OnnxBackbone) -> ModelProto:
    """Return one graph, `image` to `probabilities`: the preprocessing, then the file's graph.

    Raises:
        WeightsError: the file's opset cannot be converted.
    """
    body = _at_opset(file)
    strip_local_paths(body)
    del body.graph.value_info[:]  # the sizes given there may be those of one batch
    preprocessing = version_converter.convert_version(preprocessing, _opset(body))
    preprocessing.ir_version = body.ir_version = max(preprocessing.ir_version, body.ir_version)
    body = compose.add_prefix(body, PREFIX)
    merged = compose.merge_models(preprocessing, body, io_map=[("pixels", PREFIX + file.input)])
    _finish(merged, PREFIX + file.output, backbone)
    return shape_inference.infer_shapes(merged)


def _finish(merged: ModelProto, answers: str, backbone: OnnxBackbone) -> None:
    """Turn the file's output into `probabilities` of the classes that have a label."""
    graph = merged.graph
    if backbone.drop_class is not None:
        answers = _keep_classes(merged, answers, backbone)
    if backbone.output == "logits" or backbone.drop_class is not None:
        graph.node.append(helper.make_node("Softmax", [answers], [PROBABILITIES.name], axis=1))
    else:
        _rename(merged, answers, PROBABILITIES.name)
    del graph.output[:]
    graph.output.append(
        helper.make_tensor_value_info(PROBABILITIES.name, TensorProto.FLOAT, ["batch", len(backbone.kept_classes)])
    )


def _keep_classes(merged: ModelProto, answers: str, backbone: OnnxBackbone) -> str:
    """Append the choice of the kept classes; return their logits, which logarithms of probabilities are too."""
    graph = merged.graph
    graph.initializer.append(numpy_helper.from_array(np.array(backbone.kept_classes), KEPT))
    graph.node.append(helper.make_node("Gather", [answers, KEPT], ["kept answers"], axis=1))
    if backbone.output == "logits":
        return "kept answers"
    graph.initializer.append(numpy_helper.from_array(np.array(LEAST_PROBABILITY, np.float32), LEAST))
    graph.node.append(helper.make_node("Max", ["kept answers", LEAST], ["kept probabilities"]))
    graph.node.append(helper.make_node("Log", ["kept probabilities"], ["kept logits"]))
    return "kept logits"


def _rename(model: ModelProto, old: str, new: str) -> None:
    for node in model.graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]


def _at_opset(file: OnnxFile) -> ModelProto:
    """Return the file's graph at our opset, or at its own if that is later."""
    opset = _opset(file.model)
    if opset >= OPSET:
        copy = ModelProto()
        copy.CopyFrom(file.model)
        return copy
    try:
        return version_converter.convert_version(file.model, OPSET)
    except Exception as error:  # the converter's errors have no common type
        raise file.error(
            f"is of opset {opset}, which cannot be converted to {OPSET} ({error}); export it again with opset {OPSET}"
        ) from error


def _opset(model: ModelProto) -> int:
    return next(entry.version for entry in model.opset_import if entry.domain in STANDARD_DOMAINS)
