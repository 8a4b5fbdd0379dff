"""Folders of images: how class folders are matched with labels, and what is wrong with them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from build_engines.cli import app
from build_engines.errors import ImageSourceError
from build_engines.images.opening import NO_LABELS, open_images, open_splits, open_with_optional_labels
from build_engines.images.source import UNLABELLED
from build_engines.pool.class_names import imagenet_1k_wnids
from build_engines.pool.labels import imagenet_1k
from tests.support.helpers import LABELS, backbone_entry, write_pool

RED = (200, 30, 30)


def image_folder(root, **classes):
    for name, count in classes.items():
        (root / name).mkdir()
        for place in range(count):
            Image.new("RGB", (8, 8), RED).save(root / name / f"{place}.png")
    return root


def test_class_folders_are_matched_by_name(tmp_path):
    folder = open_images(image_folder(tmp_path, dog=2, cat=1), ["dog", "cat"])
    assert folder.image_ids == ["cat/0.png", "dog/0.png", "dog/1.png"]
    assert folder.class_ids.tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    ("folders", "labels"),
    [
        (["bird", "cat", "dog"], ["Cat", "Dog", "Bird"]),
        (["bird", "cat", "dog"], ["cat", "DOG", "Bird"]),
        (["CAT", "cat"], ["cat", "Cat"]),
    ],
)
def test_class_folders_may_differ_from_the_labels_by_case(tmp_path, folders, labels):
    root = image_folder(tmp_path, **dict.fromkeys(folders, 1))
    source = open_images(root, labels)
    found = [source.images[row].path.parent.name for row in np.argsort(source.class_ids)]
    assert [name.casefold() for name in found] == [label.casefold() for label in labels]
    assert all(label in folders or name not in labels for name, label in zip(found, labels, strict=True))
    assert source.notes == ()


@pytest.mark.parametrize(
    ("folders", "labels", "says"),
    [
        (["cat", "-dog"], ["cat", "dog"], "no label matches '-dog'; the labels without a folder are 'dog'"),
        (
            ["Cat", "n01", "n02"],
            ["ant", "cat", "dog"],
            "no label matches 'n01', 'n02'; .* without a folder are 'ant', 'dog'; rename",
        ),
        (["CAT", "cat"], ["Cat", "cAT"], "no label matches 'CAT', 'cat';"),
        (["a", *"123456"], list("ABCDEFG"), "no label matches '1', '2', '3', '4', '5' and 1 more;"),
    ],
)
def test_folders_of_which_only_some_are_named_like_labels_are_refused(tmp_path, folders, labels, says):
    with pytest.raises(ImageSourceError, match=says):
        open_images(image_folder(tmp_path, **dict.fromkeys(folders, 1)), labels)


def test_folders_of_other_names_take_the_labels_order(tmp_path):
    folder = open_images(image_folder(tmp_path, n01=1, n02=2), ["tench", "goldfish"])
    assert folder.class_ids.tolist() == [0, 1, 1]
    assert folder.notes == (
        f"{tmp_path}: no class folder has the name of a label, so the folders in sorted order are matched with the "
        "labels in theirs: n01 is tench, …, n02 is goldfish; if that is wrong, rename the folders",
    )


@pytest.mark.usefixtures("audited_in_process")
@pytest.mark.parametrize("command", ["export", "check", "plan"])
def test_every_command_on_images_says_what_it_made_of_their_folders(tmp_path, command):
    (tmp_path / "images").mkdir()
    images = image_folder(tmp_path / "images", **{f"n0{place}": 1 for place in range(5)})
    pool, build = write_pool(tmp_path, backbone_entry("a")), tmp_path / "build"
    done = CliRunner().invoke(app, [command, str(pool), "--images", str(images), "--build", str(build)])
    assert (done.output.splitlines()[0],) == open_images(images, LABELS).notes


@pytest.mark.usefixtures("audited_in_process")
@pytest.mark.parametrize("command", ["export", "check", "plan"])
def test_a_command_that_needs_no_labels_leaves_those_out_that_do_not_fit(tmp_path, command):
    (tmp_path / "images").mkdir()
    images = image_folder(tmp_path / "images", **{LABELS[0]: 1, "holiday": 1})
    pool, build = write_pool(tmp_path, backbone_entry("a")), tmp_path / "build"
    done = CliRunner().invoke(app, [command, str(pool), "--images", str(images), "--build", str(build)])
    note = done.output.splitlines()[0]
    assert "no label matches 'holiday'" in note
    assert note.endswith("; no labels are needed here, so none is used")
    assert "--labels" not in note
    assert open_with_optional_labels(images, LABELS).labelled == 0


def test_classes_without_images_are_a_note(tmp_path):
    source = open_images(image_folder(tmp_path, cat=1, dog=0), ["ant", "cat", "dog"])
    assert source.class_ids.tolist() == [1]
    assert source.notes == (f"{tmp_path}: 2 of 3 classes have no image: 'ant', 'dog'",)


def test_folders_of_imagenet_are_known_by_their_wordnet_ids(tmp_path):
    labels, wnids = imagenet_1k(), imagenet_1k_wnids()
    assert (labels[0], wnids[0], labels[999], wnids[999]) == (
        "tench, Tinca tinca",
        "n01440764",
        labels[999],
        "n15075141",
    )
    (tmp_path / "val").mkdir()
    image_folder(tmp_path / "val", **{wnids[999]: 1, wnids[0]: 2})
    source = open_images(tmp_path, labels)
    assert source.image_ids == ["val/n01440764/0.png", "val/n01440764/1.png", "val/n15075141/0.png"]
    assert source.class_ids.tolist() == [0, 0, 999]
    assert "998 of 1000 classes have no image" in source.notes[0]


def test_the_list_of_wordnet_ids_is_sorted_and_that_of_timm():
    from timm.data import ImageNetInfo

    assert list(imagenet_1k_wnids()) == sorted(set(imagenet_1k_wnids())) == ImageNetInfo().label_names()


def test_images_at_any_depth_need_no_labels(tmp_path):
    nested = tmp_path / "2023" / "summer"
    nested.mkdir(parents=True)
    image_folder(tmp_path, holiday=1)
    image_folder(nested, beach=1)
    source = open_images(tmp_path, ["cat", "dog", "eel"])
    assert source.image_ids == ["2023/summer/beach/0.png", "holiday/0.png"]
    assert source.class_ids.tolist() == [UNLABELLED, UNLABELLED]
    assert source.notes == (f"{tmp_path}: none of its 2 images has a label",)


def test_images_beside_class_folders_have_no_label(tmp_path):
    image_folder(tmp_path, cat=1)
    Image.new("RGB", (8, 8), RED).save(tmp_path / "loose.png")
    source = open_images(tmp_path, ["cat"])
    assert (source.image_ids, source.class_ids.tolist()) == (["cat/0.png", "loose.png"], [0, UNLABELLED])
    assert source.notes == (f"{tmp_path}: 1 of 2 images have no label",)


def test_what_folders_say_may_be_ignored(tmp_path):
    source = open_images(image_folder(tmp_path, cat=1, mine=1), ["cat", "dog"], NO_LABELS)
    assert source.labelled == 0
    assert source.notes == ()


def test_what_is_no_image_is_left_out_and_counted(tmp_path):
    image_folder(tmp_path, cat=1)
    for name in ("a.mp4", "b.MP4", "read me", ".hidden", "__MACOSX/x.png", ".cache/y.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    source = open_images(tmp_path, ["cat"])
    assert source.image_ids == ["cat/0.png"]
    assert source.notes == (f"{tmp_path}: left out what is no image: 2 .mp4, 1 no suffix",)


def test_a_folder_without_images_says_what_is_there(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"")
    with pytest.raises(ImageSourceError, match=r"has no image \(.*\.webp\) at any depth: 1 \.mp4"):
        open_images(tmp_path, ["cat"])


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(ImageSourceError, match="nowhere is not a folder"):
        open_images(tmp_path / "nowhere", ["cat"])


def test_a_file_that_is_no_image_is_named_and_left_out(tmp_path):
    root = image_folder(tmp_path, cat=1, dog=1)
    (root / "cat" / "1.png").write_bytes(b"no image")
    source = open_images(root, ["cat", "dog"])
    assert "cat/1.png" in source.reasons([1])[0]
    usable, canvases = source.usable(8)
    assert usable.image_ids == ["cat/0.png", "dog/0.png"]
    assert canvases.shape == (2, 8, 8, 3)
    with pytest.raises(ImageSourceError, match=r"none of 1 images can be used; cannot read .*cat/1\.png"):
        source.rows(np.array([1])).usable(8)


def test_one_source_is_split_into_halves(tmp_path):
    root = image_folder(tmp_path, cat=5, dog=4)
    halves = open_splits(str(root), None, None, ["cat", "dog"])
    assert [len(half) for half in halves] == [4, 5]
    ids = [name for half in halves for name in half.image_ids]
    assert sorted(ids) == open_images(root, ["cat", "dog"]).image_ids
    assert all(half.labelled == len(half) for half in halves)
    with pytest.raises(ImageSourceError, match="--images alone"):
        open_splits(str(root), str(root), None, ["cat", "dog"])
    with pytest.raises(ImageSourceError, match="single image"):
        open_images(root, ["cat", "dog"]).rows(np.array([0])).halves()
