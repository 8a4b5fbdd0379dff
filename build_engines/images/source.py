"""A source of images: whatever a user brings, as one sequence of images with the classes that are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from build_engines.errors import ImageSourceError
from build_engines.images.canvas import Canvas, ImageLike, UnusableImage, to_canvas

UNLABELLED = -1
SPLIT_SEED = 0

ClassIds = npt.NDArray[np.int64]


class StoredImage(Protocol):
    """One image, where it is stored."""

    @property
    def image_id(self) -> str:
        """The image's name, unique in its source."""

    @property
    def version(self) -> str:
        """A text that changes when the image does: its size and modification time, or that it is missing."""

    def load(self) -> ImageLike:
        """Return what `to_canvas` takes; raises OSError where it cannot be read."""


@dataclass(frozen=True)
class ImageFile:
    """An image file.

    Attributes:
        path: The file, which may be missing.
        image_id: Its path relative to the source, or as it was listed.
    """

    path: Path
    image_id: str

    @property
    def version(self) -> str:
        """Its size and modification time."""
        return file_version(self.path)

    def load(self) -> ImageLike:
        """Return the path."""
        return self.path


@dataclass(frozen=True)
class ImageSource:
    """Images in a fixed order, and the classes that are known.

    Attributes:
        origin: What the user named.
        images: N of them.
        class_ids: INT64 [N], indices into the labels; UNLABELLED where not known.
        notes: What the user should know about how the images and their classes were found.
    """

    origin: str
    images: tuple[StoredImage, ...]
    class_ids: ClassIds
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Count the images."""
        return len(self.images)

    @property
    def image_ids(self) -> list[str]:
        """The images' names."""
        return [image.image_id for image in self.images]

    @property
    def labelled(self) -> int:
        """How many images have a class."""
        return int((self.class_ids != UNLABELLED).sum())

    def rows(self, chosen: npt.NDArray[np.intp]) -> ImageSource:
        """Return some of the images."""
        return replace(self, images=tuple(self.images[row] for row in chosen), class_ids=self.class_ids[chosen])

    def sample(self, count: int) -> ImageSource:
        """Return at most `count` of the images, evenly spaced, so that every class is represented."""
        return self.rows(np.unique(np.linspace(0, len(self) - 1, min(count, len(self))).round().astype(int)))

    def halves(self) -> tuple[ImageSource, ImageSource]:
        """Split the images at random, always in the same way.

        Raises:
            ImageSourceError: there is only one image.
        """
        if len(self) == 1:
            raise ImageSourceError(f"{self.origin} has a single image; two halves need at least two")
        order = np.random.default_rng(SPLIT_SEED).permutation(len(self))
        middle = len(self) // 2
        return self.rows(np.sort(order[:middle])), self.rows(np.sort(order[middle:]))

    def decode(self, row: int, size: int) -> Canvas | UnusableImage:
        """Return an image on the canvas, UINT8 [S, S, 3], or the reason why it cannot be used."""
        image = self.images[row]
        try:
            return to_canvas(image.load(), size)
        except (UnusableImage, OSError) as error:
            reason = str(error)
            return UnusableImage(reason if image.image_id in reason else f"{image.image_id}: {reason}")

    def reasons(self, rows: Sequence[int]) -> list[str]:
        """Return why some images, which could not be used, cannot, with their names."""
        decoded = [(self.images[row].image_id, self.decode(row, 1)) for row in rows]
        return [str(why) if isinstance(why, UnusableImage) else f"{name}: unreadable before" for name, why in decoded]

    def usable(self, size: int) -> tuple[ImageSource, Canvas]:
        """Return the images that can be used, and all of them on the canvas, UINT8 [n, S, S, 3].

        Raises:
            ImageSourceError: none of them can be used.
        """
        decoded = [self.decode(row, size) for row in range(len(self))]
        usable = {row: canvas for row, canvas in enumerate(decoded) if not isinstance(canvas, UnusableImage)}
        if not usable:
            raise ImageSourceError(f"{self.origin}: none of {len(self)} images can be used; {decoded[0]}")
        return self.rows(np.array([*usable])), np.stack([*usable.values()])


def file_version(path: Path) -> str:
    """Return a text that changes when a file does."""
    try:
        stat = path.stat()
    except OSError:
        return "missing"
    return f"{stat.st_size} {stat.st_mtime_ns}"
