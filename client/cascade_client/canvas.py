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
from PIL import Image, ImageOps, UnidentifiedImageError

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
UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


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
    picture = _rgb(_opened(image, formats))
    fitted = ImageOps.fit(picture, (size, size), Image.Resampling.BICUBIC)
    return np.ascontiguousarray(fitted, dtype=np.uint8)


def _opened(image: ImageLike, formats: tuple[str, ...] | None) -> Image.Image:
    if isinstance(image, Image.Image):
        return _loaded(image, "this PIL image")
    if isinstance(image, np.ndarray):
        return _from_array(image)
    if not isinstance(image, str | Path | bytes):
        raise UnusableImage(f"expected a path, bytes, a PIL image or an array, got {type(image).__name__}")
    name = "these bytes" if isinstance(image, bytes) else str(image)
    try:
        opened = Image.open(io.BytesIO(image) if isinstance(image, bytes) else image, formats=formats)
    except UnidentifiedImageError as error:
        reason = f"expected {', '.join(formats)}" if formats else _unknown_format(image)
        raise UnusableImage(f"cannot read {name} as an image: {reason}") from error
    except UNREADABLE as error:
        raise UnusableImage(f"cannot read {name} as an image: {error}") from error
    return _loaded(opened, name)


def _unknown_format(image: str | Path | bytes) -> str:
    with io.BytesIO(image) if isinstance(image, bytes) else Path(image).open("rb") as file:
        head = file.read(HEAD_BYTES)
    if head[4:8] == b"ftyp" and head[8:] in HEIF_BRANDS:
        return "HEIC and HEIF need the package pillow-heif; install the extra `heif`"
    return "unknown format"


def _loaded(picture: Image.Image, name: str) -> Image.Image:
    try:
        picture.load()
    except UNREADABLE as error:
        raise UnusableImage(f"cannot read {name} as an image: {error}") from error
    return picture


def _from_array(array: npt.NDArray[Any]) -> Image.Image:
    right_shape = (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)) and array.size > 0  # noqa: PLR2004
    if array.dtype != np.uint8 or not right_shape:
        raise UnusableImage(
            f"expected an array uint8 [height, width, 3] (RGB) or [height, width] (grey), "
            f"got {array.dtype} {list(array.shape)}; convert it, for example (x * 255).round().astype('uint8')"
        )
    return Image.fromarray(np.ascontiguousarray(array))


def _rgb(picture: Image.Image) -> Image.Image:
    upright = ImageOps.exif_transpose(picture)
    if upright.mode in {"I", "F"}:
        raise UnusableImage("32-bit grey images have no agreed range; convert the image to 8 or 16 bits")
    if upright.mode.startswith("I;16"):  # Pillow's own conversion clips to white
        upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
    if upright.mode == "P" and "transparency" in upright.info:
        upright = upright.convert("RGBA")
    return upright.convert("RGB")
