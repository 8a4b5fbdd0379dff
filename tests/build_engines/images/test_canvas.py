"""The canvas: any image that Pillow reads, upright, in RGB, and square."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageOps

from build_engines.images.canvas import UnusableImage, to_canvas

RED = (200, 30, 30)


def encoded(image: Image.Image, format_: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (64, 48), (48, 48)])
def test_any_size_fills_the_canvas(size):
    canvas = to_canvas(Image.new("RGB", size, RED), 48)
    assert canvas.shape == (48, 48, 3)
    assert canvas.dtype == np.uint8
    assert (canvas == RED).all()


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "CMYK", "P", "1", "I;16"])
def test_every_colour_mode_becomes_rgb(mode):
    image = (
        Image.new("I;16", (20, 20), 255 << 8) if mode == "I;16" else Image.new("RGB", (20, 20), "white").convert(mode)
    )
    canvas = to_canvas(encoded(image, "TIFF"), 16)
    assert canvas.shape == (16, 16, 3)
    assert (canvas >= 250).all()


def test_a_palette_with_transparency_becomes_rgb():
    image = Image.new("P", (20, 20), 0)
    image.putpalette([*RED, *(0, 0, 0)] * 2)
    assert (to_canvas(encoded(image, "PNG", transparency=0), 16) == RED).all()


def test_exif_rotation_is_undone():
    upright = Image.new("RGB", (40, 20), "black")
    upright.paste(RED, (0, 0, 40, 10))
    exif = Image.Exif()
    exif[0x0112] = 6  # stored turned by a quarter: to be turned clockwise
    turned = encoded(upright.transpose(Image.Transpose.ROTATE_90), "TIFF", exif=exif)
    np.testing.assert_array_equal(to_canvas(turned, 20), to_canvas(upright, 20))


@pytest.mark.parametrize("orientation", range(9))
def test_every_orientation_is_that_of_pillow(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = encoded(Image.effect_noise((20, 20), 90), exif=exif)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(stored)))
    np.testing.assert_array_equal(to_canvas(stored, 20), to_canvas(upright, 20))


def mistyped_exif():
    """Orientation 6, and an ImageWidth of type ASCII where a number belongs."""
    entries = struct.pack("<HHHIIHHII", 2, 0x0100, 2, 4, 0x313233, 0x0112, 3, 1, 6) + struct.pack("<I", 0)
    return b"Exif\0\0II*\0" + struct.pack("<I", 8) + entries


@pytest.mark.parametrize("format_", ["JPEG", "WEBP", "PNG"])
@pytest.mark.parametrize(
    "exif", [b"Exif\0\0damaged metadata", b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + bytes(range(40)) * 3]
)
def test_damaged_metadata_are_left_out_of_account(format_, exif, recwarn):
    image = Image.effect_noise((40, 20), 90).convert("RGB")
    np.testing.assert_array_equal(
        to_canvas(encoded(image, format_, exif=exif), 16), to_canvas(encoded(image, format_), 16)
    )


@pytest.mark.parametrize("format_", ["JPEG", "WEBP", "PNG"])
def test_an_orientation_counts_beside_damaged_metadata(format_):
    image = Image.effect_noise((40, 20), 90).convert("RGB")
    turned = Image.open(io.BytesIO(encoded(image, format_))).transpose(Image.Transpose.ROTATE_270)
    np.testing.assert_array_equal(to_canvas(encoded(image, format_, exif=mistyped_exif()), 16), to_canvas(turned, 16))


@pytest.mark.parametrize("raised", [struct.error, TypeError, KeyError, EOFError, SyntaxError, OverflowError])
def test_whatever_a_reader_raises_is_an_unusable_image(raised, monkeypatch):
    picture = Image.new("RGB", (4, 4))
    monkeypatch.setattr(picture, "load", lambda: (_ for _ in ()).throw(raised("damaged")))
    with pytest.raises(UnusableImage, match=r"cannot read this PIL image as an image: .*damaged"):
        to_canvas(picture, 4)


@pytest.mark.parametrize("array", [np.full((9, 9, 3), 7, np.uint8), np.full((9, 9), 7, np.uint8)])
def test_arrays_are_taken_as_they_are(array):
    assert (to_canvas(array, 12) == 7).all()


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (b"not an image", "these bytes"),
        (b"", "these bytes"),
        (encoded(Image.effect_noise((200, 200), 90))[:2000], "these bytes"),
        ("nowhere.png", "nowhere.png"),
        (Image.new("F", (4, 4)), "32-bit grey"),
        (encoded(Image.new("I", (4, 4)), "TIFF"), "32-bit grey"),
        (np.zeros((4, 4, 3), np.float32), "float32"),
        (np.zeros((4, 4, 4), np.uint8), r"\[4, 4, 4\]"),
        (np.zeros((0, 4, 3), np.uint8), r"\[0, 4, 3\]"),
        (42, "int"),
    ],
    ids=[
        "no image",
        "empty",
        "cut short",
        "missing",
        "float picture",
        "32-bit file",
        "float",
        "four channels",
        "no pixels",
        "number",
    ],
)
def test_what_is_no_image_is_refused(image, says):
    with pytest.raises(UnusableImage, match=says):
        to_canvas(image, 16)


def test_heic_without_its_reader_names_the_extra(monkeypatch, tmp_path):
    head = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic"
    (tmp_path / "phone.heic").write_bytes(head)
    monkeypatch.setattr(Image, "ID", [name for name in Image.ID if name != "HEIF"])
    for image in (head, tmp_path / "phone.heic"):
        with pytest.raises(UnusableImage, match="need the package pillow-heif; install the extra `heif`"):
            to_canvas(image, 8)


def test_heic_is_read_where_its_reader_is_installed(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.from_pillow(Image.new("RGB", (64, 64), (200, 30, 30))).save(tmp_path / "phone.heic")
    np.testing.assert_allclose(to_canvas(tmp_path / "phone.heic", 8)[4, 4], (200, 30, 30), atol=12)
