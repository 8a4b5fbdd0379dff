"""Predictions come through the served backbones, whole, and a run that was interrupted goes on."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from google.protobuf import text_format
from PIL import Image
from tritonclient.grpc.model_config_pb2 import ModelInstanceGroup
from typer.testing import CliRunner

from build_cascade.cli import app
from build_cascade.errors import PredictionError
from build_cascade.predictions import Predictions
from build_engines.errors import ServedError
from build_engines.images.folder import order_note
from build_engines.repository.served_model import matches_runtime, runtime_of, served_configs
from tests.support.collecting import changed, changed_config
from tests.support.helpers import CANVAS, LABELS, onnx_probabilities


def test_collected_predictions_are_the_served_ones(collection, small, tiny_build, images):
    assert not collection.is_done
    assert list(collection.run(small))[-1] == len(images)
    assert collection.is_done
    read = Predictions.read(collection.folder, ["small"])
    expected = onnx_probabilities(tiny_build["small"].onnx, images.canvases(CANVAS))
    np.testing.assert_allclose(read.probabilities["small"], expected, atol=1e-3)
    np.testing.assert_array_equal(read.class_ids, images.class_ids)


def test_folders_that_are_taken_for_labels_by_their_order_are_told(server, tiny_pool, tiny_build, images, tmp_path):
    build, synsets = tmp_path / "build", tmp_path / "synsets"
    shutil.copytree(tiny_build.folder, build / "tiny")
    synsets.mkdir()
    for place, label in enumerate(LABELS):
        shutil.copytree(images.root / label, synsets / f"n0{place}")
    places = ["--calibration", str(images.root), "--test", str(synsets), "--build", str(build)]
    command = ["predict", str(tiny_pool.folder / "pool.yaml"), *places, "--url", server.addresses.grpc]
    done = CliRunner(env={"COLUMNS": "80"}).invoke(app, command)
    assert done.exit_code == 0, done.output
    assert [line for line in done.output.splitlines() if "sorted order" in line] == [order_note(synsets, LABELS)]


def test_an_interrupted_run_goes_on_where_it_stopped(collection, small):
    steps = collection.run(small)
    first, second = next(steps), next(steps)
    steps.close()
    assert not collection.is_done
    assert next(collection.run(small)) == second + (second - first)


def test_a_partial_file_that_was_cut_short_is_started_again(collection, small, images):
    steps = collection.run(small)
    next(steps)
    steps.close()
    partial = collection.folder / ".small.partial.npy"
    partial.write_bytes(partial.read_bytes()[:-8])
    assert list(collection.run(small))[-1] == len(images)
    assert collection.is_done


def test_a_half_written_file_is_refused(collection, small):
    list(collection.run(small))
    path = collection.folder / "small.npy"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(PredictionError, match="damaged"):
        Predictions.read(collection.folder, ["small"])


def test_changed_images_are_collected_again(collection, small, images):
    list(collection.run(small))
    Image.new("RGB", (9, 9)).save(images.paths[0])
    again = changed(collection)
    assert not again.is_done


def test_a_server_with_another_export_is_refused(small):
    with pytest.raises(ServedError, match="run build-engines repository"):
        small.config_made_from("x")


def test_a_server_that_is_not_there_is_named(tiny_build):
    with pytest.raises(ServedError, match=r"127\.0\.0\.1:1.*make serve"):
        served_configs(tiny_build, "127.0.0.1:1")


@pytest.mark.parametrize(
    "change", [{"backend": "tensorrt"}, {"model.onnx_sha256": "of other bytes"}, {"model.plan_sha256": "of a plan"}]
)
def test_what_another_runtime_answered_is_collected_again(collection, small, change):
    list(collection.run(small))
    assert changed(collection).is_done
    other = changed(collection, config=changed_config(collection, **change))
    assert not other.is_done
    list(other.run(small))
    assert other.is_done
    assert not changed(collection).is_done


def test_the_precision_of_a_gpu_counts_and_of_a_cpu_does_not(collection):
    config = changed_config(collection, precision="bf16")
    assert runtime_of(config) == "python (model.onnx, CPU)"
    config.instance_group[0].kind = ModelInstanceGroup.KIND_GPU
    assert runtime_of(config) == "python (model.onnx, bf16, GPU)"


def test_an_entry_is_known_by_what_answered_before_it_is_served(collection, tiny_repository):
    entry = type(collection.config)()
    text_format.Parse((tiny_repository / "small/config.pbtxt").read_text(), entry)
    assert matches_runtime(entry, runtime_of(collection.config))
    assert not matches_runtime(changed_config(collection, backend="onnxruntime"), runtime_of(collection.config))


@pytest.mark.parametrize("damage", ["small.npy", "class_ids.npy", "small.json"])
def test_damaged_predictions_are_collected_again(collection, small, damage):
    list(collection.run(small))
    path = collection.folder / damage
    path.write_bytes(path.read_bytes()[:4])
    again = changed(collection)
    assert not again.is_done
    list(again.run(small))
    assert again.is_done
