"""Backbones that are ONNX files: joined, checked, served, and refused where they are not what a pool file says."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, numpy_helper
from typer.testing import CliRunner

from build_engines.cli import app
from build_engines.errors import CheckError, PoolError, WeightsError
from build_engines.export.onnx_lint import leftovers, unlisted_operators
from build_engines.export.source import source_of
from build_engines.export.timm_model import create
from build_engines.pool.artifacts import PoolBuild
from build_engines.pool.schema import load_pool
from build_engines.repository.backbone_entry import write_backbone
from embedded_server import EmbeddedServer
from tests.support.helpers import (
    CLASSES,
    backbone_entry,
    onnx_probabilities,
    random_canvases,
    save_random_weights,
    write_pool,
)
from tests.support.onnx_files import classifier, exported, onnx_entry, pool_with
from tests.support.serving import ask

CAFFE = {"value_range": 255, "colours": "BGR", "mean": [103.9, 116.8, 123.7], "std": [57.4, 57.1, 58.4]}

pytestmark = pytest.mark.usefixtures("graphs_made_once")


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


@pytest.mark.usefixtures("audited_in_process")
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


def test_it_is_served_as_it_answers_offline(tmp_path):
    pool = pool_with(tmp_path, **CAFFE)
    _, path = exported(pool, tmp_path)
    write_backbone(PoolBuild.of(pool, tmp_path / "build")["theirs"], tmp_path / "served", "embedded")
    images = random_canvases(8)
    with EmbeddedServer(tmp_path / "served", models=["theirs"]) as server:
        answers = ask(server, "theirs", images, ["probabilities"])["probabilities"]
    np.testing.assert_allclose(answers, onnx_probabilities(path, images), atol=1e-6)


def test_an_opset_that_cannot_be_converted_is_refused(tmp_path, monkeypatch):
    pool = pool_with(tmp_path, {"opset": 11})
    monkeypatch.setattr("onnx.version_converter.convert_version", lambda *_: (_ for _ in ()).throw(RuntimeError("no")))
    with pytest.raises(WeightsError, match=r"opset 11, which cannot be converted to 20 \(no\); export it again"):
        exported(pool, tmp_path)


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


def test_it_is_no_architecture_of_timms(tmp_path):
    with pytest.raises(PoolError, match=r"'theirs' is the file theirs\.onnx"):
        create(pool_with(tmp_path).backbones[0])
    with pytest.raises(PoolError, match=r"the ONNX file theirs\.onnx, not a PyTorch module"):
        source_of(PoolBuild.of(pool_with(tmp_path))["theirs"]).torch_module()


@pytest.mark.parametrize("output", ["logits", "probabilities"])
@pytest.mark.parametrize(("drop", "precision", "tolerance"), [(0, "fp32", 1e-4), (5, "fp32", 1e-4), (0, "fp16", 1e-2)])
def test_a_class_without_a_label_is_cut_off(tmp_path, output, drop, precision, tolerance):
    said = {"classes": CLASSES + 1, "drop_class": drop, "output": output, "precision": precision}
    record, path = exported(pool_with(tmp_path, {"classes": CLASSES + 1}, **said), tmp_path)
    images = random_canvases(7, seed=3)
    every = by_hand(tmp_path / "theirs.onnx", images, output=output)
    kept = np.delete(every, drop, axis=1)
    answers = onnx_probabilities(path, images)
    np.testing.assert_allclose(answers, kept / kept.sum(axis=1, keepdims=True), atol=tolerance)
    assert record.graph.largest_probability_difference <= tolerance
    assert onnx.load(path).graph.output[0].type.tensor_type.shape.dim[1].dim_value == CLASSES


def test_an_image_that_is_all_background_has_probabilities_too(tmp_path):
    said = {"classes": CLASSES + 1, "drop_class": 0, "output": "probabilities"}
    pool = pool_with(tmp_path, {"classes": CLASSES + 1}, **said)
    model = onnx.load(tmp_path / "theirs.onnx")
    bias = next(tensor for tensor in model.graph.initializer if tensor.name == "bias")
    bias.CopyFrom(numpy_helper.from_array(np.array([1e4, 0, 0, 0, 0, 0], np.float32), "bias"))
    onnx.save(model, tmp_path / "theirs.onnx")
    _, path = exported(pool, tmp_path)
    np.testing.assert_allclose(onnx_probabilities(path, random_canvases(2)), 1 / CLASSES, atol=1e-6)
