"""A folder of images, at any depth; folders named like classes say what is on the images in them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from build_engines.errors import ImageSourceError
from build_engines.images.named_classes import coverage
from build_engines.images.source import UNLABELLED, ImageFile, ImageSource, shortened
from build_engines.pool.class_names import match_classes

EXTENSIONS = frozenset(
    {".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
)
SKIPPED_FOLDERS = frozenset({"__MACOSX"})  # as well as hidden ones


def open_folder(root: Path, labels: Sequence[str] | None) -> ImageSource:
    """List the images of a folder, at any depth, by path.

    An image's class is that of the nearest folder above it whose name stands for a label: its name, ignoring case, or
    its WordNet id. Where no folder's does, and there are as many folders as labels, they are taken for the labels in
    sorted order; otherwise the images have no labels. The notes say which.

    Args:
        root: The folder.
        labels: Names of the classes; None leaves every image unlabelled.

    Raises:
        ImageSourceError: the folder has no image, or some folders are named after labels and others are not.
    """
    paths, others = _files(root)
    if not paths:
        raise ImageSourceError(f"{root} has no image ({', '.join(sorted(EXTENSIONS))}) at any depth{_left_out(others)}")
    images = tuple(ImageFile(path, path.relative_to(root).as_posix()) for path in paths)
    source = ImageSource(str(root), images, np.full(len(images), UNLABELLED, np.int64))
    if others:
        source = replace(source, notes=(f"{root}: left out what is no image{_left_out(others)}",))
    return source if labels is None else _classified(source, root, paths, labels)


def _classified(source: ImageSource, root: Path, paths: Sequence[Path], labels: Sequence[str]) -> ImageSource:
    folders = [path.relative_to(root).parts[:-1] for path in paths]
    names = {name for parts in folders for name in parts}
    classes, note = match_classes(names, labels), ""
    are_named = not {name.casefold() for name in names}.isdisjoint(label.casefold() for label in labels)
    if not classes and not are_named:
        classes, note = _by_order(root, labels)
    nearest = [next((name for name in reversed(parts) if name in classes), None) for parts in folders]
    if classes or are_named:
        _check_all_named(root, folders, nearest, labels, classes)
    class_ids = np.array([UNLABELLED if name is None else classes[name] for name in nearest], np.int64)
    notes = (*source.notes, note, coverage(class_ids, labels, str(root)))
    return replace(source, class_ids=class_ids, notes=tuple(filter(None, notes)))


def _by_order(root: Path, labels: Sequence[str]) -> tuple[dict[str, int], str]:
    """Return the label of each folder in sorted order, and a note; nothing unless there are as many as labels."""
    names = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and _is_searched(entry.name))
    if len(names) != len(labels):
        return {}, ""
    return {name: index for index, name in enumerate(names)}, (
        f"{root}: no class folder has the name of a label, so the folders in sorted order are matched with the labels "
        f"in theirs: {names[0]} is {labels[0]}, …, {names[-1]} is {labels[-1]}; if that is wrong, rename the folders"
    )


def _check_all_named(
    root: Path,
    folders: Sequence[tuple[str, ...]],
    nearest: Sequence[str | None],
    labels: Sequence[str],
    classes: dict[str, int],
) -> None:
    odd = sorted({parts[-1] for parts, name in zip(folders, nearest, strict=True) if parts and name is None})
    if odd:
        taken = set(classes.values())
        left = [label for index, label in enumerate(labels) if index not in taken]
        raise ImageSourceError(
            f"{root}: class folders are named after the labels, but no label matches {shortened(odd)}; the labels "
            f"without a folder are {shortened(left)}: rename the folders, or ignore what they say with --labels none"
        )


def _files(root: Path) -> tuple[list[Path], list[Path]]:
    """Return the images below a folder, sorted, and the other files."""
    found = sorted(_walk(root))
    return [path for path in found if _is_image(path)], [path for path in found if not _is_image(path)]


def _walk(root: Path) -> Iterator[Path]:
    for folder, names, files in os.walk(root, followlinks=True):
        names[:] = filter(_is_searched, names)
        yield from (Path(folder, name) for name in files if not name.startswith("."))


def _is_searched(name: str) -> bool:
    return not name.startswith(".") and name not in SKIPPED_FOLDERS


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in EXTENSIONS


def _left_out(others: Sequence[Path]) -> str:
    counts = Counter(path.suffix.lower() or "no suffix" for path in others)
    kinds = ", ".join(f"{count} {suffix}" for suffix, count in counts.most_common())
    return f": {kinds}" if kinds else ""
