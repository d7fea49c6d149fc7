"""One photo, good or broken in the ways that downloads and disks break files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from herder.data.quality.config import QualityConfig
from herder.data.quality.photo_checks import check_photo
from herder.data.records import Severity
from herder.errors import ConfigError

Put = Callable[[str, bytes], Path]
Photo = Callable[..., Image.Image]
Encode = Callable[..., bytes]


def reasons(path: Path, **config: float) -> list[str]:
    finding = check_photo(path, QualityConfig(**config))
    assert finding.usable == (not any(p.severity is Severity.SET_ASIDE for p in finding.problems))
    assert all(p.path == path and p.message and p.hint for p in finding.problems)
    return [problem.reason for problem in finding.problems]


@pytest.mark.parametrize(
    ("format", "name"), [("JPEG", "a.jpg"), ("PNG", "a.PNG"), ("WebP", "a.webp"), ("BMP", "a.bmp"), ("TIFF", "a.tif")]
)
def test_a_good_photo(put: Put, textured: Photo, encoded: Encode, format: str, name: str) -> None:
    options = {"lossless": True} if format == "WebP" else {"quality": 95} if format == "JPEG" else {}
    photo = textured((80, 60))
    data = encoded(photo, format, **options)
    finding = check_photo(put(name, data))
    assert finding.problems == ()
    assert finding.usable
    assert finding.decoded
    assert (finding.width, finding.height, finding.kind) == (80, 60, format)
    assert finding.sha256 == hashlib.sha256(data).hexdigest()
    pixels = np.asarray(photo, np.float64).reshape(-1, 3)
    assert finding.mean == pytest.approx(pixels.mean(axis=0), abs=1 if format == "JPEG" else 1e-9)
    assert finding.std == pytest.approx(pixels.std(axis=0), abs=2 if format == "JPEG" else 1e-9)
    assert finding.hash is not None
    grey = np.asarray(photo.convert("L")).mean()
    assert finding.brightness == pytest.approx(grey, abs=1.5)


@pytest.mark.parametrize("mode", ["L", "P", "1", "CMYK", "I;16", "RGBA", "LA"])
def test_other_modes(put: Put, textured: Photo, encoded: Encode, mode: str) -> None:
    photo = textured((80, 60))
    deep = Image.fromarray(np.asarray(photo.convert("L")).astype(np.uint16) * 257)
    data = encoded(deep if mode == "I;16" else photo.convert(mode), "TIFF" if mode in ("CMYK", "I;16") else "PNG")
    finding = check_photo(put("a.tif" if mode in ("CMYK", "I;16") else "a.png", data))
    assert finding.usable, finding.problems
    assert (finding.width, finding.height) == (80, 60)


@pytest.mark.parametrize(
    ("data", "reason", "said"),
    [
        (b"", "empty-file", "0 bytes"),
        (b"<!doctype html><title>503 Slow down</title>", "html-page", "web page"),
        (b"\0" * 5000, "not-an-image", "zeros"),
        (b"just text", "not-an-image", "whatever its name says"),
        (b"GIF89a" + bytes(50), "wrong-type", "is a GIF file, not .jpg"),
        (b"\0\0\0\x1cftypheic" + bytes(50), "wrong-type", "HEIC"),
        (b'{"code": 404}', "wrong-type", "JSON"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "truncated", "ends early"),
    ],
)
def test_no_photo_at_all(put: Put, data: bytes, reason: str, said: str) -> None:
    finding = check_photo(put("a.jpg", data))
    (problem,) = finding.problems
    assert problem.reason == reason
    assert said in problem.message
    assert not finding.usable
    assert not finding.decoded
    assert finding.hash is None
    assert finding.sha256 == hashlib.sha256(data).hexdigest()


def test_missing_and_unreadable(tmp_path: Path) -> None:
    for path in (tmp_path / "gone.jpg", tmp_path):
        finding = check_photo(path)
        assert [p.reason for p in finding.problems] == ["photo-broken"]
        assert "cannot be read" in finding.problems[0].message


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WebP", "BMP", "TIFF"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.99])
def test_cut_short(put: Put, textured: Photo, encoded: Encode, format: str, share: float) -> None:
    data = encoded(textured(), format)
    ending = {"JPEG": ".jpg", "TIFF": ".tif"}.get(format, f".{format.lower()}")
    (reason,) = reasons(put(f"a{ending}", data[: int(share * len(data))]))
    # Pillow writes the directory of a TIFF before its pixels or after them: cut off, the header is gone.
    assert reason == "truncated" or (format == "TIFF" and reason == "photo-broken")


def test_cut_short_and_filled_with_zeros(put: Put, textured: Photo, encoded: Encode) -> None:
    data = encoded(textured(), "JPEG")
    for share in (0.3, 0.6, 0.9):
        cut = int(share * len(data))
        assert reasons(put("a.jpg", data[:cut] + bytes(max(len(data) - cut, 5000)))) == ["truncated"]


def test_bytes_after_the_end_are_fine(put: Put, textured: Photo, encoded: Encode) -> None:
    """Cameras append padding, thumbnails and maker notes."""
    assert reasons(put("a.jpg", encoded(textured(), "JPEG") + bytes(10_000))) == []


@pytest.mark.parametrize("subsampling", [0, 2])
def test_lost_data_in_a_jpeg(put: Put, textured: Photo, encoded: Encode, subsampling: int) -> None:
    """A JPEG whose data ends early, but with its end marker: libjpeg fills the rest with grey and says nothing."""
    data = encoded(textured((328, 246)), "JPEG", quality=85, subsampling=subsampling)
    for share in (0.4, 0.8, 0.95):
        path = put("a.jpg", data[: int(share * len(data))] + b"\xff\xd9")
        assert reasons(path) == ["corrupted-colour"], share
    middle = len(data) // 2
    assert reasons(put("b.jpg", data[:middle] + data[middle + 1448 :])) == ["corrupted-colour"]  # a lost packet
    assert reasons(path, grey_share=0) == []


def test_grey_that_is_no_loss(put: Put, textured: Photo, encoded: Encode) -> None:
    """A drawing on grey paper, and the same grey in a PNG, which has no such grey of its own."""
    paper = Image.new("RGB", (320, 240), (128, 128, 128))
    paper.paste(textured((150, 100)), (80, 60))
    assert reasons(put("a.png", encoded(paper, "PNG"))) == []
    photo = textured()
    photo.paste((128, 128, 128), (100, 100, 102, 240))  # two columns of it are no block
    assert reasons(put("a.jpg", encoded(photo, "JPEG", quality=100, subsampling=0))) == []


def test_noise_in_the_middle_of_a_jpeg(put: Put, textured: Photo, encoded: Encode) -> None:
    data = bytearray(encoded(textured(), "JPEG"))
    half = len(data) // 2
    data[half : half + 2000] = np.random.default_rng(0).bytes(2000)
    assert set(reasons(put("a.jpg", bytes(data)))) <= {"photo-broken", "corrupted-colour", "truncated"}
    assert reasons(put("a.jpg", bytes(data)))


def test_a_dead_channel(put: Put, textured: Photo, encoded: Encode) -> None:
    pixels = np.array(textured())
    pixels[..., 2] = 40
    finding = check_photo(put("a.png", encoded(Image.fromarray(pixels), "PNG")))
    (problem,) = finding.problems
    assert problem.reason == "corrupted-colour"
    assert "its blue is the same everywhere" in problem.message


def test_dark_blank_and_small(put: Put, textured: Photo, encoded: Encode) -> None:
    def path(photo: Image.Image, format: str = "PNG") -> Path:
        return put("a.png" if format == "PNG" else "a.jpg", encoded(photo, format))

    night = Image.fromarray(np.asarray(textured()) // 20)  # up to 12
    assert reasons(path(night)) == ["nearly-black"]
    assert reasons(path(night), black_level=0) == []
    assert check_photo(path(night)).hash is None
    lamp = night.copy()
    lamp.paste((255, 240, 200), (0, 0, 80, 60))  # a sixteenth of it can be seen
    assert reasons(path(lamp)) == []
    for colour in ((255, 255, 255), (90, 140, 200), (128, 128, 128)):
        for format in ("PNG", "JPEG"):
            assert reasons(path(Image.new("RGB", (64, 48), colour), format)) == ["blank"]
    assert reasons(path(Image.new("L", (64, 48), 0))) == ["nearly-black"]
    assert reasons(path(textured((200, 31)))) == ["too-small"]
    assert reasons(path(textured((32, 32)))) == []
    assert reasons(path(textured((1, 1))), blank_spread=0) == ["too-small"]


def test_too_many_pixels(put: Put, encoded: Encode) -> None:
    path = put("a.png", encoded(Image.new("1", (400, 300)), "PNG"))
    assert reasons(path, max_pixels=119_999) == ["too-many-pixels"]
    assert reasons(path, max_pixels=120_000) == ["nearly-black"]
    bomb = put("b.png", encoded(Image.new("1", (20_000, 20_000)), "PNG"))
    assert reasons(bomb) == ["too-many-pixels"]


def test_a_name_of_another_kind(put: Put, textured: Photo, encoded: Encode) -> None:
    finding = check_photo(put("a.jpg", encoded(textured(), "PNG")))
    (problem,) = finding.problems
    assert (problem.reason, problem.severity) == ("wrong-type", Severity.NOTE)
    assert "is a PNG file, not .jpg" in problem.message
    assert finding.usable
    assert reasons(put("no_ending", encoded(textured(), "PNG"))) == []


@pytest.mark.parametrize(("format", "name"), [("JPEG", "a.jpg"), ("PNG", "a.png"), ("TIFF", "a.tif")])
def test_turned_by_exif(put: Put, textured: Photo, encoded: Encode, format: str, name: str) -> None:
    photo = textured((80, 60))
    upright = check_photo(put("upright.png", encoded(photo, "PNG")))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    lying = photo.transpose(Image.Transpose.ROTATE_90)
    finding = check_photo(put(name, encoded(lying, format, exif=exif, **({"quality": 95} if format == "JPEG" else {}))))
    assert [(p.reason, p.severity) for p in finding.problems] == [("exif-rotated", Severity.NOTE)]
    assert (finding.width, finding.height) == (80, 60)
    assert finding.hash is not None
    assert upright.hash is not None
    assert max(finding.hash.distance(upright.hash)) <= 2


def test_limits_that_make_no_sense() -> None:
    for wrong in (
        {"min_side": -1}, {"max_pixels": 0}, {"near_radius": 21}, {"near_radius": -2}, {"whole_photo": 1.5},
        {"black_level": float("nan")},
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            QualityConfig(**wrong)


@pytest.mark.shared
def test_real_photos_are_fine(shared_dir: Path) -> None:
    for path in sorted((shared_dir / "alpaca/images/val").glob("*.jpg"))[:40]:
        assert check_photo(path).problems == ()
