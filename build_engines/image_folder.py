"""Labelled images in a folder of one folder a class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from build_engines.canvas import Canvas, UnusableImage, to_canvas
from build_engines.errors import BuildError

EXTENSIONS = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


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

    def spread(self, count: int) -> ImageFolder:
        """Return at most `count` of the images, spread evenly over the classes."""
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

    Class folders named like the labels are matched by name; where none is, sorted by name, they take the labels' order
    (as in ImageNet's folders, which are named by synset).

    Raises:
        ImageFolderError: no such folder, another number of classes than labels, a folder that is no label although
            others are, or a class without images.
    """
    if not root.is_dir():
        raise ImageFolderError(f"{root} is no folder; give one that holds one folder of images a class")
    names = sorted(entry.name for entry in root.iterdir() if entry.is_dir())
    if len(names) != len(labels):
        raise ImageFolderError(f"{root} holds {len(names)} class folders but the pool has {len(labels)} labels")
    odd = sorted(set(names) - set(labels))
    if odd and len(odd) < len(names):
        raise ImageFolderError(
            f"{root}: class folder {odd[0]!r} is none of the pool's labels although others are; rename it"
        )
    ordered = list(labels) if set(names) == set(labels) else names
    files = [_images(root / name) for name in ordered]
    paths = tuple(path for group in files for path in group)
    return ImageFolder(root, paths, np.repeat(np.arange(len(files)), [len(group) for group in files]))


def _images(folder: Path) -> list[Path]:
    images = sorted(path for path in folder.iterdir() if path.suffix.lower() in EXTENSIONS)
    if not images:
        raise ImageFolderError(
            f"class folder {folder} has no image ({', '.join(sorted(EXTENSIONS))}); fill or remove it"
        )
    return images
