"""Ground-truth files: the labels of images that lie without class folders, such as ImageNet's validation images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from scipy.io import loadmat

from build_engines.errors import ImageSourceError
from build_engines.images.listed import Row, read_rows
from build_engines.images.named_classes import class_ids_of
from build_engines.images.source import ImageSource

DEVKIT_META = "meta.mat"
DEVKIT_TRUTH = "ILSVRC2012_validation_ground_truth"


def with_truth(source: ImageSource, truth: Path, labels: Sequence[str]) -> ImageSource:
    """Give images the labels of a ground-truth file.

    The file has paths and labels (text, CSV, TSV or Parquet), or one label per line for all images, sorted by name.
    Images are found by path, file name, or name without suffix. The numbers of ImageNet's development kit are looked up
    in its meta.mat, which must lie beside the file.

    Raises:
        ImageSourceError: the file cannot be read, or has a label that is not in the set.
    """
    known = {key for name in source.image_ids for key in _names(name)}
    rows = [_split(row, known) for row in read_rows(str(truth), Path())]
    bare = all(row.label is None for row in rows)
    written = _in_order(source, rows, truth) if bare else _by_name(source, rows)
    class_ids, note = class_ids_of(written, labels, f"{source.origin} with {truth}")
    return replace(source, class_ids=class_ids, notes=tuple(filter(None, (*source.notes, note))))


def _in_order(source: ImageSource, rows: Sequence[Row], truth: Path) -> list[str | None]:
    if len(rows) != len(source):
        raise ImageSourceError(
            f"{truth} has {len(rows)} labels without names, and {source.origin} {len(source)} images; they must be the "
            "same in number, or the file must name the images: path,label"
        )
    names = [row.path for row in rows]
    wnids = _devkit_wnids(truth)
    in_order = sorted(range(len(source)), key=lambda row: source.images[row].image_id)
    by_row = dict(zip(in_order, names, strict=True))
    return [wnids.get(by_row[row], by_row[row]) for row in range(len(source))]


def _by_name(source: ImageSource, rows: Sequence[Row]) -> list[str | None]:
    known: dict[str, str | None] = {}
    for row in rows:
        label = row.label.split()[0] if row.label and _is_prediction_string(row.label) else row.label
        known |= dict.fromkeys((row.path, PurePosixPath(row.path).name, PurePosixPath(row.path).stem), label)
    found = [next((key for key in _names(name) if key in known), None) for name in source.image_ids]
    return [None if key is None else known[key] for key in found]


def check_truth_used(truth: Path, *sources: ImageSource) -> tuple[ImageSource, ...]:
    """Return sources that were given the labels of a ground-truth file.

    Raises:
        ImageSourceError: it has a label for none of their images.
    """
    if any(source.labelled for source in sources):
        return sources
    origins = " and ".join(source.origin for source in sources)
    rows = read_rows(str(truth), Path())
    raise ImageSourceError(
        f"{truth} has a label for none of the images of {origins}: it starts with {rows[0].path if rows else ''!r}, "
        f"and the images are such as {sources[0].image_ids[0]!r}"
    )


def _split(row: Row, known: set[str]) -> Row:
    """Read a line of an image's name and its label, parted by white space."""
    name, _, label = row.path.rpartition(" ")
    return Row(name.strip(), label) if row.label is None and known.intersection(_names(name.strip())) else row


def _names(image_id: str) -> tuple[str, str, str]:
    path = PurePosixPath(image_id)
    return image_id, path.name, path.stem


def _is_prediction_string(label: str) -> bool:
    """Whether a label is a class and boxes, as in Kaggle's LOC_val_solution.csv: n03995372 85 1 499 272."""
    first, *boxes = label.split()
    return len(boxes) >= 4 and all(number.isdigit() for number in boxes) and not first.isdigit()  # noqa: PLR2004 (a box)


def _devkit_wnids(truth: Path) -> dict[str, str]:
    """Return the WordNet id of each number that ImageNet's development kit uses; empty for another file."""
    meta = truth.with_name(DEVKIT_META)
    if not meta.is_file():
        if truth.name.startswith(DEVKIT_TRUTH):
            raise ImageSourceError(
                f"{truth} numbers the classes in an order of its own; put its {DEVKIT_META} beside it"
            )
        return {}
    synsets = loadmat(meta, squeeze_me=True)["synsets"]
    return {str(int(synset["ILSVRC2012_ID"])): str(synset["WNID"]) for synset in synsets if not synset["num_children"]}
