"""The canvas: the one image shape that a cascade takes, UINT8 [S, S, 3] in RGB.

This file is part of the client, which must stand alone. `build_engines.images.canvas` is a symbolic link to it, and the
served model `decode` has a copy, so that images are prepared by the same code when a cascade is chosen and served.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

try:
    from pillow_heif import register_heif_opener
except ImportError:  # an extra; where it is missing, the error names it
    pass
else:
    register_heif_opener()

ImageLike = str | Path | bytes | Image.Image | npt.NDArray[np.uint8]
Canvas = npt.NDArray[np.uint8]
HEAD_BYTES = 12
HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})  # ISO/IEC 23008-12
ORIENTATIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # of Exif 2.32, section 4.6.4, to undo each


class UnusableImage(ValueError):
    """An image that cannot be put on the canvas: unreadable, or of an unsupported type, shape or dtype."""


def to_canvas(image: ImageLike, size: int, formats: tuple[str, ...] | None = None) -> Canvas:
    """Put an image on the canvas: upright, RGB, centre square, `size` pixels a side.

    Args:
        image: A path, encoded bytes, a PIL image, or an array UINT8 [H, W, 3] (RGB) or [H, W] (grey).
        size: Side S of the canvas, in pixels.
        formats: The formats to accept, by Pillow's names; all that Pillow knows if None.

    Returns:
        UINT8 [S, S, 3], contiguous.

    Raises:
        UnusableImage: the file cannot be read, is no image or is truncated, or the array has another shape or dtype.
    """
    try:
        picture = _rgb(_opened(image, formats))
        fitted = ImageOps.fit(picture, (size, size), Image.Resampling.BICUBIC)
    except UnusableImage:
        raise
    except Exception as error:  # whatever Pillow's readers raise on damaged files, struct.error and TypeError included
        raise UnusableImage(f"cannot read {_name(image)} as an image: {error}") from error
    return np.ascontiguousarray(fitted, dtype=np.uint8)


def _name(image: ImageLike) -> str:
    if isinstance(image, bytes):
        return "these bytes"
    return "this PIL image" if isinstance(image, Image.Image) else str(image)


def _opened(image: ImageLike, formats: tuple[str, ...] | None) -> Image.Image:
    if isinstance(image, Image.Image):
        return image
    if isinstance(image, np.ndarray):
        return _from_array(image)
    if not isinstance(image, str | Path | bytes):
        raise UnusableImage(f"expected a path, bytes, a PIL image or an array, got {type(image).__name__}")
    try:
        return Image.open(io.BytesIO(image) if isinstance(image, bytes) else image, formats=formats)
    except UnidentifiedImageError as error:
        reason = f"expected {', '.join(formats)}" if formats else _unknown_format(image)
        raise UnusableImage(f"cannot read {_name(image)} as an image: {reason}") from error


def _unknown_format(image: str | Path | bytes) -> str:
    with io.BytesIO(image) if isinstance(image, bytes) else Path(image).open("rb") as file:
        head = file.read(HEAD_BYTES)
    if head[4:8] == b"ftyp" and head[8:] in HEIF_BRANDS:
        return "HEIC and HEIF need the package pillow-heif; install the extra `heif`"
    return "unknown format"


def _from_array(array: npt.NDArray[Any]) -> Image.Image:
    right_shape = (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)) and array.size > 0  # noqa: PLR2004
    if array.dtype != np.uint8 or not right_shape:
        raise UnusableImage(
            f"expected an array uint8 [height, width, 3] (RGB) or [height, width] (grey), "
            f"got {array.dtype} {list(array.shape)}; convert it, for example (x * 255).round().astype('uint8')"
        )
    return Image.fromarray(np.ascontiguousarray(array))


def _rgb(picture: Image.Image) -> Image.Image:
    upright = _upright(picture)
    if upright.mode in {"I", "F"}:
        raise UnusableImage("32-bit grey images have no agreed range; convert the image to 8 or 16 bits")
    if upright.mode.startswith("I;16"):  # Pillow's own conversion clips to white
        upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
    if upright.mode == "P" and "transparency" in upright.info:
        upright = upright.convert("RGBA")
    return upright.convert("RGB")


def _upright(picture: Image.Image) -> Image.Image:
    """Turn an image as its metadata say; as it is, where they have no orientation or are damaged."""
    picture.load()
    try:
        turn = ORIENTATIONS.get(picture.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # whatever Pillow raises on damaged metadata; the pixels are intact
        turn = None
    return picture if turn is None else picture.transpose(turn)
