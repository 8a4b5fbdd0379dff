"""Predictions come through the served backbones, whole, and a run that was interrupted goes on."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import CANVAS, CLASSES, LABELS, onnx_probabilities, random_canvases
from PIL import Image

from build_cascade.errors import PredictionError
from build_cascade.note import check_notes
from build_cascade.pipeline import collect, uncollected
from build_cascade.predict import Collection
from build_cascade.predictions import Predictions
from build_engines.errors import ServedError
from build_engines.image_folder import open_image_folder
from build_engines.record import ExportRecord
from build_engines.served import ServedModel

PER_CLASS = 7


@pytest.fixture
def images(tmp_path):
    root = tmp_path / "images"
    for place, canvas in enumerate(random_canvases(PER_CLASS * CLASSES, seed=4)):
        path = root / LABELS[place % CLASSES] / f"{place:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(canvas).save(path)
    return open_image_folder(root, LABELS)


@pytest.fixture
def collection(tiny_pool, tiny_workspace, images, tmp_path):
    sha = ExportRecord.required(tiny_pool, tiny_pool.backbone("small"), tiny_workspace).onnx_sha256
    return Collection("small", sha, images, CANVAS, LABELS, tmp_path / "predictions")


@pytest.fixture
def small(server):
    with ServedModel(server.addresses.grpc, "small") as served:
        yield served


def test_collected_predictions_are_the_served_ones(collection, small, tiny_workspace, images):
    assert not collection.is_done
    assert list(collection.run(small))[-1] == len(images)
    assert collection.is_done
    read = Predictions.read(collection.folder, ["small"])
    expected = onnx_probabilities(tiny_workspace.onnx("small"), images.canvases(CANVAS))
    np.testing.assert_allclose(read.probabilities["small"], expected, atol=1e-3)
    np.testing.assert_array_equal(read.class_ids, images.class_ids)


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
    with pytest.raises(PredictionError, match="half-written"):
        Predictions.read(collection.folder, ["small"])


def test_changed_images_are_collected_again(collection, small, images):
    list(collection.run(small))
    Image.new("RGB", (9, 9)).save(images.paths[0])
    again = Collection(**{name: getattr(collection, name) for name in collection.__dataclass_fields__})
    assert not again.is_done


def test_a_server_with_another_export_is_refused(collection, small):
    other = Collection(
        **{name: getattr(collection, name) for name in collection.__dataclass_fields__} | {"onnx_sha256": "x"}
    )
    with pytest.raises(PredictionError, match="run build-engines repository"):
        list(other.run(small))


def test_a_server_that_is_not_there_is_named(tiny_pool, tiny_workspace, images, tmp_path):
    missing = uncollected(tiny_pool, tiny_workspace, "test", images)
    with pytest.raises(ServedError, match=r"127\.0\.0\.1:1.*make serve"):
        collect(missing, "test", "127.0.0.1:1", lambda *_: None)


@pytest.mark.parametrize("damage", ["small.npy", "class_ids.npy", "small.json"])
def test_damaged_predictions_are_collected_again(collection, small, damage):
    list(collection.run(small))
    path = collection.folder / damage
    path.write_bytes(path.read_bytes()[:4])
    again = Collection(**{name: getattr(collection, name) for name in collection.__dataclass_fields__})
    assert not again.is_done
    list(again.run(small))
    assert again.is_done


def test_predictions_of_another_export_or_label_set_are_not_searched(collection, small):
    list(collection.run(small))
    check_notes(collection.folder, {"small": collection.onnx_sha256}, LABELS)
    with pytest.raises(PredictionError, match="another export, label set"):
        check_notes(collection.folder, {"small": "other"}, LABELS)
    with pytest.raises(PredictionError, match="another export, label set"):
        check_notes(collection.folder, {"small": collection.onnx_sha256}, LABELS[::-1])
