from __future__ import annotations

import pytest
from PIL import Image

from build_cascade.predict import Collection, collect
from build_cascade.predictions import write_images
from build_engines.images.opening import open_images
from build_engines.repository.served_model import ServedModel
from tests.support.helpers import CANVAS, CLASSES, LABELS, random_canvases

PER_CLASS = 7


@pytest.fixture
def images(tmp_path):
    root = tmp_path / "images"
    for place, canvas in enumerate(random_canvases(PER_CLASS * CLASSES, seed=4)):
        path = root / LABELS[place % CLASSES] / f"{place:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(canvas).save(path)
    return open_images(root, LABELS)


@pytest.fixture
def small(server):
    with ServedModel(server.addresses.grpc, "small") as served:
        yield served


@pytest.fixture
def collection(small, images, tmp_path):
    return Collection("small", small.config, images, LABELS, tmp_path / "predictions")


@pytest.fixture
def run(server):
    """Complete a collection; return the numbers of images done after each step."""

    def run(collection):
        seen = []
        collect([collection], CANVAS, server.addresses.grpc, lambda done, _: seen.append(done))
        write_images(collection.folder, collection.images)
        return seen

    return run
