"""What is opened: a folder is what most of it is, and what does not exist is named."""

from __future__ import annotations

import re

import pytest
from PIL import Image

from build_engines.errors import ImageSourceError
from build_engines.images.opening import open_images
from tests.support.image_sources import LABELS, pixels, png, write_tar


def test_what_does_not_exist_is_named(tmp_path):
    with pytest.raises(ImageSourceError, match=r"nowhere\.csv is not a folder nor a file"):
        open_images(tmp_path / "nowhere.csv", LABELS)


@pytest.mark.parametrize("stray", ["photos.tar", "part.parquet", "metadata.csv", "no.tar"])
def test_a_stray_file_does_not_hide_a_folder_of_photographs(flat, stray):
    if stray == "photos.tar":
        write_tar(flat / stray, {"x.png": png(0)})
    else:
        (flat / stray).write_text("no,such\nthing,at all\n")
    source = open_images(flat, LABELS)
    assert pixels(source) == [0, 1, 2, 3]
    assert re.search(rf"most of it is image files \(4 images\); left out: '?{stray}'? \(.*\); name", source.notes[0])


def test_stray_photographs_do_not_hide_shards(shards):
    Image.new("RGB", (6, 6)).save(shards / "preview.png")
    source = open_images(shards, LABELS)
    assert len(source) == 4
    assert re.search(
        r"most of it is 'x-000\.tar', .* \(4 images\); left out: image files \(1 images\)", source.notes[0]
    )
