"""Shards of images in tar files: samples, their labels, and what is wrong with them."""

from __future__ import annotations

import re

import pytest

from build_engines.errors import ImageSourceError
from build_engines.images.opening import open_images
from build_engines.images.source import UNLABELLED
from tests.support.image_sources import LABELS, pixels, png, write_tar


@pytest.mark.parametrize("given", ["", "x-{000..001}.tar", "x-*.tar"])
def test_shards_of_images(shards, given):
    source = open_images(shards / given if given else shards, LABELS)
    assert (pixels(source), source.class_ids.tolist()) == ([0, 1, 2, None], [2, UNLABELLED, 1, UNLABELLED])
    assert source.image_ids[1] == "x-000.tar/s/1.input.png"
    assert source.reasons([3])[0].startswith("x-001.tar/s/3.png: cannot read these bytes")


def test_one_shard_and_what_is_wrong_with_shards(shards):
    assert pixels(open_images(shards / "x-000.tar", LABELS)) == [0, 1]
    with pytest.raises(ImageSourceError, match="has no image"):
        open_images(write_tar(shards / "y.tar", {"a.txt": b""}), LABELS)
    with pytest.raises(ImageSourceError, match=r"cannot read .*x-002\.tar"):
        open_images(shards / "x-{000..002}.tar", LABELS)


@pytest.mark.parametrize("order", [("s.cls", "s.json", "s.png"), ("s.png", "s.json", "s.cls")])
def test_a_samples_cls_file_comes_before_its_json(tmp_path, order):
    files = {"s.cls": b"2", "s.json": b'{"label": 0}', "s.png": png(0)}
    shard = write_tar(tmp_path / "x.tar", {name: files[name] for name in order})
    assert open_images(shard, LABELS).class_ids.tolist() == [2]


def test_a_null_in_a_samples_json_is_no_label(tmp_path):
    files = {
        "a.png": png(0),
        "a.json": b'{"label": null}',
        "b.png": png(1),
        "b.json": b'{"label": null, "class": "cat"}',
    }
    assert open_images(write_tar(tmp_path / "x.tar", files), LABELS).class_ids.tolist() == [UNLABELLED, 2]


def test_images_that_share_a_sample_with_another_are_named(tmp_path):
    shard = write_tar(tmp_path / "x.tar", {f"IMG.{number}.png": png(number) for number in (1, 2, 3)})
    source = open_images(shard, LABELS)
    assert source.image_ids == ["x.tar/IMG.1.png"]
    assert re.search(r"left out 2 images, .*: 'x\.tar/IMG\.2\.png', 'x\.tar/IMG\.3\.png'; .* rename", source.notes[0])
