"""Folders of images: which of their files are images, class folders not named after labels, and notes on both.

This file is part of the client, which must stand alone. `build_engines.images.image_files` is a symbolic link to it, so
that the same files are images when a cascade is chosen and when it is measured. The standard library only.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

EXTENSIONS = frozenset(
    {".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
)
SKIPPED_FOLDERS = frozenset({"__MACOSX"})  # as well as hidden ones


def find_files(root: Path) -> tuple[list[Path], list[Path]]:
    """Return the images below a folder, sorted, and the other files; hidden files and folders are skipped."""
    found = sorted(_walk(root))
    return [path for path in found if is_image(path)], [path for path in found if not is_image(path)]


def is_image(path: Path) -> bool:
    """Whether a file is named like an image."""
    return path.suffix.lower() in EXTENSIONS


def subfolders(root: Path) -> list[str]:
    """Return the names of a folder's folders, sorted, without hidden ones."""
    return sorted(entry.name for entry in root.iterdir() if entry.is_dir() and _is_searched(entry.name))


def count_by_suffix(paths: Sequence[Path]) -> str:
    """Return the number of files of each suffix, such as `: 2 .mp4, 1 no suffix`; empty if there are none."""
    counts = Counter(path.suffix.lower() or "no suffix" for path in paths)
    kinds = ", ".join(f"{count} {suffix}" for suffix, count in counts.most_common())
    return f": {kinds}" if kinds else ""


def left_out(root: Path, others: Sequence[Path]) -> str:
    """Return a note on the files that are no images; empty if there are none."""
    return f"{root}: left out what is no image{count_by_suffix(others)}" if others else ""


def match_in_order(root: Path, labels: Sequence[str]) -> tuple[dict[str, int], str]:
    """Return the label of each folder in sorted order, and a note; nothing unless there are as many as labels."""
    names = subfolders(root)
    if len(names) != len(labels):
        return {}, ""
    return {name: index for index, name in enumerate(names)}, (
        f"{root}: no class folder has the name of a label, so the folders in sorted order are matched with the labels "
        f"in theirs: {names[0]} is {labels[0]}, …, {names[-1]} is {labels[-1]}; if that is wrong, rename the folders"
    )


def coverage_note(origin: str, labels: Sequence[str], present: Collection[int], unlabelled: int, images: int) -> str:
    """Return a note on images without a class and classes without an image; empty if there are none.

    Args:
        origin: Where the images are from.
        labels: Names of the classes.
        present: The classes that have an image.
        unlabelled: Number of images without a class.
        images: Number of all images.
    """
    absent = [label for class_id, label in enumerate(labels) if class_id not in present]
    parts = [f"{unlabelled} of {images} images have no label"] if unlabelled else []
    if absent:
        parts.append(f"{len(absent)} of {len(labels)} classes have no image: {shortened(absent)}")
    return f"{origin}: {'; '.join(parts)}" if parts else ""


def shortened(names: Sequence[str], most: int = 5) -> str:
    """Return the first few names of a list, quoted, and how many more there are."""
    shown = ", ".join(repr(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def _walk(root: Path) -> Iterator[Path]:
    for folder, names, files in os.walk(root, followlinks=True):
        names[:] = filter(_is_searched, names)
        yield from (Path(folder, name) for name in files if not name.startswith("."))


def _is_searched(name: str) -> bool:
    return not name.startswith(".") and name not in SKIPPED_FOLDERS
