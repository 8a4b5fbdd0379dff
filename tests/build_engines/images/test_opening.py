"""Whatever people bring: lists, ground-truth files, tar files, data sets; and what is wrong with them."""

from __future__ import annotations

import csv
import io
import json
import re
import tarfile

import numpy as np
import pytest
from PIL import Image

from build_engines.errors import ImageSourceError
from build_engines.images.canvas import UnusableImage
from build_engines.images.named_classes import class_ids_of
from build_engines.images.opening import open_images, open_splits
from build_engines.images.source import UNLABELLED
from build_engines.pool.class_names import imagenet_1k_wnids
from build_engines.pool.labels import imagenet_1k

LABELS = ["ant", "bee", "cat"]


def colour(number):
    return (40 * number, 10, 200 - 40 * number)


@pytest.fixture
def flat(tmp_path):
    """Four images, each of its own colour, without class folders; one name has a space and a comma."""
    folder = tmp_path / "flat"
    folder.mkdir()
    for number, name in enumerate(("a.png", "b.png", "c d, e.png", "f.png")):
        Image.new("RGB", (6, 6), colour(number)).save(folder / name)
    return folder


def pixels(source):
    """Which of the colours each image has."""
    decoded = [source.decode(row, 4) for row in range(len(source))]
    return [None if isinstance(one, UnusableImage) else int(one[0, 0, 0]) // 40 for one in decoded]


def write_csv(path, rows, delimiter=","):
    with path.open("w", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    return path


NAMED = [("f.png", "cat"), ("a.png", "Bee"), ("c d, e.png", "ant"), ("b.png", "")]
CLASSES = [2, 1, 0, UNLABELLED]


@pytest.mark.parametrize(
    "header",
    [
        ("path", "label"),
        ("File_Name", "class_id"),
        ("img", "label"),
        ("Image Path", "Class-Name"),
        ("images", "Category"),
        None,
    ],
)
@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_tables_of_paths_and_labels(flat, header, suffix):
    rows = NAMED if header is None else [header, *NAMED]
    source = open_images(write_csv(flat / f"list.{suffix}", rows, "\t" if suffix == "tsv" else ","), LABELS)
    assert (pixels(source), source.class_ids.tolist()) == ([3, 0, 2, 1], CLASSES)
    assert source.image_ids == [name for name, _ in NAMED]
    assert source.notes == (f"{flat / f'list.{suffix}'}: 1 of 4 images have no label",)


def test_a_table_as_kaggles_data_sets_have_it(flat):
    rows = [("class id", "filepaths", "labels"), ("2", "f.png", "cat"), ("1", "a.png", "bee")]
    source = open_images(write_csv(flat / "list.csv", rows), LABELS)
    assert (pixels(source), source.class_ids.tolist()) == ([3, 0], [2, 1])


@pytest.mark.parametrize(
    ("labels", "written", "expected", "note"),
    [
        (
            "12345",
            "12345",
            [0, 1, 2, 3, 4],
            "'1' could be a name or a number; all labels are taken for the labels' names",
        ),
        ("12345", "01234", [0, 1, 2, 3, 4], "'1' could be a name or a number; all .* for the numbers of the classes"),
        ("12345", "333", [2, 2, 2], "for the labels' names"),
        ("01234", "20", [2, 0], ""),
        ("abcde", "40", [4, 0], ""),
        ("12345", "50", None, "'5' are labels of the pool, but '0' only numbers of classes; write all as the pool has"),
    ],
)
def test_labels_that_are_numbers_are_all_names_or_all_numbers(labels, written, expected, note):
    if expected is None:
        with pytest.raises(ImageSourceError, match=note):
            class_ids_of(list(written), list(labels), "list.csv")
    else:
        class_ids, said = class_ids_of([*written, ""], list(labels), "list.csv")
        assert class_ids.tolist() == [*expected, UNLABELLED]
        assert re.search(note, said)
        assert ("could be" in said) == bool(note)


def test_a_text_file_of_paths_relative_to_itself_or_absolute(flat):
    (flat.parent / "list.txt").write_text(f"flat/b.png\n\n  flat/c d, e.png\n{flat / 'a.png'}\n")
    source = open_images(flat.parent / "list.txt", LABELS)
    assert (pixels(source), source.labelled) == ([1, 2, 0], 0)


def test_a_text_file_with_labels_after_the_paths(flat):
    (flat / "val.txt").write_text("b.png cat\nc d, e.png\tant\na.png cat\n")
    source = open_images(flat / "val.txt", LABELS)
    assert (pixels(source), source.class_ids.tolist()) == ([1, 2, 0], [2, 0, 2])


def test_paths_on_the_standard_input(flat, monkeypatch):
    monkeypatch.chdir(flat)
    monkeypatch.setattr("sys.stdin", io.StringIO("b.png\na.png\n"))
    source = open_images("-", LABELS)
    assert (source.origin, pixels(source)) == ("standard input", [1, 0])


def test_parquet_of_paths_and_labels(flat):
    pandas = pytest.importorskip("pandas")
    rows = [(name, label or None) for name, label in NAMED]
    pandas.DataFrame(rows, columns=["path", "label"]).to_parquet(flat / "list.parquet")
    source = open_images(flat / "list.parquet", LABELS)
    assert (pixels(source), source.class_ids.tolist()) == ([3, 0, 2, 1], CLASSES)


def test_files_that_a_list_names_and_that_do_not_exist_are_named_and_the_others_used(flat):
    source = open_images(
        write_csv(flat / "list.csv", [("path", "label"), ("gone.png", "ant"), ("b.png", "bee")]), LABELS
    )
    assert "1 of 2 listed files do not exist: 'gone.png'" in source.notes[0]
    assert pixels(source) == [None, 1]
    assert "gone.png" in source.reasons([0])[0]
    with pytest.raises(ImageSourceError, match=r"none of the 1 files .* such as 'x\.png'; paths are relative to"):
        open_images(write_csv(flat / "list.csv", [("x.png",)]), LABELS)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("list.csv", "path,label\na.png,ant\nb.png,wolf\n", r"1 labels are not in the label set, the first of image 2"),
        ("list.csv", "path,label\na.png,3\n", r"'3'; write labels as .* or numbers from 0 to 2"),
        ("list.csv", "path,label\na.png,ant\nb.png,1\n", "some labels are names and others numbers: 'ant' are"),
        (
            "list.csv",
            "picture,kind\na.png,ant\n",
            r"its columns are 'picture', 'kind'; name the column of paths one of p",
        ),
        (
            "list.csv",
            "picture,label\na,ant\n",
            r"has no column of paths; .* and that of labels, if there is one, one of l",
        ),
        ("list.csv", "path,label\na.png\n", "row 2: fewer columns than the header"),
        ("list.csv", "", "lists no image"),
        ("list.txt", "\n", "lists no image"),
        ("list.parquet", "no parquet", "as Parquet"),
        ("a.mp4", "", "is no list of images"),
        ("a.tar", "no tar", "as a tar file"),
        ("a.tar.gz", "no tar", "if it is compressed, unpack it"),
    ],
)
def test_lists_that_cannot_be_used_are_refused(flat, name, text, says):
    (flat / name).write_text(text)
    with pytest.raises(ImageSourceError, match=says):
        open_images(flat / name, LABELS)


def test_what_does_not_exist_is_named(tmp_path):
    with pytest.raises(ImageSourceError, match=r"nowhere\.csv is not a folder nor a file"):
        open_images(tmp_path / "nowhere.csv", LABELS)


# Ground-truth files


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


# Tar files


def write_tar(path, samples, mode="w"):
    with tarfile.open(path, mode) as tar:
        for name, content in samples.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def png(number):
    written = io.BytesIO()
    Image.new("RGB", (6, 6), colour(number)).save(written, "png")
    return written.getvalue()


@pytest.fixture
def shards(tmp_path):
    folder = tmp_path / "shards"
    folder.mkdir()
    write_tar(folder / "x-000.tar", {"s/0.png": png(0), "s/0.cls": b"cat\n", "s/1.input.png": png(1), "s/1.txt": b"hi"})
    write_tar(
        folder / "x-001.tar", {"s/2.json": json.dumps({"label": "bee"}).encode(), "s/2.png": png(2), "s/3.png": b"?"}
    )
    return folder


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


# Folders of several kinds of things


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


# Data sets of Hugging Face


@pytest.fixture
def datasets(tmp_path, monkeypatch):
    library = pytest.importorskip("datasets")
    monkeypatch.setattr(library.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return library


def labelled_dataset(datasets, flat):
    kinds = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "bee"])})
    files = [str(flat / name) for name in ("b.png", "a.png", "f.png")]
    return datasets.Dataset.from_dict({"image": files, "label": [0, 1, -1]}, features=kinds)


@pytest.mark.parametrize("stored", ["saved", "parquet", "parquet file"])
def test_a_stored_data_set_gives_images_and_labels_by_name(datasets, flat, tmp_path, stored):
    place = tmp_path / "set"
    if stored == "saved":
        labelled_dataset(datasets, flat).save_to_disk(place)
    else:
        (place / "data").mkdir(parents=True)
        labelled_dataset(datasets, flat).to_parquet(place / "data" / "part.parquet")
    source = open_images(place / "data" / "part.parquet" if stored == "parquet file" else place, LABELS)
    assert (pixels(source), source.class_ids.tolist()) == ([1, 0, 3], [2, 1, UNLABELLED])
    assert source.images[0].version == open_images(source.origin, LABELS).images[0].version


def test_an_image_folder_with_metadata(datasets, flat):
    write_csv(flat / "metadata.csv", [("file_name", "label"), ("b.png", "bee"), ("a.png", "cat"), ("f.png", "ant")])
    source = open_images(flat, LABELS)
    named = dict(zip(source.image_ids, source.class_ids.tolist(), strict=True))
    assert sorted(named.values()) == [0, 1, 2]
    assert dict(zip(pixels(source), source.class_ids.tolist(), strict=True)) == {1: 1, 0: 2, 3: 0}
    assert (
        "metadata.csv (3 images); left out: image files (1 images that metadata.csv does not name)" in source.notes[0]
    )


def test_a_data_set_of_several_splits_or_without_images_is_refused(datasets, flat, tmp_path):
    dataset = labelled_dataset(datasets, flat)
    datasets.DatasetDict(train=dataset, test=dataset).save_to_disk(tmp_path / "two")
    with pytest.raises(ImageSourceError, match="has the splits train, test; name the folder of one"):
        open_images(tmp_path / "two", LABELS)
    assert len(open_images(tmp_path / "two" / "test", LABELS)) == 3
    dataset.remove_columns("image").save_to_disk(tmp_path / "none")
    with pytest.raises(ImageSourceError, match="no column of images; its columns are label"):
        open_images(tmp_path / "none", LABELS)


def test_a_row_without_an_image_is_unusable_and_its_neighbours_are_not(datasets, flat, tmp_path):
    kinds = datasets.Features({"image": datasets.Image(), "label": datasets.Value("string")})
    images = {"image": [str(flat / "a.png"), None], "label": ["cat", None]}
    datasets.Dataset.from_dict(images, features=kinds).save_to_disk(tmp_path / "set")
    source = open_images(tmp_path / "set", LABELS)
    assert (pixels(source), source.class_ids.tolist()) == ([0, None], [2, UNLABELLED])
    assert "row 1 of the data set has no image" in source.reasons([1])[0]


def test_a_column_of_lists_is_no_column_of_labels(datasets, flat, tmp_path):
    kinds = datasets.Features({"image": datasets.Image(), "labels": datasets.Sequence(datasets.Value("int64"))})
    images = {"image": [str(flat / "a.png"), str(flat / "b.png")], "labels": [[0, 1], []]}
    datasets.Dataset.from_dict(images, features=kinds).save_to_disk(tmp_path / "set")
    source = open_images(tmp_path / "set", LABELS)
    assert source.class_ids.tolist() == [UNLABELLED, UNLABELLED]
    assert "left out the column 'labels', which does not hold one label per image" in source.notes[0]
