"""ONNX files of the user's: what is not as the pool file says is refused."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from build_engines.errors import WeightsError
from build_engines.export.backbone import check_sources
from build_engines.export.source import source_of
from build_engines.pool.artifacts import PoolBuild
from tests.support.onnx_files import exported, pool_with


@pytest.mark.parametrize(
    ("file", "said", "says"),
    [
        ({"batch": 1}, {}, "takes a batch of 1 only; export it with a dynamic batch dimension"),
        ({"layout": "NHWC"}, {}, "not NCHW of 32 pixels; write `layout: NHWC`"),
        ({"side": 24}, {}, "not NCHW of 32 pixels; correct `input_size`"),
        ({"classes": 7}, {}, "returns .2, 7., expected .2, 5.: set `classes`, and the labels"),
        ({"output": "probabilities"}, {"output": "logits"}, "returns probabilities; write `output: probabilities`"),
        ({"output": "logits"}, {"output": "probabilities"}, "declared to return probabilities.*write `output: logits`"),
        ({"layout": "NHWC", "side": "any"}, {}, "does not run on|takes .*layout"),
        ({"opset": 5}, {}, "cannot be loaded by ONNX Runtime"),
        ({"opset": 99}, {}, "cannot be loaded by ONNX Runtime"),
    ],
)
def test_a_file_that_is_not_what_the_pool_file_says_is_refused(tmp_path, file, said, says):
    pool = pool_with(tmp_path, file, **said)
    with pytest.raises(WeightsError, match=f"'theirs': .*{says}"):
        exported(pool, tmp_path)
    assert not (tmp_path / "build").exists()


def spoil(path, how):
    model = onnx.load(path)
    if how == "two inputs":
        model.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["N"]))
    elif how == "two outputs":
        model.graph.output.append(helper.make_tensor_value_info("flat", TensorProto.FLOAT, ["N", 8]))
    elif how == "bytes":
        model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    elif how == "vectors":
        del model.graph.input[0].type.tensor_type.shape.dim[2:]
    elif how == "external data":
        onnx.save(model, path, save_as_external_data=True, size_threshold=0, location="weights.bin")
        return
    onnx.save(model, path)


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("two inputs", r"has 2 inputs \(image, mask\), expected one"),
        ("two outputs", r"has 2 outputs \(logits, flat\), expected one"),
        ("bytes", "input image of type UINT8"),
        ("vectors", "not a batch of images"),
        ("external data", "stores 3 of its weights in other files; merge them into one file"),
    ],
)
def test_a_file_that_is_no_classifier_is_refused_before_any_work(tmp_path, how, says):
    pool = pool_with(tmp_path)
    spoil(tmp_path / "theirs.onnx", how)
    with pytest.raises(WeightsError, match=says):
        check_sources(PoolBuild.of(pool))


@pytest.mark.parametrize("content", [b"", b"no model" * 9, None])
def test_what_is_no_onnx_file_is_refused(tmp_path, content):
    pool = pool_with(tmp_path)
    path = tmp_path / "theirs.onnx"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WeightsError, match="not an ONNX file" if content is not None else "does not exist"):
        check_sources(PoolBuild.of(pool))


def test_a_batch_that_is_fixed_inside_is_refused(tmp_path):
    pool = pool_with(tmp_path)
    model = onnx.load(tmp_path / "theirs.onnx")
    model.graph.initializer.append(helper.make_tensor("shape", TensorProto.INT64, [2], [1, 8]))
    flatten = next(node for node in model.graph.node if node.op_type == "Flatten")
    flatten.CopyFrom(helper.make_node("Reshape", ["pooled", "shape"], ["flat"]))
    onnx.save(model, tmp_path / "theirs.onnx")
    with pytest.raises(WeightsError, match="batch is the reason, export it with a dynamic batch dimension"):
        source_of(PoolBuild.of(pool)["theirs"]).open()


@pytest.mark.parametrize("output", ["logits", "probabilities"])
def test_answers_that_are_no_numbers_are_refused(tmp_path, output):
    pool = pool_with(tmp_path, {"scale": np.nan}, output=output)
    with pytest.raises(WeightsError, match="answers NaN to photographs"):
        source_of(PoolBuild.of(pool)["theirs"]).open()


def test_old_files_that_name_their_weights_as_inputs_are_taken_in_silence(tmp_path, capfd):
    pool = pool_with(tmp_path)
    model = onnx.load(tmp_path / "theirs.onnx")
    for tensor in model.graph.initializer:
        model.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    onnx.save(model, tmp_path / "theirs.onnx")
    exported(pool, tmp_path)
    assert capfd.readouterr() == ("", "")
