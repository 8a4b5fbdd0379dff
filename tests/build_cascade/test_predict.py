"""Predictions come through the served backbones, whole, and a run that was interrupted goes on."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format
from PIL import Image
from tritonclient.grpc.model_config_pb2 import ModelInstanceGroup
from typer.testing import CliRunner

from build_cascade.cli import app
from build_cascade.errors import PredictionError
from build_cascade.predict import collect_split
from build_cascade.predictions import Predictions
from build_engines.errors import ServedError
from build_engines.images.opening import NO_LABELS, open_images
from build_engines.images.source import ImageFile
from build_engines.pool.artifacts import PoolBuild
from build_engines.repository.served_model import matches_runtime, runtime_of, served_configs
from tests.support.collecting import changed, changed_config
from tests.support.helpers import CANVAS, LABELS, onnx_probabilities


def test_collected_predictions_are_the_served_ones(collection, run, tiny_build, images):
    assert not collection.is_done
    assert run(collection)[-1] == len(images)
    assert collection.is_done
    read = Predictions.read(collection.folder, ["small"])
    expected = onnx_probabilities(tiny_build["small"].onnx, images.usable(CANVAS)[1])
    np.testing.assert_allclose(read.probabilities["small"], expected, atol=1e-3)
    np.testing.assert_array_equal(read.class_ids, images.class_ids)


def test_folders_that_are_taken_for_labels_by_their_order_are_told(server, tiny_pool, tiny_build, images, tmp_path):
    folder = Path(images.origin)
    build, synsets = tmp_path / "build", tmp_path / "synsets"
    shutil.copytree(tiny_build.folder, build / "tiny")
    synsets.mkdir()
    for place, label in enumerate(LABELS):
        shutil.copytree(folder / label, synsets / f"n0{place}")
    places = ["--calibration", str(folder), "--test", str(synsets), "--build", str(build)]
    command = ["predict", str(tiny_pool.folder / "pool.yaml"), *places, "--url", server.addresses.grpc]
    done = CliRunner(env={"COLUMNS": "80"}).invoke(app, command)
    assert done.exit_code == 0, done.output
    assert [line for line in done.output.splitlines() if "sorted order" in line] == list(
        open_images(synsets, LABELS).notes
    )


def stopped(collection, rows):
    """As an interrupted run leaves it: the first rows are answered."""
    whole = changed(collection, folder=collection.folder / "whole")
    partial = collection.open()
    partial[:rows] = np.load(whole.folder / "small.npy")[:rows]
    partial.flush()


def test_an_interrupted_run_goes_on_where_it_stopped(collection, run, images):
    run(changed(collection, folder=collection.folder / "whole"))
    stopped(collection, 20)
    assert not collection.is_done
    assert run(changed(collection)) == [20, len(images)]
    assert np.array_equal(
        *(np.load(folder / "small.npy") for folder in (collection.folder, collection.folder / "whole"))
    )


def test_a_partial_file_that_was_cut_short_is_started_again(collection, run):
    run(changed(collection, folder=collection.folder / "whole"))
    stopped(collection, 20)
    partial = collection.folder / ".small.partial.npy"
    partial.write_bytes(partial.read_bytes()[:-8])
    assert run(collection)[0] == 0
    assert collection.is_done


def test_images_that_cannot_be_read_are_named_and_left_out(server, run, tiny_pool, tiny_build, images, tmp_path):
    folder, build = Path(images.origin), PoolBuild.of(tiny_pool, tmp_path / "build")
    shutil.copytree(tiny_build.folder, build.folder)
    (folder / LABELS[1] / "001.png").write_bytes(b"no image")
    (folder / LABELS[2] / "phone.heic").write_bytes(b"no image either")
    broken, configs = open_images(folder, LABELS), served_configs(build, server.addresses.grpc)
    for asked in (len(build), 0):
        done = collect_split(build, "test", broken, server.addresses.grpc, configs)
        assert (done.images, done.asked) == (len(broken) - 2, asked)
        assert done.note("test").startswith("test: 2 images could not be used and are left out: cannot read")
        assert all(name in why for name, why in zip(("bee/001.png", "cat/phone.heic"), done.unusable, strict=True))
    read = Predictions.read(build.predictions("test"), [built.name for built in build])
    kept = [row for row, name in enumerate(broken.image_ids) if name not in {"bee/001.png", "cat/phone.heic"}]
    assert read.class_ids.tolist() == broken.class_ids[kept].tolist()
    expected = onnx_probabilities(tiny_build["small"].onnx, broken.usable(CANVAS)[1])
    np.testing.assert_allclose(read.probabilities["small"], expected, atol=1e-3)


def test_images_none_of_which_can_be_read_are_refused(collection, run, images):
    for image in images.images:
        image.path.write_bytes(b"no image")
    with pytest.raises(PredictionError, match=r"none of 35 images can be used; cannot read .*ant/000\.png"):
        run(changed(collection))


def test_images_are_decoded_once_for_all_backbones(server, tiny_build, images, tmp_path):
    loads = Counter()

    class Counted(ImageFile):
        def load(self):
            loads[self.image_id] += 1
            return super().load()

    counted = replace(images, images=tuple(Counted(image.path, image.image_id) for image in images.images))
    build = PoolBuild.of(tiny_build.pool, tmp_path)
    shutil.copytree(tiny_build.folder, build.folder)
    collect_split(build, "test", counted, server.addresses.grpc, served_configs(build, server.addresses.grpc))
    assert loads == dict.fromkeys(images.image_ids, 1)


def test_a_half_written_file_is_refused(collection, run):
    run(collection)
    path = collection.folder / "small.npy"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(PredictionError, match="damaged"):
        Predictions.read(collection.folder, ["small"])


def test_changed_images_are_collected_again(collection, run, images):
    run(collection)
    Image.new("RGB", (9, 9)).save(images.images[0].path)
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
def test_what_another_runtime_answered_is_collected_again(collection, run, change):
    run(collection)
    assert changed(collection).is_done
    other = changed(collection, config=changed_config(collection, **change))
    assert not other.is_done
    run(other)
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


@pytest.mark.parametrize("damage", ["small.npy", "small.json"])
def test_damaged_predictions_are_collected_again(collection, run, damage):
    run(collection)
    path = collection.folder / damage
    path.write_bytes(path.read_bytes()[:4])
    again = changed(collection)
    assert not again.is_done
    run(again)
    assert again.is_done


def test_other_labels_for_the_same_images_ask_no_backbone_again(server, tiny_build, images, tmp_path):
    build, configs = PoolBuild.of(tiny_build.pool, tmp_path), served_configs(tiny_build, server.addresses.grpc)
    for truth, asked in ((None, len(build)), (NO_LABELS, 0)):
        source = open_images(images.origin, LABELS, truth)
        done = collect_split(build, "test", source, server.addresses.grpc, configs)
        assert done.asked == asked
        read = Predictions.read(build.predictions("test"), [built.name for built in build])
        assert read.class_ids.tolist() == source.class_ids.tolist()
