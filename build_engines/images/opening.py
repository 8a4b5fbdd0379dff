"""Open whatever a user names as images, by what it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from build_engines.errors import ImageSourceError
from build_engines.images.folder import open_folder
from build_engines.images.source import ImageSource

NO_LABELS = "none"


def open_images(given: str | Path, labels: Sequence[str], truth: str | None = None) -> ImageSource:
    """Open images, with the classes that are known.

    Args:
        given: A folder of images, at any depth.
        labels: Names of the classes.
        truth: `none` to leave all images unlabelled.

    Raises:
        ImageSourceError: there is no such source, it has no image, or its labels are not of the label set.
    """
    path = Path(given)
    if path.is_dir():
        return open_folder(path, None if truth == NO_LABELS else labels)
    raise ImageSourceError(f"{given} is not a folder; name a folder of images")


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
    return open_images(calibration, labels, truth), open_images(test, labels, truth)
