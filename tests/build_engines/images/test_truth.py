"""Ground-truth files: the labels of images without class folders."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from build_engines.errors import ImageSourceError
from build_engines.images.opening import open_images, open_splits
from build_engines.images.source import UNLABELLED
from build_engines.pool.class_names import imagenet_1k_wnids
from build_engines.pool.labels import imagenet_1k
from tests.support.image_sources import LABELS, pixels


def truth_of(flat, name, text):
    (flat.parent / name).write_text(text)
    return open_images(flat, LABELS, str(flat.parent / name))


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("truth.txt", "cat\nbee\nant\nant\n", [2, 1, 0, 0]),  # one per line, by name
        ("truth.txt", "flat/b.png 2\na.png 0\n", [0, 2, UNLABELLED, UNLABELLED]),
        ("truth.csv", 'path,label\n"c d, e.png",bee\nb,ant\n', [UNLABELLED, 0, 1, UNLABELLED]),
        (
            "truth.csv",
            "ImageId,PredictionString\na,cat 85 1 499 272 \nb,bee 1 2 3 4 5 6 7 8\n",
            [2, 1, *[UNLABELLED] * 2],
        ),
    ],
)
def test_a_ground_truth_file_labels_a_flat_folder(flat, name, text, expected):
    source = truth_of(flat, name, text)
    assert (pixels(source), source.class_ids.tolist()) == ([0, 1, 2, 3], expected)


def test_a_ground_truth_file_that_does_not_fit_is_refused(flat):
    with pytest.raises(ImageSourceError, match=r"has 3 labels without names, and .*flat 4 images"):
        truth_of(flat, "truth.txt", "cat\nbee\nant\n")
    with pytest.raises(ImageSourceError, match=r"none of the images of .*flat: it starts with 'x.png', .* 'a.png'"):
        truth_of(flat, "truth.csv", "path,label\nx.png,cat\n")


def test_a_ground_truth_file_may_be_of_one_split_only(flat):
    other, truth = flat.parent / "other", flat.parent / "truth.csv"
    other.mkdir()
    Image.new("RGB", (6, 6)).save(other / "g.png")
    truth.write_text("path,label\na.png,cat\n")
    splits = open_splits(None, str(flat), str(other), LABELS, str(truth))
    assert [split.labelled for split in splits] == [1, 0]
    truth.write_text("path,label\nx.png,cat\n")
    with pytest.raises(ImageSourceError, match=r"for none of the images of .*flat and .*other"):
        open_splits(None, str(flat), str(other), LABELS, str(truth))


@pytest.fixture
def alike(tmp_path):
    """Two class folders whose images have the same names."""
    for name in ("cat", "bee"):
        (tmp_path / "train" / name).mkdir(parents=True)
        Image.new("RGB", (6, 6)).save(tmp_path / "train" / name / "001.jpg")
    return tmp_path / "train"


@pytest.mark.parametrize(
    "text",
    [
        "train/bee/001.jpg,bee\ntrain/cat/001.jpg,cat\n",
        "bee/001,bee\nelsewhere/cat/001.jpg,cat\n",
        "train/bee/001.jpg,bee\nval/bee/001.jpg,ant\ntrain/cat/001.jpg,cat\n",  # the other split has the same names
        "bee/001.jpg,bee\nbee/001.png,ant\ncat/001.JPG,cat\ncat/001.JPG,cat\n",
    ],
)
def test_images_of_the_same_name_have_the_label_of_the_longest_path(alike, text):
    (alike.parent / "truth.csv").write_text(f"path,label\n{text}")
    source = open_images(alike, LABELS, str(alike.parent / "truth.csv"))
    assert (source.image_ids, source.class_ids.tolist()) == (["bee/001.jpg", "cat/001.jpg"], [1, 2])


def test_a_row_that_belongs_to_one_image_is_not_given_to_another_of_its_name(alike):
    (alike.parent / "truth.csv").write_text("path,label\ntrain/cat/001.jpg,cat\n")
    source = open_images(alike, LABELS, str(alike.parent / "truth.csv"))
    assert source.class_ids.tolist() == [UNLABELLED, 2]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "001.jpg,cat\n",
            r"the row '001\.jpg' fits several images, 'bee/001\.jpg' and 'cat/001\.jpg'; write the paths",
        ),
        (
            "bee/001.jpg,cat\nbee/001.jpg,bee\n",
            r"fit image 'bee/001\.jpg' equally .* 'bee/001\.jpg,cat', 'bee/001\.jpg,b",
        ),
        (
            "a/001.jpg,cat\nb/001.jpg,bee\n",
            r"2 rows with different labels fit image .*: 'a/001\.jpg,cat', 'b/001\.jpg,b",
        ),
    ],
)
def test_rows_that_fit_images_ambiguously_are_refused_by_name(alike, text, says):
    (alike.parent / "truth.csv").write_text(f"path,label\n{text}")
    with pytest.raises(ImageSourceError, match=says):
        open_images(alike, LABELS, str(alike.parent / "truth.csv"))


def test_imagenets_own_numbers_are_looked_up_in_its_development_kit(flat):
    from scipy.io import savemat

    wnids, truth = imagenet_1k_wnids(), flat.parent / "ILSVRC2012_validation_ground_truth.txt"
    truth.write_text("2\n1\n2\n1\n")
    with pytest.raises(ImageSourceError, match=r"in an order of its own; put its meta\.mat beside it"):
        open_images(flat, imagenet_1k(), str(truth))
    kind = [("ILSVRC2012_ID", float), ("WNID", object), ("num_children", float)]
    synsets = np.array([(1, wnids[7], 0), (2, wnids[5], 0), (1001, "n00000001", 2)], kind)
    savemat(flat.parent / "meta.mat", {"synsets": synsets})
    assert open_images(flat, imagenet_1k(), str(truth)).class_ids.tolist() == [5, 7, 5, 7]
