"""Sending images as the encoded bytes that they are stored in; the server puts them on the canvas."""

from __future__ import annotations

import re
from pathlib import Path

from cascade_client.canvas import ImageLike
from cascade_client.errors import CascadeError, InvalidImage, InvalidRequest, ModelNotFound

BAD_IMAGE = re.compile(r"image (\d+): ")


def read_encoded(image: ImageLike, place: int) -> bytes:
    """Return the encoded bytes of an image given as a path or as bytes.

    Raises:
        InvalidImage: the file cannot be read, or the image is given decoded.
    """
    if isinstance(image, bytes):
        return image
    if not isinstance(image, str | Path):
        raise InvalidImage(
            f"image {place}: encoded images are paths or bytes, not {type(image).__name__}; leave `encoded` out"
        )
    try:
        return Path(image).read_bytes()
    except (OSError, ValueError) as error:
        raise InvalidImage(f"image {place}: cannot read {image}: {error}") from error


def as_encoded_error(error: CascadeError, start: int) -> CascadeError:
    """Return the error of a request of encoded images as the caller sees it.

    Args:
        error: What the server answered.
        start: Place of the request's first image among the caller's.
    """
    found = BAD_IMAGE.search(str(error))
    if isinstance(error, InvalidRequest) and found:
        return InvalidImage(f"image {start + int(found[1])}: {str(error)[found.end() :]}")
    if isinstance(error, ModelNotFound):
        return ModelNotFound(f"{error}; this server takes no encoded images: leave `encoded` out")
    return error
