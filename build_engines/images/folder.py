"""A folder of images, at any depth; folders named like classes say what is on the images in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from build_engines.errors import ImageSourceError, UnknownLabelError
from build_engines.images.image_files import (
    EXTENSIONS,
    count_by_suffix,
    find_files,
    left_out,
    match_in_order,
    shortened,
)
from build_engines.images.named_classes import coverage
from build_engines.images.source import UNLABELLED, ImageFile, ImageSource
from build_engines.pool.class_names import match_classes


def open_folder(root: Path, labels: Sequence[str] | None) -> ImageSource:
    """List the images of a folder, at any depth, by path.

    An image's class is that of the nearest folder above it whose name stands for a label: its name, ignoring case, or
    its WordNet id. Where no folder's does, and there are as many folders as labels, they are taken for the labels in
    sorted order; otherwise the images have no labels. The notes say which.

    Args:
        root: The folder.
        labels: Names of the classes; None leaves every image unlabelled.

    Raises:
        ImageSourceError: the folder has no image.
        UnknownLabelError: some folders are named after labels and others are not.
    """
    paths, others = find_files(root)
    if not paths:
        raise ImageSourceError(
            f"{root} has no image ({', '.join(sorted(EXTENSIONS))}) at any depth{count_by_suffix(others)}"
        )
    images = tuple(ImageFile(path, path.relative_to(root).as_posix()) for path in paths)
    notes = tuple(filter(None, (left_out(root, others),)))
    source = ImageSource(str(root), images, np.full(len(images), UNLABELLED, np.int64), notes)
    return source if labels is None else _classified(source, root, paths, labels)


def _classified(source: ImageSource, root: Path, paths: Sequence[Path], labels: Sequence[str]) -> ImageSource:
    folders = [path.relative_to(root).parts[:-1] for path in paths]
    names = {name for parts in folders for name in parts}
    classes, note = match_classes(names, labels), ""
    are_named = not {name.casefold() for name in names}.isdisjoint(label.casefold() for label in labels)
    if not classes and not are_named:
        classes, note = match_in_order(root, labels)
    nearest = [next((name for name in reversed(parts) if name in classes), None) for parts in folders]
    if classes or are_named:
        _check_all_named(root, folders, nearest, labels, classes)
    class_ids = np.array([UNLABELLED if name is None else classes[name] for name in nearest], np.int64)
    notes = (*source.notes, note, coverage(class_ids, labels, str(root)))
    return replace(source, class_ids=class_ids, notes=tuple(filter(None, notes)))


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
        raise UnknownLabelError(
            f"{root}: class folders are named after the labels, but no label matches {shortened(odd)}; the labels "
            f"without a folder are {shortened(left)}",
            "rename the folders, or ignore what they say with --labels none",
        )
