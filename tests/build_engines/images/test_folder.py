"""Folders of labelled images: how class folders are matched with labels, and what is wrong with them."""

from __future__ import annotations

import pytest
from PIL import Image
from typer.testing import CliRunner

from build_engines.cli import app
from build_engines.errors import ImageFolderError
from build_engines.images.folder import open_image_folder, order_note
from tests.support.helpers import LABELS, backbone_entry, write_pool

RED = (200, 30, 30)


def image_folder(root, **classes):
    for name, count in classes.items():
        (root / name).mkdir()
        for place in range(count):
            Image.new("RGB", (8, 8), RED).save(root / name / f"{place}.png")
    return root


def test_class_folders_are_matched_by_name(tmp_path):
    folder = open_image_folder(image_folder(tmp_path, dog=2, cat=1), ["dog", "cat"])
    assert folder.image_ids == ["dog/0.png", "dog/1.png", "cat/0.png"]
    assert folder.class_ids.tolist() == [0, 0, 1]


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
    found = [path.parent.name for path in open_image_folder(root, labels).paths]
    assert [name.casefold() for name in found] == [label.casefold() for label in labels]
    assert all(label in folders or name not in labels for name, label in zip(found, labels, strict=True))
    assert order_note(root, labels) == ""


@pytest.mark.parametrize(
    ("folders", "labels", "says"),
    [
        (["cat", "-dog"], ["cat", "dog"], "no label matches '-dog'; the labels without a folder are 'dog'"),
        (
            ["Cat", "n01", "n02"],
            ["ant", "cat", "dog"],
            "no label matches 'n01', 'n02'; .* without a folder are 'ant', 'dog': rename",
        ),
        (["CAT", "cat"], ["Cat", "cAT"], "no label matches 'CAT', 'cat';"),
        (["a", *"123456"], list("ABCDEFG"), "no label matches '1', '2', '3', '4', '5' and 1 more;"),
    ],
)
def test_folders_of_which_only_some_are_named_like_labels_are_refused(tmp_path, folders, labels, says):
    with pytest.raises(ImageFolderError, match=says):
        open_image_folder(image_folder(tmp_path, **dict.fromkeys(folders, 1)), labels)


def test_folders_of_other_names_take_the_labels_order(tmp_path):
    folder = open_image_folder(image_folder(tmp_path, n01=1, n02=2), ["tench", "goldfish"])
    assert folder.class_ids.tolist() == [0, 1, 1]
    assert order_note(tmp_path, ["tench", "goldfish"]) == (
        f"{tmp_path}: no class folder has the name of a label, so the folders in sorted order are matched with the "
        "labels in theirs: n01 is tench, …, n02 is goldfish; if that is wrong, rename the folders"
    )


@pytest.mark.usefixtures("audited_in_process")
@pytest.mark.parametrize("command", ["export", "check", "plan"])
def test_every_command_on_labelled_images_says_so(tmp_path, command):
    (tmp_path / "images").mkdir()
    images = image_folder(tmp_path / "images", **{f"n0{place}": 1 for place in range(5)})
    pool, build = write_pool(tmp_path, backbone_entry("a")), tmp_path / "build"
    done = CliRunner().invoke(app, [command, str(pool), "--images", str(images), "--build", str(build)])
    assert done.output.splitlines()[0] == order_note(images, LABELS)


def test_an_empty_class_is_named(tmp_path):
    with pytest.raises(ImageFolderError, match="dog contains no image"):
        open_image_folder(image_folder(tmp_path, cat=1, dog=0), ["cat", "dog"])


def test_another_number_of_classes_is_refused(tmp_path):
    with pytest.raises(ImageFolderError, match="1 class folders but the pool has 2"):
        open_image_folder(image_folder(tmp_path, cat=1), ["cat", "dog"])


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(ImageFolderError, match="nowhere is not a folder"):
        open_image_folder(tmp_path / "nowhere", ["cat"])


def test_a_file_that_is_no_image_is_named(tmp_path):
    root = image_folder(tmp_path, cat=1)
    (root / "cat" / "1.png").write_bytes(b"no image")
    with pytest.raises(ImageFolderError, match=r"cat/1\.png.*repair or remove"):
        open_image_folder(root, ["cat"]).canvases(8)
