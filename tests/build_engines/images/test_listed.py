"""Lists of image files: tables, text, Parquet, the standard input; and what is wrong with them."""

from __future__ import annotations

import io

import pytest

from build_engines.errors import ImageSourceError
from build_engines.images.opening import open_images
from build_engines.images.source import UNLABELLED
from tests.support.image_sources import LABELS, pixels, write_csv

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
