"""Backbones that are ONNX files: joined, checked, served, and refused where they are not what a pool file says."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

from build_engines.cli import app
from build_engines.costs.macs_profile import profile
from build_engines.errors import CheckError, PoolError, WeightsError
from build_engines.export.backbone import check_sources, export_backbone
from build_engines.export.onnx_lint import leftovers, unlisted_operators
from build_engines.export.onnx_macs import count_gmacs, uncountable
from build_engines.export.source import source_of
from build_engines.export.timm_model import create
from build_engines.export.timm_source import TimmSource
from build_engines.images.samples import sample_canvases
from build_engines.pool.artifacts import PoolBuild
from build_engines.pool.schema import load_pool
from build_engines.repository.backbone_entry import write_backbone
from embedded_server import EmbeddedServer
from tests.support.helpers import (
    CANVAS,
    backbone_entry,
    onnx_probabilities,
    random_canvases,
    save_random_weights,
    write_pool,
)
from tests.support.onnx_files import classifier, onnx_entry
from tests.support.serving import ask

CAFFE = {"value_range": 255, "colours": "BGR", "mean": [103.9, 116.8, 123.7], "std": [57.4, 57.1, 58.4]}


def pool_with(folder, file=None, **changes):
    """A pool of one classifier, the file written as the entry says unless `file` says otherwise."""
    said = {key: changes[key] for key in ("layout", "output") if key in changes}
    classifier(folder / "theirs.onnx", **(said | (file or {})))
    return load_pool(write_pool(folder, onnx_entry("theirs", **changes)))


def exported(pool, folder, images=None):
    (built,) = PoolBuild.of(pool, folder / "build")
    return export_backbone(built, sample_canvases(CANVAS) if images is None else images), built.onnx


def by_hand(path, images, layout="NCHW", colours="RGB", value_range=1, mean=(0, 0, 0), std=(1, 1, 1), output="logits"):
    """What the user's file answers for canvases that need no resizing."""
    pixels = images[..., ::-1] if colours == "BGR" else images
    inputs = ((pixels / 255 * value_range - np.array(mean)) / np.array(std)).astype(np.float32)
    inputs = np.ascontiguousarray(inputs if layout == "NHWC" else inputs.transpose(0, 3, 1, 2))
    (answers,) = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"image": inputs})
    return answers if output == "probabilities" else torch.softmax(torch.from_numpy(answers), dim=1).numpy()


@pytest.mark.parametrize("said", [{}, CAFFE, {"layout": "NHWC"}, CAFFE | {"layout": "NHWC", "output": "probabilities"}])
@pytest.mark.parametrize("opset", [11, 17, 20, 22])
def test_the_joint_graph_answers_as_the_file_does(tmp_path, said, opset):
    record, path = exported(pool_with(tmp_path, {"opset": opset}, **said), tmp_path)
    images = random_canvases(7, seed=3)
    expected = by_hand(tmp_path / "theirs.onnx", images, **said)
    assert expected.max(axis=1).std() > 0.01
    for batch in (1, 2, 7):
        np.testing.assert_allclose(onnx_probabilities(path, images[:batch]), expected[:batch], atol=1e-4)
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert (leftovers(model), unlisted_operators(model)) == ([], [])
    assert record.graph.largest_probability_difference < 1e-4
    assert record.gmacs == pytest.approx((15 * 15 * 8 * 27 + 8 * 5) / 1e9)


@pytest.mark.parametrize("swapped", [{"colours": "RGB"}, {"value_range": 1}, {"mean": [123.7, 116.8, 103.9]}])
def test_each_declaration_changes_the_answers(tmp_path, swapped):
    _, path = exported(pool_with(tmp_path, **CAFFE), tmp_path)
    images = random_canvases(7)
    right, wrong = (by_hand(tmp_path / "theirs.onnx", images, **(CAFFE | change)) for change in ({}, swapped))
    assert np.abs(right - wrong).max() > 1e-3
    np.testing.assert_allclose(onnx_probabilities(path, images), right, atol=1e-4)


def test_it_is_resized_and_cropped_as_timm_would(tmp_path):
    pool = pool_with(tmp_path, {"side": 16}, input_size=16, crop_pct=0.875, interpolation="bilinear")
    record, _ = exported(pool, tmp_path)
    assert 0 < record.preprocessing.largest_pixel_difference <= 4
    assert record.preprocessing.mean_pixel_difference <= 0.5


@pytest.mark.parametrize("output", ["logits", "probabilities"])
def test_it_can_compute_in_half_precision(tmp_path, output):
    record, path = exported(pool_with(tmp_path, output=output, precision="fp16"), tmp_path)
    kinds = {tensor.name: tensor.data_type for tensor in onnx.load(path).graph.initializer}
    assert kinds["backbone/kernel"] == TensorProto.FLOAT16
    assert 0 < record.graph.largest_probability_difference <= 1e-2


def test_a_new_file_is_exported_again(tmp_path):
    pool = pool_with(tmp_path)
    exported(pool, tmp_path)
    theirs = PoolBuild.of(pool, tmp_path / "build")["theirs"]
    assert theirs.manifest()
    classifier(tmp_path / "theirs.onnx", scale=4)
    assert theirs.manifest() is None


def test_the_commands_take_it_beside_a_backbone_of_timms(tmp_path):
    classifier(tmp_path / "theirs.onnx")
    path = write_pool(tmp_path, onnx_entry("theirs"), backbone_entry("ours"))
    save_random_weights(load_pool(write_pool(tmp_path, backbone_entry("ours"))))
    write_pool(tmp_path, onnx_entry("theirs"), backbone_entry("ours"))
    build, repository = ["--build", str(tmp_path / "build")], ["--output", str(tmp_path / "repository")]
    for command, says in (
        (["export", str(path), *build], "2 exported"),
        (["export", str(path), *build], "2 reused"),
        (["check", str(path), *build], "reused"),
        (["check", str(path), "--random-weights", *build], "yes"),
        (["profile", str(path)], "theirs.onnx"),
        (["repository", str(path), *build, *repository], "theirs: written"),
    ):
        done = CliRunner().invoke(app, command, env={"COLUMNS": "200"})
        assert done.exit_code == 0, done.output
        assert says in done.output.replace("\n", "")


def test_a_runtime_that_cannot_serve_it_is_refused_before_anything_is_written(tmp_path):
    path = write_pool(tmp_path, backbone_entry("ours"), onnx_entry("theirs"), onnx_entry("too", onnx="theirs.onnx"))
    places = ["--build", str(tmp_path / "build"), "--output", str(tmp_path / "repository")]
    done = CliRunner(env={"COLUMNS": "500"}).invoke(app, ["repository", str(path), "--runtime", "torch", *places])
    assert done.exit_code == 1
    assert done.output.strip() == (
        "error: the runtime 'torch' cannot serve theirs, too, which the pool file gives as ONNX files; use "
        "--runtime embedded or onnxruntime or tensorrt"
    )
    assert not (tmp_path / "repository").exists()


def test_nothing_is_written_unless_every_backbone_can_be(tmp_path):
    classifier(tmp_path / "theirs.onnx")
    exported(load_pool(write_pool(tmp_path, onnx_entry("theirs"))), tmp_path)
    path = write_pool(tmp_path, onnx_entry("theirs"), onnx_entry("later", onnx="theirs.onnx"))
    places = ["--build", str(tmp_path / "build"), "--output", str(tmp_path / "repository")]
    done = CliRunner().invoke(app, ["repository", str(path), *places])
    assert (done.exit_code, "later" in done.output) == (1, True)
    assert not (tmp_path / "repository").exists()


def test_it_is_served_as_it_answers_offline(tmp_path):
    pool = pool_with(tmp_path, **CAFFE)
    _, path = exported(pool, tmp_path)
    write_backbone(PoolBuild.of(pool, tmp_path / "build")["theirs"], tmp_path / "served", "embedded")
    images = random_canvases(8)
    with EmbeddedServer(tmp_path / "served", models=["theirs"]) as server:
        answers = ask(server, "theirs", images, ["probabilities"])["probabilities"]
    np.testing.assert_allclose(answers, onnx_probabilities(path, images), atol=1e-6)


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


def test_an_opset_that_cannot_be_converted_is_refused(tmp_path, monkeypatch):
    pool = pool_with(tmp_path, {"opset": 11})
    monkeypatch.setattr("onnx.version_converter.convert_version", lambda *_: (_ for _ in ()).throw(RuntimeError("no")))
    with pytest.raises(WeightsError, match=r"opset 11, which cannot be converted to 20 \(no\); export it again"):
        exported(pool, tmp_path)


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


def test_a_graph_that_cannot_be_cast_is_refused_by_name(tmp_path):
    pool = pool_with(tmp_path, precision="fp16")
    model = onnx.load(tmp_path / "theirs.onnx")
    del model.graph.node[:2]
    model.graph.node[0].input[0] = "image"
    head = next(tensor for tensor in model.graph.initializer if tensor.name == "head")
    head.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(head)[:3], "head"))
    onnx.save(model, tmp_path / "theirs.onnx")
    with pytest.raises(CheckError, match=r"backbone 'theirs': its graph has no convolution.*write `precision: fp32`"):
        exported(pool, tmp_path)


def test_old_files_that_name_their_weights_as_inputs_are_taken_in_silence(tmp_path, capfd):
    pool = pool_with(tmp_path)
    model = onnx.load(tmp_path / "theirs.onnx")
    for tensor in model.graph.initializer:
        model.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    onnx.save(model, tmp_path / "theirs.onnx")
    exported(pool, tmp_path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"layout": "CHWN"}, "backbones.0.layout"),
        ({"value_range": 2}, "backbones.0.value_range"),
        ({"output": None}, "backbones.0.output"),
        ({"weights": "a.safetensors"}, "backbones.0.weights"),
        ({"architecture": "resnet18"}, "backbones.0.architecture"),
        ({"gmacs": 0}, "backbones.0.gmacs"),
    ],
)
def test_a_bad_entry_says_what_to_fix(tmp_path, changes, says):
    with pytest.raises(PoolError, match=says):
        load_pool(write_pool(tmp_path, onnx_entry("theirs", **changes)))


def test_nothing_of_an_onnx_file_is_guessed(tmp_path):
    entry = onnx_entry("theirs")
    for field in ("layout", "value_range", "output"):
        with pytest.raises(PoolError, match=rf"backbones\.0\.{field}: Field required"):
            load_pool(write_pool(tmp_path, {key: value for key, value in entry.items() if key != field}))


def test_it_is_no_architecture_of_timms(tmp_path):
    with pytest.raises(PoolError, match=r"'theirs' is the file theirs\.onnx"):
        create(pool_with(tmp_path).backbones[0])
    with pytest.raises(PoolError, match=r"the ONNX file theirs\.onnx, not a PyTorch module"):
        source_of(PoolBuild.of(pool_with(tmp_path))["theirs"]).torch_module()


def test_a_cost_that_cannot_be_counted_must_be_given(tmp_path):
    pool = pool_with(tmp_path)
    model = onnx.load(tmp_path / "theirs.onnx")
    model.graph.node[-1].CopyFrom(helper.make_node("Einsum", ["flat", "head"], ["logits"], equation="bi,ij->bj"))
    onnx.save(model, tmp_path / "theirs.onnx")
    with pytest.raises(WeightsError, match=r"cannot be counted \(Einsum\); write `gmacs"):
        exported(pool, tmp_path)
    given = load_pool(write_pool(tmp_path, onnx_entry("theirs", gmacs=1.5)))
    assert exported(given, tmp_path)[0].gmacs == profile(PoolBuild.of(given)["theirs"]).gmacs == 1.5


@pytest.mark.parametrize(
    ("architecture", "arguments", "side"),
    [
        ("mobilenetv2_035", {}, 48),
        ("resnet10t", {}, 32),
        ("tf_efficientnet_lite0", {"output_stride": 8}, 24),
        ("vit_tiny_patch16_224", {"patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 2}, 32),
    ],
)
def test_counted_costs_are_those_that_torch_counts(tmp_path, architecture, arguments, side):
    entry = backbone_entry("a", architecture=architecture, arguments=arguments, input_size=side)
    pool = load_pool(write_pool(tmp_path, entry))
    backbone = pool.backbones[0]
    image = torch.zeros(1, 3, side, side)
    free = ({0: torch.export.Dim("batch", min=1)},)
    program = torch.onnx.export(create(backbone), (image.repeat(2, 1, 1, 1),), dynamo=True, dynamic_shapes=free)
    assert uncountable(program.model_proto) == []
    counted = TimmSource(pool, backbone).gmacs()
    assert count_gmacs(program.model_proto, image.numpy()) == pytest.approx(counted, rel=1e-9)
