"""Images without class folders, as files and in tar files."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from tests.support.image_sources import colour, png, write_tar


@pytest.fixture
def flat(tmp_path):
    """Four images, each of its own colour, without class folders; one name has a space and a comma."""
    folder = tmp_path / "flat"
    folder.mkdir()
    for number, name in enumerate(("a.png", "b.png", "c d, e.png", "f.png")):
        Image.new("RGB", (6, 6), colour(number)).save(folder / name)
    return folder


@pytest.fixture
def shards(tmp_path):
    folder = tmp_path / "shards"
    folder.mkdir()
    write_tar(folder / "x-000.tar", {"s/0.png": png(0), "s/0.cls": b"cat\n", "s/1.input.png": png(1), "s/1.txt": b"hi"})
    write_tar(
        folder / "x-001.tar", {"s/2.json": json.dumps({"label": "bee"}).encode(), "s/2.png": png(2), "s/3.png": b"?"}
    )
    return folder
