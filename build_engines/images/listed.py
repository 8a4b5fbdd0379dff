"""Lists of image files, with or without labels: a text file, CSV, TSV, Parquet, or the standard input."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from build_engines.errors import ImageSourceError
from build_engines.images.image_files import EXTENSIONS, shortened
from build_engines.images.named_classes import class_ids_of
from build_engines.images.source import ImageFile, ImageSource
from build_engines.support.atomic_files import read_text

STDIN = "-"
SUFFIXES = frozenset({".csv", ".lst", ".parquet", ".tsv", ".txt"})
PATH_COLUMNS = (
    "path", "filename", "file", "filepath", "imagepath", "imagename", "imagefile", "image", "imageid", "img",
    "imgpath", "imgname", "paths", "filenames", "files", "filepaths", "images", "name",
)  # fmt: skip
LABEL_COLUMNS = (
    "label", "labels", "classname", "labelname", "class", "classes", "wnid", "synset", "classid", "classidx",
    "classindex", "labelid", "target", "category", "predictionstring",
)  # fmt: skip
COLUMNS_ADVICE = (
    f"name the column of paths one of {', '.join(PATH_COLUMNS)} and that of labels, if there is one, one of "
    f"{', '.join(LABEL_COLUMNS)}; case, spaces, hyphens and underscores make no difference"
)


@dataclass(frozen=True)
class Row:
    """One line of a list.

    Attributes:
        path: As it is written.
        label: As it is written; None where there is none.
    """

    path: str
    label: str | None = None


def open_list(given: str, labels: Sequence[str] | None) -> ImageSource:
    """Open the image files that a list names; relative paths start at the list's folder, else at the current one.

    Args:
        given: A file of one of `SUFFIXES`, or `-` for the standard input.
        labels: Names of the classes; None leaves every image unlabelled.

    Raises:
        ImageSourceError: the list cannot be read, is empty, names no file that exists, or has a label that is none.
    """
    base = Path() if given == STDIN else Path(given).parent
    origin = "standard input" if given == STDIN else given
    rows = read_rows(given, base)
    if not rows:
        raise ImageSourceError(f"{origin} lists no image; write one path per line, or columns path and label")
    images = tuple(ImageFile(_located(row.path, base), row.path) for row in rows)
    missing = [image.image_id for image in images if not image.path.is_file()]
    if len(missing) == len(images):
        raise ImageSourceError(
            f"{origin}: none of the {len(images)} files that it lists exists, such as {missing[0]!r}; paths are "
            f"relative to {base.resolve()}"
        )
    notes = [f"{origin}: {len(missing)} of {len(images)} listed files do not exist: {shortened(missing)}"] * bool(
        missing
    )
    class_ids, note = class_ids_of([row.label for row in rows], labels, origin)
    return ImageSource(origin, images, class_ids, tuple(filter(None, [*notes, note])))


def has_images(path: Path) -> bool:
    """Whether a file is Parquet with images in it rather than paths."""
    if path.suffix.lower() != ".parquet":
        return False
    parquet, pyarrow = _pyarrow(path)
    try:
        schema = parquet.read_schema(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise ImageSourceError(f"cannot read {path} as Parquet: {error}") from error
    return any(pyarrow.types.is_struct(field.type) for field in schema)


def read_rows(given: str, base: Path) -> list[Row]:
    """Read the lines of a list.

    Raises:
        ImageSourceError: it cannot be read.
    """
    if given == STDIN:
        return _text_rows(sys.stdin.read().splitlines(), base)
    path = Path(given)
    if path.suffix.lower() == ".parquet":
        return _parquet_rows(path)
    lines = read_text(path).splitlines()
    if path.suffix.lower() in {".csv", ".tsv"}:
        return _table_rows(csv.reader(lines, delimiter="\t" if path.suffix.lower() == ".tsv" else ","), path)
    return _text_rows(lines, base)


def columns_of(names: Sequence[str]) -> tuple[str | None, str | None]:
    """Return which of a table's columns holds paths and which labels, None where none does."""
    by_folded = {_folded(name): name for name in reversed(names)}
    path, label = (
        next((by_folded[name] for name in known if name in by_folded), None) for known in (PATH_COLUMNS, LABEL_COLUMNS)
    )
    return path, label


def is_label_column(name: str) -> bool:
    """Whether a column is named as one of labels."""
    return _folded(name) in LABEL_COLUMNS


def _folded(name: str) -> str:
    """Return a column's name without case, spaces, hyphens and underscores."""
    return re.sub(r"[\s_-]", "", name).casefold()


def _table_rows(table: Iterable[list[str]], path: Path) -> list[Row]:
    lines = [line for line in table if any(cell.strip() for cell in line)]
    if not lines:
        return []
    named, labelled = columns_of(lines[0])
    if named is None:
        _check_no_header(lines, path)
        return [Row(line[0].strip(), line[1].strip() if len(line) > 1 else None) for line in lines]
    place, label = lines[0].index(named), None if labelled is None else lines[0].index(labelled)
    short = next((number for number, line in enumerate(lines, 1) if len(line) <= max(place, label or 0)), None)
    if short is not None:
        raise ImageSourceError(f"{path}, row {short}: fewer columns than the header; quote paths that contain commas")
    return [Row(line[place].strip(), None if label is None else line[label].strip()) for line in lines[1:]]


def _check_no_header(lines: Sequence[list[str]], path: Path) -> None:
    """Refuse a first line that is a header rather than a row: it names no file, but a column, or the next line does."""
    first, second = lines[0], lines[1] if len(lines) > 1 else []
    if not any(map(_is_image_name, first)) and (any(map(is_label_column, first)) or any(map(_is_image_name, second))):
        raise ImageSourceError(f"{path} has no column of paths; its columns are {shortened(first)}; {COLUMNS_ADVICE}")


def _is_image_name(cell: str) -> bool:
    return Path(cell.strip()).suffix.lower() in EXTENSIONS


def _parquet_rows(path: Path) -> list[Row]:
    parquet, pyarrow = _pyarrow(path)
    try:
        named, labelled = columns_of(parquet.read_schema(path).names)
        table = parquet.read_table(path, columns=[name for name in (named, labelled) if name])
    except (pyarrow.ArrowException, OSError) as error:
        raise ImageSourceError(f"cannot read {path} as Parquet: {error}") from error
    if named is None:
        names = parquet.read_schema(path).names
        raise ImageSourceError(f"{path} has no column of paths; its columns are {shortened(names)}; {COLUMNS_ADVICE}")
    labels = [None] * len(table) if labelled is None else table[labelled].to_pylist()
    pairs = zip(table[named].to_pylist(), labels, strict=True)
    return [Row(str(name), None if label is None else str(label)) for name, label in pairs]


def _pyarrow(path: Path) -> tuple[Any, Any]:
    try:
        import pyarrow  # noqa: PLC0415 (an extra)
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError as error:
        raise ImageSourceError(f"{path}: Parquet needs pyarrow; install the extra `datasets`") from error
    return parquet, pyarrow


def _text_rows(lines: Iterable[str], base: Path) -> list[Row]:
    return [_text_row(line.strip(), base) for line in lines if line.strip()]


def _text_row(line: str, base: Path) -> Row:
    """Read a path, or a path and a label after white space, as in Caffe's val.txt."""
    path, _, label = line.rpartition("\t") if "\t" in line else line.rpartition(" ")
    if path and not _located(line, base).exists() and _located(path.strip(), base).exists():
        return Row(path.strip(), label)
    return Row(line)


def _located(path: str, base: Path) -> Path:
    beside = base / path
    return beside if beside.exists() or not Path(path).exists() else Path(path)
