"""Encoded images, sent to the server as they are stored; the server decodes them."""

from __future__ import annotations

import re
from pathlib import Path

from cascade_client.canvas import ImageLike
from cascade_client.errors import CascadeError, InvalidImage, InvalidRequest, ModelNotFound

BAD_IMAGE = re.compile(r"image (\d+): ")


def read_encoded(image: ImageLike, index: int) -> bytes:
    """Return the encoded bytes of an image given as a path or as bytes.

    Raises:
        InvalidImage: the file cannot be read, or the image is already decoded.
    """
    if isinstance(image, bytes):
        return image
    if not isinstance(image, str | Path):
        raise InvalidImage(
            f"image {index}: encoded images are paths or bytes, not {type(image).__name__}; omit `encoded`"
        )
    try:
        return Path(image).read_bytes()
    except (OSError, ValueError) as error:
        raise InvalidImage(f"image {index}: cannot read {image}: {error}") from error


def as_encoded_error(error: CascadeError, start: int) -> CascadeError:
    """Return the error of a request of encoded images with the caller's index of the image.

    Args:
        error: The error of the request.
        start: Index of the request's first image in the caller's list.
    """
    found = BAD_IMAGE.search(str(error))
    if isinstance(error, InvalidRequest) and found:
        return InvalidImage(f"image {start + int(found[1])}: {str(error)[found.end() :]}")
    if isinstance(error, ModelNotFound):
        return ModelNotFound(f"{error}; this server does not take encoded images: omit `encoded`")
    return error
