"""Ground-truth files: the labels of images that lie without class folders, such as ImageNet's validation images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from scipy.io import loadmat

from build_engines.errors import ImageSourceError
from build_engines.images.image_files import shortened
from build_engines.images.listed import Row, read_rows
from build_engines.images.named_classes import class_ids_of
from build_engines.images.path_matching import match_paths, name_of
from build_engines.images.source import ImageSource

DEVKIT_META = "meta.mat"
DEVKIT_TRUTH = "ILSVRC2012_validation_ground_truth"


def with_truth(source: ImageSource, truth: Path, labels: Sequence[str]) -> ImageSource:
    """Give images the labels of a ground-truth file.

    The file has paths and labels (text, CSV, TSV or Parquet), or one label per line for all images, sorted by name.
    An image has the label of the row whose path ends like its own, in as many folders as possible; the suffix of the
    file may be left out. The numbers of ImageNet's development kit are looked up in its meta.mat, which must lie beside
    the file.

    Raises:
        ImageSourceError: the file cannot be read, has a label that is not in the set, or rows that fit an image equally
            well and differ, or a row that fits several images.
    """
    known = {name_of(PurePosixPath(name)) for name in source.image_ids}
    rows = [_split(row, known) for row in read_rows(str(truth), Path())]
    bare = all(row.label is None for row in rows)
    written = _in_order(source, rows, truth) if bare else _by_path(source, rows, truth)
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


def _by_path(source: ImageSource, rows: Sequence[Row], truth: Path) -> list[str | None]:
    folder = PurePosixPath(Path(source.origin).resolve().as_posix())  # which tells equal paths of two splits apart
    matched = match_paths([folder / name for name in source.image_ids], [PurePosixPath(row.path) for row in rows])
    labels = [_class_of(row.label) for row in rows]
    _check_unambiguous(source, rows, truth, matched)
    return [labels[places[0]] if places else None for places in matched]


def _check_unambiguous(source: ImageSource, rows: Sequence[Row], truth: Path, matched: Sequence[list[int]]) -> None:
    fitted: dict[int, str] = {}
    for image_id, places in zip(source.image_ids, matched, strict=True):
        if len({_class_of(rows[place].label) for place in places}) > 1:
            written = shortened([f"{rows[place].path},{rows[place].label or ''}" for place in places])
            raise ImageSourceError(
                f"{truth}: {len(places)} rows with different labels fit image {image_id!r} equally well: {written}; "
                "write the path of each image once, with the folders that tell them apart"
            )
        for place in places:
            if fitted.setdefault(place, image_id) != image_id:
                raise ImageSourceError(
                    f"{truth}: the row {rows[place].path!r} fits several images, {fitted[place]!r} and {image_id!r}; "
                    "write the paths of the images with the folders that tell them apart"
                )


def _class_of(label: str | None) -> str | None:
    return label.split()[0] if label and _is_prediction_string(label) else label


def check_truth_used(truth: Path, sources: Sequence[ImageSource]) -> None:
    """Check that a ground-truth file gave a label to some image of the sources that share it.

    Raises:
        ImageSourceError: it has a label for none of their images.
    """
    if any(source.labelled for source in sources):
        return
    origins = " and ".join(source.origin for source in sources)
    rows = read_rows(str(truth), Path())
    raise ImageSourceError(
        f"{truth} has a label for none of the images of {origins}: it starts with {rows[0].path if rows else ''!r}, "
        f"and the images are such as {sources[0].image_ids[0]!r}"
    )


def _split(row: Row, known: set[str]) -> Row:
    """Read a line of an image's name and its label, parted by white space."""
    name, _, label = row.path.rpartition(" ")
    return Row(name.strip(), label) if row.label is None and name_of(PurePosixPath(name.strip())) in known else row


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
