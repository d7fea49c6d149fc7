"""Photos of every kind against pixels that are known when they are written."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from herder.errors import DataError
from herder.images import MAX_PIXELS, image_size, image_to_array, read_image, read_reduced, seems_whole

RED, GREEN, BLUE, WHITE, BLACK, GREY = (
    (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (128, 128, 128),
)  # fmt: skip


def quadrants() -> np.ndarray:
    """Upright truth, 24 wide and 16 high: red, green above, blue, white below."""
    picture = np.zeros((16, 24, 3), np.uint8)
    picture[:8, :12], picture[:8, 12:], picture[8:, :12], picture[8:, 12:] = RED, GREEN, BLUE, WHITE
    return picture


# What the camera stores for each orientation, from the table of the EXIF standard: where its row 0 and column 0 lie.
STORED = {
    1: lambda p: p,  # top, left
    2: lambda p: p[:, ::-1],  # top, right
    3: lambda p: p[::-1, ::-1],  # bottom, right
    4: lambda p: p[::-1],  # bottom, left
    5: lambda p: p.transpose(1, 0, 2),  # left, top
    6: lambda p: np.rot90(p, 1),  # right, top
    7: lambda p: p[::-1, ::-1].transpose(1, 0, 2),  # right, bottom
    8: lambda p: np.rot90(p, -1),  # left, bottom
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_exif_orientation_is_applied_once(tmp_path: Path, orientation: int, suffix: str) -> None:
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](quadrants())))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"photo{suffix}"
    options = {".jpg": {"quality": 100, "subsampling": 0}, ".webp": {"lossless": True}}.get(suffix, {})
    stored.save(path, exif=exif, **options)
    assert image_size(path) == (24, 16)
    found = read_image(path)
    assert found.shape == (16, 24, 3)
    assert np.abs(found.astype(int) - quadrants()).max() <= 3
    with Image.open(path) as image:  # a PIL image that carries its tag is turned as well
        assert np.abs(image_to_array(image).astype(int) - quadrants()).max() <= 3


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_a_meaningless_orientation_is_passed_over(tmp_path: Path, value: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = value
    Image.fromarray(quadrants()).save(tmp_path / "a.png", exif=exif)
    assert (read_image(tmp_path / "a.png") == quadrants()).all()
    assert image_size(tmp_path / "a.png") == (24, 16)


@pytest.mark.filterwarnings("ignore:.*orrupt EXIF:UserWarning")  # Pillow says so, and goes on
def test_broken_exif_does_not_cost_the_photo(tmp_path: Path) -> None:
    Image.fromarray(quadrants()).save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\x7fgarbage", quality=95)
    assert image_size(tmp_path / "a.jpg") == (24, 16)
    assert read_image(tmp_path / "a.jpg").shape == (16, 24, 3)


def test_grey_and_black_and_white(tmp_path: Path) -> None:
    grey = np.array([[0, 100], [200, 255]], np.uint8)
    Image.fromarray(grey).save(tmp_path / "l.png")
    assert (read_image(tmp_path / "l.png") == grey[..., None]).all()
    Image.fromarray(grey).convert("1", dither=Image.Dither.NONE).save(tmp_path / "b.png")
    assert read_image(tmp_path / "b.png")[..., 0].tolist() == [[0, 0], [255, 255]]


def test_palette_with_and_without_transparency(tmp_path: Path) -> None:
    image = Image.new("P", (3, 1))
    image.putpalette([*RED, *GREEN, *BLUE])
    image.putdata([0, 1, 2])
    image.save(tmp_path / "p.png")
    assert read_image(tmp_path / "p.png")[0].tolist() == [list(RED), list(GREEN), list(BLUE)]
    image.save(tmp_path / "one.png", transparency=1)
    assert read_image(tmp_path / "one.png")[0].tolist() == [list(RED), list(WHITE), list(BLUE)]
    image.save(tmp_path / "each.png", transparency=bytes([255, 0, 51]))  # 51 / 255 = 0.2 of blue on white
    assert read_image(tmp_path / "each.png")[0].tolist() == [list(RED), list(WHITE), [204, 204, 255]]


def test_alpha_is_laid_on_white(tmp_path: Path) -> None:
    rgba = np.array([[[255, 0, 0, 255], [255, 0, 0, 0], [0, 0, 0, 51]]], np.uint8)
    Image.fromarray(rgba).save(tmp_path / "rgba.png")
    assert read_image(tmp_path / "rgba.png")[0].tolist() == [list(RED), list(WHITE), [204, 204, 204]]
    la = np.array([[[0, 255], [0, 0], [0, 51]]], np.uint8)
    Image.fromarray(la).save(tmp_path / "la.png")
    assert read_image(tmp_path / "la.png")[0, :, 0].tolist() == [0, 255, 204]
    rgb = Image.fromarray(np.array([[RED, GREEN]], np.uint8))
    rgb.save(tmp_path / "key.png", transparency=GREEN)
    assert read_image(tmp_path / "key.png")[0].tolist() == [list(RED), list(WHITE)]


def png(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    """A PNG written by hand, chunk by chunk (RFC 2083)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_16_bit_png(tmp_path: Path) -> None:
    values = [0, 100, 257 * 7, 32768, 65535]
    (tmp_path / "grey.png").write_bytes(png(5, 1, 16, 0, b"\0" + struct.pack(">5H", *values)))
    assert read_image(tmp_path / "grey.png")[0, :, 0].tolist() == [0, 0, 7, 128, 255]
    # A dark photo stays dark: nothing is stretched to what occurs in it.
    (tmp_path / "dark.png").write_bytes(png(2, 1, 16, 0, b"\0" + struct.pack(">2H", 0, 200)))
    assert read_image(tmp_path / "dark.png").max() == 1
    rows = b"\0" + struct.pack(">6H", 65535, 0, 257 * 9, 0, 65535, 257 * 200)
    (tmp_path / "rgb.png").write_bytes(png(2, 1, 16, 2, rows))
    assert read_image(tmp_path / "rgb.png")[0].tolist() == [[255, 0, 9], [0, 255, 200]]
    rows = b"\0" + struct.pack(">8H", 65535, 0, 0, 65535, 65535, 0, 0, 0)
    (tmp_path / "rgba.png").write_bytes(png(2, 1, 16, 6, rows))
    assert read_image(tmp_path / "rgba.png")[0].tolist() == [list(RED), list(WHITE)]


@pytest.mark.parametrize("order", ["<", ">"])
def test_16_bit_grey_tiff(tmp_path: Path, order: str) -> None:
    values = [0, 257 * 7, 32768, 65535]
    pixels = struct.pack(f"{order}4H", *values)
    # TIFF 6.0 by hand: header, pixels, one directory of baseline tags (tag, type 3 short or 4 long, count, value).
    tags = [(256, 3, 4), (257, 3, 1), (258, 3, 16), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1), (278, 3, 1)]
    tags.append((279, 4, len(pixels)))
    directory = struct.pack(f"{order}H", len(tags))
    for tag, kind, value in tags:
        field = struct.pack(f"{order}HH", value, 0) if kind == 3 else struct.pack(f"{order}I", value)
        directory += struct.pack(f"{order}HHI", tag, kind, 1) + field
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8 + len(pixels))
    (tmp_path / "grey.tif").write_bytes(head + pixels + directory + struct.pack(f"{order}I", 0))
    assert read_image(tmp_path / "grey.tif")[0, :, 0].tolist() == [0, 7, 128, 255]


def test_float_and_32_bit_pictures() -> None:
    floats = np.array([[0.0, 0.5, 1.0, np.nan]], np.float32)
    assert image_to_array(Image.fromarray(floats))[0, :, 0].tolist() == [0, 128, 255, 0]
    assert image_to_array(Image.fromarray(np.array([[0, 200]], np.int32)))[0, :, 0].tolist() == [0, 200]
    assert image_to_array(Image.fromarray(np.array([[0, 65535]], np.int32)))[0, :, 0].tolist() == [0, 255]


CMYK = {  # ink in percent of 255: what printing says, and what must be seen
    "cyan": ((255, 0, 0, 0), (0, 255, 255)),
    "red": ((0, 255, 255, 0), RED),
    "black": ((0, 0, 0, 255), BLACK),
    "paper": ((0, 0, 0, 0), WHITE),
    "dark green": ((255, 0, 255, 128), (0, 127, 0)),
}


@pytest.mark.parametrize("name", CMYK)
@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_cmyk(tmp_path: Path, name: str, suffix: str) -> None:
    ink, seen = CMYK[name]
    path = tmp_path / f"cmyk{suffix}"
    Image.new("CMYK", (16, 16), ink).save(path, **({"quality": 100} if suffix == ".jpg" else {}))
    if suffix == ".jpg":
        assert b"Adobe" in path.read_bytes()  # inverted, as Photoshop stores it
    assert np.abs(read_image(path).astype(int) - seen).max() <= 3


def test_adobe_ycck_jpeg(tmp_path: Path) -> None:
    """Photoshop's usual CMYK: inverted, and C, M, Y as YCbCr. Made from a file whose four planes are known."""
    r, g, b, k = 0, 255, 255, 255  # inverted cyan, magenta, yellow, key of pure red
    y = 0.299 * r + 0.587 * g + 0.114 * b  # JFIF
    cb, cr = 128 - 0.168736 * r - 0.331264 * g + 0.5 * b, 128 + 0.5 * r - 0.418688 * g - 0.081312 * b
    planes = tuple(255 - round(v) for v in (y, cb, cr, k))  # Pillow inverts on writing
    path = tmp_path / "ycck.jpg"
    Image.new("CMYK", (16, 16), planes).save(path, quality=100, subsampling=0)
    data = path.read_bytes()
    at = data.index(b"Adobe") + 11  # the transform flag is the last byte of the marker: 0 CMYK, 2 YCCK
    assert data[at] == 0
    path.write_bytes(data[:at] + b"\x02" + data[at + 1 :])
    assert np.abs(read_image(path).astype(int) - RED).max() <= 3


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
def test_the_first_of_several_frames(tmp_path: Path, suffix: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, GREEN, BLUE)]
    path = tmp_path / f"many{suffix}"
    options = {"lossless": True} if suffix == ".webp" else {}
    frames[0].save(path, save_all=True, append_images=frames[1:], **options)
    assert (read_image(path) == RED).all()


def broken_files(folder: Path) -> dict[str, Path]:
    whole = folder / "whole.jpg"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(whole)
    files = {
        "truncated.jpg": whole.read_bytes()[:2000],
        "text.jpg": b"this is no photo\n",
        "empty.jpg": b"",
        "bomb.png": png(50_000, 50_000, 8, 2, b""),
        "large.png": png(10_000, MAX_PIXELS // 10_000 + 1, 8, 2, b""),
        "garbage.png": b"\x89PNG\r\n\x1a\n" + bytes(range(200)),
        "page.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n",
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return {name: folder / name for name in files}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("truncated.jpg", "damaged"),
        ("text.jpg", "is not a photo"),
        ("empty.jpg", "is not a photo"),
        ("bomb.png", "limit"),
        ("large.png", "limit"),
        ("garbage.png", ""),
        ("page.jpg", "is not a photo"),  # Pillow knows more formats than may run here: this one would start a program
    ],
)
def test_what_is_no_photo(tmp_path: Path, name: str, said: str) -> None:
    path = broken_files(tmp_path)[name]
    with pytest.raises(DataError) as caught:
        read_image(path)
    assert str(path) in caught.value.message
    assert said in caught.value.message
    assert caught.value.hint


def test_missing_and_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_image(tmp_path / "none.jpg")
    with pytest.raises(DataError, match="cannot be read"):
        image_size(tmp_path)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp"])
def test_seems_whole(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"photo{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(path)
    assert seems_whole(path)
    path.write_bytes(path.read_bytes()[:-100])
    assert not seems_whole(path)


def test_one_pixel(tmp_path: Path) -> None:
    Image.new("RGB", (1, 1), GREY).save(tmp_path / "one.png")
    assert read_image(tmp_path / "one.png").tolist() == [[list(GREY)]]
    assert image_size(tmp_path / "one.png") == (1, 1)


@pytest.mark.parametrize(
    ("longest", "expected"), [(100, (80, 100)), (101, (160, 200)), (200, (160, 200)), (201, (320, 400))]
)
def test_a_reduced_photo_keeps_the_pixels_asked_for(tmp_path, make_photo, longest, expected):
    path = make_photo(tmp_path / "a.jpg", (800, 640), quality=95)
    pixels, size = read_reduced(path, longest)
    assert pixels.shape == (*expected, 3)
    assert size == (800, 640)
    step = 800 // expected[1]
    mean = read_image(path).astype(float).reshape(expected[0], step, expected[1], step, 3).mean(axis=(1, 3))
    assert np.abs(pixels - mean).mean() < 1


def test_a_reduced_photo_is_upright(tmp_path, make_photo):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = make_photo(tmp_path / "a.jpg", (801, 640), quality=95, exif=exif)
    pixels, size = read_reduced(path, 200)
    assert size == (640, 801)
    assert pixels.shape == (201, 160, 3)
    assert np.abs(read_image(path)[::4, ::4].astype(int)[:201, :160] - pixels).mean() < 3


def test_other_formats_and_small_photos_come_whole(tmp_path, make_photo):
    for name in ("a.png", "a.jpg"):
        path = make_photo(tmp_path / name, (90, 60))
        pixels, size = read_reduced(path, 30 if name == "a.png" else 60)
        assert size == (90, 60)
        assert (pixels == read_image(path)).all()


def test_a_reduced_photo_that_is_broken(tmp_path, make_photo):
    path = make_photo(tmp_path / "a.jpg", (800, 640))
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DataError, match=r"a\.jpg"):
        read_reduced(path, 100)
    with pytest.raises(DataError, match="no such file"):
        read_reduced(tmp_path / "none.jpg", 100)
