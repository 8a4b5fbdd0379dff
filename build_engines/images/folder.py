"""Labelled images: a folder with one folder per class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from build_engines.errors import ImageFolderError
from build_engines.images.canvas import Canvas, UnusableImage, to_canvas

EXTENSIONS = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
MAX_SHOWN = 5


@dataclass(frozen=True)
class ImageFolder:
    """Labelled images in a fixed order: by class, then by file name.

    Attributes:
        root: The folder.
        paths: N image files.
        class_ids: INT64 [N], indices into the labels.
    """

    root: Path
    paths: tuple[Path, ...]
    class_ids: npt.NDArray[np.int64]

    def __len__(self) -> int:
        """Count the images."""
        return len(self.paths)

    @property
    def image_ids(self) -> list[str]:
        """Each image's path, relative to the root."""
        return [path.relative_to(self.root).as_posix() for path in self.paths]

    def sample(self, count: int) -> ImageFolder:
        """Return at most `count` of the images, evenly spaced, so that every class is represented."""
        rows = np.unique(np.linspace(0, len(self) - 1, min(count, len(self))).round().astype(int))
        return ImageFolder(self.root, tuple(self.paths[row] for row in rows), self.class_ids[rows])

    def canvases(self, size: int, start: int = 0, stop: int | None = None) -> Canvas:
        """Read a range of the images onto the canvas: UINT8 [n, S, S, 3].

        Raises:
            ImageFolderError: a file cannot be read as an image.
        """
        try:
            return np.stack([to_canvas(path, size) for path in self.paths[start:stop]])
        except UnusableImage as error:
            raise ImageFolderError(f"{error}; repair or remove the file") from error


def open_image_folder(root: Path, labels: Sequence[str]) -> ImageFolder:
    """List the images of a folder that contains one folder per class.

    Class folders are matched with the labels by name, ignoring case. Where no name matches, they are matched by order,
    sorted by name (as ImageNet's folders are, which are named by synset); `order_note` tells the user.

    Raises:
        ImageFolderError: the folder does not exist, has more or fewer classes than labels, has a class folder without a
            label although others have one, or a class without images.
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
    if _share_a_name(names, labels):
        return ""
    return (
        f"{root}: no class folder has the name of a label, so the folders in sorted order are matched with the labels "
        f"in theirs: {names[0]} is {labels[0]}, …, {names[-1]} is {labels[-1]}; if that is wrong, rename the folders"
    )


def _class_folders(root: Path, labels: Sequence[str]) -> list[str]:
    """Return the name of each label's folder."""
    if not root.is_dir():
        raise ImageFolderError(f"{root} is not a folder; name one that contains one folder of images per class")
    names = sorted(entry.name for entry in root.iterdir() if entry.is_dir())
    if len(names) != len(labels):
        raise ImageFolderError(f"{root} has {len(names)} class folders but the pool has {len(labels)} labels")
    if not _share_a_name(names, labels):
        return names
    found = _by_name(names, labels)
    if odd := sorted(set(names) - set(found.values())):
        left = [label for label in labels if label not in found]
        raise ImageFolderError(
            f"{root}: class folders are named after the labels, but no label matches {_shortened(odd)}; the labels "
            f"without a folder are {_shortened(left)}: rename the folders"
        )
    return [found[label] for label in labels]


def _share_a_name(names: Sequence[str], labels: Sequence[str]) -> bool:
    return not {name.casefold() for name in names}.isdisjoint(label.casefold() for label in labels)


def _by_name(names: Sequence[str], labels: Sequence[str]) -> dict[str, str]:
    """Return the folder of each label that has one: of the same name, or the only other one that differs in case."""
    found = {name: name for name in set(names) & set(labels)}
    folders, wanted = (_by_folded([one for one in some if one not in found]) for some in (names, labels))
    unique = [key for key in wanted if len(wanted[key]) == len(folders.get(key, ())) == 1]
    return found | {wanted[key][0]: folders[key][0] for key in unique}


def _by_folded(names: Sequence[str]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for name in names:
        grouped.setdefault(name.casefold(), []).append(name)
    return grouped


def _shortened(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:MAX_SHOWN])
    return shown if len(names) <= MAX_SHOWN else f"{shown} and {len(names) - MAX_SHOWN} more"


def _images(folder: Path) -> list[Path]:
    images = sorted(path for path in folder.iterdir() if path.suffix.lower() in EXTENSIONS)
    if not images:
        raise ImageFolderError(
            f"class folder {folder} contains no image ({', '.join(sorted(EXTENSIONS))}); fill or remove it"
        )
    return images
