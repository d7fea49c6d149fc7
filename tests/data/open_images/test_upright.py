"""Turning boxes, against Pillow turning pixels."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from herder.data.open_images.upright import set_upright, stored_orientation, turn_boxes, with_orientation
from herder.images import EXIF_ORIENTATION, UPRIGHT, image_size, read_image


@given(st.integers(1, 8), st.integers(0, 30), st.integers(0, 20), st.integers(1, 33), st.integers(1, 19))
def test_boxes_turn_with_the_pixels(orientation: int, x: int, y: int, width: int, height: int) -> None:
    pixels = np.zeros((40, 64), np.uint8)
    pixels[y : y + height, x : x + width] = 255
    image = Image.fromarray(pixels)
    turned = np.asarray(image.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else image)
    ys, xs = np.nonzero(turned)
    box = np.array([[x / 64, y / 40, (x + width) / 64, (y + height) / 40]])
    sides = (turned.shape[1], turned.shape[0]) * 2
    found = turn_boxes(box, orientation) * sides
    np.testing.assert_allclose(found, [[xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]], atol=1e-9)


def test_no_boxes() -> None:
    assert turn_boxes(np.zeros((0, 4)), 6).shape == (0, 4)


def jpeg(exif: int | None = None) -> bytes:
    pixels = np.zeros((24, 40, 3), np.uint8)
    pixels[:, :20] = 200
    image, file = Image.fromarray(pixels), io.BytesIO()
    options = {}
    if exif is not None:
        tags = Image.Exif()
        tags[EXIF_ORIENTATION] = exif
        options["exif"] = tags
    image.save(file, "JPEG", **options)
    return file.getvalue()


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_photo_is_set_upright_without_loss(tmp_path: Path, degrees: int) -> None:
    photo = tmp_path / "a.jpg"
    photo.write_bytes(jpeg())
    shown, orientation = set_upright(photo, degrees, tmp_path / "up/a.jpg")
    assert photo.read_bytes() == jpeg()
    assert stored_orientation(shown) == orientation
    # numpy turns counterclockwise, as Open Images counts.
    np.testing.assert_array_equal(read_image(shown), np.rot90(read_image(photo), degrees // 90))
    assert image_size(shown) == ((24, 40) if degrees != 180 else (40, 24))
    before = shown.stat().st_mtime_ns
    assert set_upright(photo, degrees, shown) == (shown, orientation)
    assert shown.stat().st_mtime_ns == before


def test_what_stays_as_it_is(tmp_path: Path) -> None:
    photo = tmp_path / "a.jpg"
    photo.write_bytes(jpeg())
    assert set_upright(photo, 0, tmp_path / "up.jpg") == (photo, 1)
    photo.write_bytes(jpeg(exif=6))  # it says itself how it was held
    assert set_upright(photo, 90, tmp_path / "up.jpg") == (photo, 6)
    Image.new("RGB", (8, 8)).save(tmp_path / "b.png")
    assert set_upright(tmp_path / "b.png", 90, tmp_path / "up.png") == (tmp_path / "b.png", 1)
    assert not (tmp_path / "up.jpg").exists()
    with pytest.raises(ValueError, match="no JPEG"):
        with_orientation(b"GIF", 6)


def test_an_exif_without_an_orientation_is_no_hindrance() -> None:
    tags = Image.Exif()
    tags[0x010F] = "Camera"
    file = io.BytesIO()
    Image.new("RGB", (8, 4)).save(file, "JPEG", exif=tags)
    assert Image.open(io.BytesIO(with_orientation(file.getvalue(), 8))).getexif()[EXIF_ORIENTATION] == 8
