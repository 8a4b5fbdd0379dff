"""Open whatever a user names as images, by what it is."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from build_engines.errors import ImageSourceError, UnknownLabelError
from build_engines.images import hugging_face, listed
from build_engines.images.folder import open_folder
from build_engines.images.image_files import find_files, shortened
from build_engines.images.source import ImageSource
from build_engines.images.tars import open_tars
from build_engines.images.truth import check_truth_used, with_truth

NO_LABELS = "none"
IMAGE_FILES = "image files"
RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")

OpenWith = Callable[[Sequence[str] | None], ImageSource]


def open_images(given: str | Path, labels: Sequence[str], truth: str | None = None) -> ImageSource:
    """Open images, with the classes that are known.

    Args:
        given: A folder, at any depth; a list of image files (text, CSV, TSV, Parquet, or `-` for the standard input);
            tar files as webdataset writes them (one, a folder of them, or a pattern such as `shard-{000..009}.tar`); or
            a data set of Hugging Face's `datasets` on this machine.
        labels: Names of the classes.
        truth: A ground-truth file, see `with_truth`; or `none` to leave all images unlabelled.

    Raises:
        ImageSourceError: there is no such source, it has no image, or its labels are not of the label set.
    """
    (source,) = _open_all([str(given)], labels, truth)
    return source


def open_with_optional_labels(given: str | Path, labels: Sequence[str]) -> ImageSource:
    """Open images for a task that needs no labels; labels that do not fit are left out, with a note.

    Raises:
        ImageSourceError: there is no such source, or it has no image.
    """
    try:
        return open_images(given, labels)
    except UnknownLabelError as error:
        if str(given) == listed.STDIN:  # it has been read to its end
            raise
        source = open_images(given, labels, NO_LABELS)
        return replace(source, notes=(*source.notes, f"{error.found}; no labels are needed here, so none is used"))


def _open_all(given: Sequence[str], labels: Sequence[str], truth: str | None) -> list[ImageSource]:
    """Open sources that share a ground-truth file, which may be of one of them only."""
    sources = [_open(one, labels if truth is None else None) for one in given]
    if truth is None or truth == NO_LABELS:
        return sources
    sources = [with_truth(source, Path(truth), labels) for source in sources]
    check_truth_used(Path(truth), sources)
    return sources


def _open(given: str, labels: Sequence[str] | None) -> ImageSource:
    path = Path(given)
    if given == listed.STDIN:
        return listed.open_list(given, labels)
    if path.is_dir():
        return _open_folder(path, labels)
    if tars := _tars(given):
        return open_tars(tars, given, labels)
    if not path.is_file():
        raise ImageSourceError(f"{given} is not a folder nor a file; name a folder of images, a list, or tar files")
    if listed.has_images(path):
        return hugging_face.open_dataset(path, labels)
    if path.suffix.lower() not in listed.SUFFIXES:
        raise ImageSourceError(
            f"{given} is no list of images ({', '.join(sorted(listed.SUFFIXES))}), tar file or folder; for one image, "
            "name its folder"
        )
    return listed.open_list(given, labels)


def _open_folder(folder: Path, labels: Sequence[str] | None) -> ImageSource:
    """Open a folder as what most of its images are, with a note on the others."""
    ways = _ways(folder)
    if len(ways) == 1:
        return next(iter(ways.values()))(labels)
    counts, contents = _counts(ways)
    chosen = max(counts, key=lambda kind: counts[kind])  # the first of those with as many
    source = ways[chosen](labels)
    others = [f"{kind} ({contents[kind]})" for kind in ways if kind != chosen and contents[kind]]
    if not others:
        return source
    left_out = f"left out: {', '.join(others)}; name them to use them"
    note = f"{folder}: most of it is {chosen} ({len(source)} images); {left_out}"
    return replace(source, notes=(note, *source.notes))


def _ways(folder: Path) -> dict[str, OpenWith]:
    """Return how a folder can be opened, by the name of what is opened."""
    ways: dict[str, OpenWith] = {}
    if kind := hugging_face.kind_of(folder):
        ways[kind] = partial(hugging_face.open_dataset, folder)
    tars = sorted(path for path in folder.glob("*.tar") if not path.name.startswith("."))
    if find_files(folder)[0] or not (ways or tars):
        ways[IMAGE_FILES] = partial(open_folder, folder)
    if tars:
        ways[shortened([path.name for path in tars])] = partial(open_tars, tars, str(folder))
    return ways


def _counts(ways: Mapping[str, OpenWith]) -> tuple[dict[str, int], dict[str, str]]:
    """Return the number of images of each, 0 where it cannot be opened; and for messages, that number or the reason."""
    counts, contents = {}, {}
    for kind, opened in ways.items():
        try:
            counts[kind] = len(opened(None))
            contents[kind] = f"{counts[kind]} images"
        except ImageSourceError as error:
            counts[kind] = 0
            contents[kind] = str(error)
    if listing := next((kind for kind in counts if kind in hugging_face.METADATA and IMAGE_FILES in counts), None):
        unlisted = counts[IMAGE_FILES] - counts[listing]
        counts[IMAGE_FILES] = unlisted
        contents[IMAGE_FILES] = f"{unlisted} images that {listing} does not name" if unlisted else ""
    return counts, contents


def _tars(given: str) -> list[Path]:
    """Return the tar files that a path or a pattern names."""
    if not given.endswith((".tar", ".tar.gz", ".tgz")):
        return []
    if found := RANGE.search(given):
        first, last = found.groups()
        numbers = range(int(first), int(last) + 1)
        return [Path(f"{given[: found.start()]}{number:0{len(first)}d}{given[found.end() :]}") for number in numbers]
    path = Path(given)
    return [path] if path.is_file() else sorted(path.parent.glob(path.name))


def open_splits(
    images: str | None, calibration: str | None, test: str | None, labels: Sequence[str], truth: str | None = None
) -> tuple[ImageSource, ImageSource]:
    """Open the images to choose on, and those to report on.

    Args:
        images: What both are a random half of, instead of the next two.
        calibration: The images to choose on.
        test: The images to report on.
        labels: Names of the classes.
        truth: See `open_images`.

    Raises:
        ImageSourceError: neither one source nor two are given, or one cannot be opened.
    """
    if images is not None and calibration is None and test is None:
        return open_images(images, labels, truth).halves()
    if images is not None or calibration is None or test is None:
        raise ImageSourceError(
            "give --calibration and --test, or --images alone, which are split at random into halves for both"
        )
    first, second = _open_all([calibration, test], labels, truth)
    return first, second
