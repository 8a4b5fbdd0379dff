"""Data sets of the library `datasets`, where it is installed."""

from __future__ import annotations

import pytest

from build_engines.errors import ImageSourceError
from build_engines.images.opening import open_images
from build_engines.images.source import UNLABELLED
from tests.support.image_sources import LABELS, pixels, write_csv


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
