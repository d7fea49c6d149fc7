"""Photos from disk: upright, RGB, 8 bits, or a clear error.

Safe against decompression bombs: the header is asked for the size before a pixel is decoded.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from herder.errors import DataError, ResourceError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
"""File endings that count as photos, in lower case."""

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
"""The decoders that may run: those of the endings above and no other of Pillow's many (MPO comes with JPEG)."""

MAX_PIXELS = 89_478_485
"""A photo of more pixels is refused: 89 megapixels, a quarter of a gigabyte of RGB, is where Pillow warns as well."""

EXIF_ORIENTATION = 0x0112
"""The EXIF tag that says how the camera was held; 5 to 8 swap width and height."""

UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What brings each EXIF orientation upright (EXIF 2.32, table 6); 1 is upright already, others mean nothing."""

_BROKEN = (OSError, ValueError, SyntaxError, EOFError, struct.error, KeyError, IndexError, TypeError, OverflowError)
"""What Pillow raises for files that are not what they claim."""


def _open(path: Path, max_pixels: int) -> Image.Image:
    try:
        image = Image.open(path, formats=FORMATS)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file", hint="check the path") from None
    except (PermissionError, IsADirectoryError) as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})", hint="check its permissions") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(
            f"{path}: too many pixels, the limit is {max_pixels:,} ({str(error).split(',')[0]})",
            hint="make the photo smaller or remove it",
        ) from None
    except UnidentifiedImageError:
        raise DataError(f"{path}: is not a photo, whatever its name says", hint="remove it or copy it again") from None
    except _BROKEN as error:
        raise DataError(f"{path}: the header cannot be read ({error})", hint="copy the photo again") from None
    width, height = image.size
    if width * height > max_pixels:
        image.close()
        raise DataError(
            f"{path}: {width} x {height} pixels is past the limit of {max_pixels:,}",
            hint="make the photo smaller or remove it",
        )
    return image


def image_size(path: Path, *, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Width and height in pixels of the upright photo, from the header alone.

    Raises DataError when the file is missing, not a photo, or has more than ``max_pixels``.
    """
    with _open(path, max_pixels) as image:
        width, height = image.size
        # Pillow applies a TIFF's orientation itself, and its size is that of the upright photo already.
        turned = image.format != "TIFF" and exif_orientation(image) in (5, 6, 7, 8)
    return (height, width) if turned else (width, height)


def read_image(path: Path, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Decode a photo to an upright RGB array (H, W, 3) uint8; of several frames or pages the first.

    Raises DataError when the file is missing, not a photo, cut short, or has more than ``max_pixels``, and
    ResourceError when the memory does not hold it.
    """
    with _open(path, max_pixels) as image:
        return _decoded(image, path)


def _decoded(image: Image.Image, path: Path) -> NDArray[np.uint8]:
    try:
        return image_to_array(image)
    except _BROKEN as error:
        raise DataError(f"{path}: the photo is damaged ({error})", hint="copy it again or remove it") from None
    except MemoryError:
        raise ResourceError(
            f"{path}: no memory for {image.width} x {image.height} pixels", hint="make the photo smaller"
        ) from None


def read_reduced(
    path: Path, longest: int, *, max_pixels: int = MAX_PIXELS
) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """``read_image`` with a JPEG decoded at 1/2, 1/4 or 1/8 where its longer side keeps at least ``longest`` pixels.

    Gives the pixels, (h, w, 3) uint8, and the whole upright photo's width and height. The decoder averages within the
    8 x 8 blocks of the cosine transform and never makes the full picture, which saves time and memory: ITU-T T.81 codes
    each block by frequency, and a smaller transform of the low ones is a smaller block. Other formats come whole.
    Raises what ``read_image`` raises.
    """
    with _open(path, max_pixels) as image:
        width, height = image.size
        if image.format in ("JPEG", "MPO"):
            # Pillow halves while both sides keep what is asked for; rounded down, so that an odd side is no obstacle.
            longer = max(width, height)
            image.draft(None, (max(1, width * longest // longer), max(1, height * longest // longer)))
        # Pillow applies a TIFF's orientation itself, and its size is that of the upright photo already.
        turned = image.format != "TIFF" and exif_orientation(image) in (5, 6, 7, 8)
        return _decoded(image, path), (height, width) if turned else (width, height)


def seems_whole(path: Path) -> bool:
    """False where the end of the file shows that it was cut short; costs a few bytes, and True proves nothing.

    JPEG must hold its end marker near the end, PNG its IEND chunk, and WebP and BMP the bytes that they announce.
    """
    with path.open("rb") as file:
        head = file.read(12)
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 4096))
        tail = file.read()
    if head.startswith(b"\xff\xd8"):
        return b"\xff\xd9" in tail  # not at the very end: cameras append thumbnails, maker notes and padding
    if head.startswith(b"\x89PNG"):
        return b"IEND" in tail
    if head.startswith(b"RIFF"):
        return size >= int.from_bytes(head[4:8], "little") + 8
    if head.startswith(b"BM"):
        return size >= int.from_bytes(head[2:6], "little")
    return True


def image_to_array(image: Image.Image) -> NDArray[np.uint8]:
    """Any PIL image as an upright RGB array (H, W, 3) uint8: EXIF orientation applied once, transparency laid on white.

    16-bit grey is scaled from 0..65535 to 0..255; wider integers and floats, which say nothing about their range, are
    taken as 8 bits, as 16 bits or (floats) as 0..1, whichever is the smallest that holds them. CMYK goes through
    Pillow's conversion, which knows that JPEG stores it inverted.
    """
    image.load()  # before the tag is asked: for a TIFF this turns the pixels upright and takes the tag away
    turn = UPRIGHT.get(exif_orientation(image))
    if turn is not None:
        image = image.transpose(turn)
    if image.mode.startswith(("I", "F")):
        return np.repeat(_to_bytes(np.asarray(image), image.mode)[..., None], 3, axis=2)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, (255, 255, 255, 255)), rgba)
    return np.array(image if image.mode == "RGB" else image.convert("RGB"), dtype=np.uint8)


def exif_orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where there is none or EXIF is broken: the pixels may still be good."""
    try:
        value = image.getexif().get(EXIF_ORIENTATION, 1)
    except (*_BROKEN, Warning):  # a Warning where the caller turns warnings into errors
        return 1
    return value if value in UPRIGHT else 1


def _to_bytes(values: NDArray[np.generic], mode: str) -> NDArray[np.uint8]:
    """Grey values (H, W) of more than 8 bits as uint8, rounded."""
    grey = np.nan_to_num(values.astype(np.float32), nan=0.0)
    top = 65535.0 if mode.startswith("I;16") else float(grey.max(initial=0.0))
    scale = 255.0 if mode == "F" and top <= 1 else 1.0 if top <= 255 else 255.0 / 65535.0
    scaled: NDArray[np.float32] = np.clip(np.rint(grey * np.float32(scale)), 0, 255)
    return scaled.astype(np.uint8)
