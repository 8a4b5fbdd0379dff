"""Labelled images in a folder of one folder a class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from build_engines.errors import BuildError
from build_engines.images.canvas import Canvas, UnusableImage, to_canvas

EXTENSIONS = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
SHOWN = 5


class ImageFolderError(BuildError):
    """Say what is wrong with a folder of labelled images."""


@dataclass(frozen=True)
class ImageFolder:
    """List labelled images in a fixed order: by class, then by file name.

    Attributes:
        root: The folder.
        paths: N image files.
        class_ids: INT64 [N], each in the order of the label set.
    """

    root: Path
    paths: tuple[Path, ...]
    class_ids: npt.NDArray[np.int64]

    def __len__(self) -> int:
        """Count the images."""
        return len(self.paths)

    @property
    def image_ids(self) -> list[str]:
        """Name each image by its path below the root."""
        return [path.relative_to(self.root).as_posix() for path in self.paths]

    def sample(self, count: int) -> ImageFolder:
        """Return at most `count` of the images, evenly spaced, so that every class is represented."""
        rows = np.unique(np.linspace(0, len(self) - 1, min(count, len(self))).round().astype(int))
        return ImageFolder(self.root, tuple(self.paths[row] for row in rows), self.class_ids[rows])

    def canvases(self, size: int, start: int = 0, stop: int | None = None) -> Canvas:
        """Read a range of the images onto the canvas: UINT8 [n, S, S, 3].

        Raises:
            ImageFolderError: a file is no readable image.
        """
        try:
            return np.stack([to_canvas(path, size) for path in self.paths[start:stop]])
        except UnusableImage as error:
            raise ImageFolderError(f"{error}; repair or remove the file") from error


def open_image_folder(root: Path, labels: Sequence[str]) -> ImageFolder:
    """List the images of a folder that holds one folder a class.

    Class folders named like the labels, but for case, are matched by name; where none is, sorted by name, they take the
    labels' order (as in ImageNet's folders, which are named by synset): `order_note` says so.

    Raises:
        ImageFolderError: no such folder, another number of classes than labels, a folder that is no label although
            others are, or a class without images.
    """
    files = [_images(root / name) for name in _class_folders(root, labels)]
    paths = tuple(path for group in files for path in group)
    return ImageFolder(root, paths, np.repeat(np.arange(len(files)), [len(group) for group in files]))


def order_note(root: Path | None, labels: Sequence[str]) -> str:
    """Return a note that class folders are matched with the labels by their order alone.

    Returns:
        An empty text if they are matched by name, or there is no folder.

    Raises:
        ImageFolderError: as `open_image_folder` does.
    """
    if root is None:
        return ""
    names = _class_folders(root, labels)
    if _are_alike(names, labels):
        return ""
    return (
        f"{root}: no class folder is named like a label, so in sorted order they are taken for the labels in theirs: "
        f"{names[0]} is {labels[0]}, …, {names[-1]} is {labels[-1]}; if that is wrong, name them like the labels"
    )


def _class_folders(root: Path, labels: Sequence[str]) -> list[str]:
    """Return the name of each label's folder."""
    if not root.is_dir():
        raise ImageFolderError(f"{root} is no folder; give one that holds one folder of images a class")
    names = sorted(entry.name for entry in root.iterdir() if entry.is_dir())
    if len(names) != len(labels):
        raise ImageFolderError(f"{root} holds {len(names)} class folders but the pool has {len(labels)} labels")
    if not _are_alike(names, labels):
        return names
    found = _by_name(names, labels)
    if odd := sorted(set(names) - set(found.values())):
        left = [label for label in labels if label not in found]
        raise ImageFolderError(
            f"{root}: class folders are named like labels of the pool, but for {_few(odd)} no label can be told; the "
            f"labels left are {_few(left)}: rename the folders"
        )
    return [found[label] for label in labels]


def _are_alike(names: Sequence[str], labels: Sequence[str]) -> bool:
    return not {name.casefold() for name in names}.isdisjoint(label.casefold() for label in labels)


def _by_name(names: Sequence[str], labels: Sequence[str]) -> dict[str, str]:
    """Return the folder of each label that has one: of its name, or the only one left that differs in case alone."""
    found = {name: name for name in set(names) & set(labels)}
    folders, wanted = (_by_folded([one for one in some if one not in found]) for some in (names, labels))
    alone = [key for key in wanted if len(wanted[key]) == len(folders.get(key, ())) == 1]
    return found | {wanted[key][0]: folders[key][0] for key in alone}


def _by_folded(names: Sequence[str]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for name in names:
        grouped.setdefault(name.casefold(), []).append(name)
    return grouped


def _few(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:SHOWN])
    return shown if len(names) <= SHOWN else f"{shown} and {len(names) - SHOWN} more"


def _images(folder: Path) -> list[Path]:
    images = sorted(path for path in folder.iterdir() if path.suffix.lower() in EXTENSIONS)
    if not images:
        raise ImageFolderError(
            f"class folder {folder} has no image ({', '.join(sorted(EXTENSIONS))}); fill or remove it"
        )
    return images
