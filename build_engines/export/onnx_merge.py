"""One ONNX graph of our preprocessing and a classifier that is an ONNX file."""

from __future__ import annotations

from onnx import ModelProto, TensorProto, compose, helper, shape_inference, version_converter

from build_engines.export.onnx_file import OnnxFile
from build_engines.export.onnx_macs import STANDARD_DOMAINS
from build_engines.export.torch_to_onnx import OPSET, strip_local_paths
from build_engines.pool.schema import OnnxBackbone
from cascade_core.contract import PROBABILITIES

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
    """Turn the file's output into `probabilities`."""
    graph = merged.graph
    if backbone.output == "logits":
        graph.node.append(helper.make_node("Softmax", [answers], [PROBABILITIES.name], axis=1))
    else:
        _rename(merged, answers, PROBABILITIES.name)
    del graph.output[:]
    graph.output.append(
        helper.make_tensor_value_info(PROBABILITIES.name, TensorProto.FLOAT, ["batch", backbone.classes])
    )


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
