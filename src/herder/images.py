"""Photos from disk: upright, RGB, 8 bits, or a clear error; and written back without half a file ever showing.

Safe against decompression bombs: the header is asked for the size before a pixel is decoded.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from herder.errors import DataError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
"""File endings that count as photos, in lower case."""

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "MPO")
"""The decoders that may run: those of the endings above and no other of Pillow's many."""

MAX_PIXELS = 100_000_000
"""A photo of more pixels is refused; 100 megapixels is past any camera a farm has."""

EXIF_ORIENTATION = 0x0112
"""The EXIF tag that says how the camera was held; 5 to 8 swap width and height."""


def _open(path: Path, max_pixels: int) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # our own limit below speaks for Pillow's bomb warning
            image = Image.open(path, formats=FORMATS)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file", hint="check the path") from None
    except (PermissionError, IsADirectoryError) as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})", hint="check its permissions") from None
    except Image.DecompressionBombError:
        raise DataError(f"{path}: too many pixels", hint=f"the limit is {max_pixels:,}; make it smaller") from None
    except UnidentifiedImageError:
        raise DataError(f"{path}: is not a photo, whatever its name says", hint="remove it or copy it again") from None
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(f"{path}: the header cannot be read ({error})", hint="copy the photo again") from None
    width, height = image.size
    if width * height > max_pixels:
        image.close()
        raise DataError(
            f"{path}: {width} x {height} pixels is past the limit of {max_pixels:,}", hint="make the photo smaller"
        )
    return image


def image_size(path: Path, *, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Width and height in pixels of the upright photo, from the header alone.

    Raises DataError when the file is missing, not a photo, or has more than ``max_pixels``.
    """
    with _open(path, max_pixels) as image:
        width, height = image.size
        try:
            turned = image.getexif().get(EXIF_ORIENTATION, 1) in (5, 6, 7, 8)
        except (OSError, ValueError, SyntaxError):  # broken EXIF: the pixels are still good
            turned = False
    return (height, width) if turned else (width, height)


def read_image(path: Path, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Decode a photo to an upright RGB array (H, W, 3) uint8.

    Raises DataError when the file is missing, not a photo, cut short, or has more than ``max_pixels``.
    """
    with _open(path, max_pixels) as image:
        try:
            return image_to_array(image)
        except (OSError, ValueError, SyntaxError, EOFError) as error:
            raise DataError(f"{path}: the photo is damaged ({error})", hint="copy it again or remove it") from None


def image_to_array(image: Image.Image) -> NDArray[np.uint8]:
    """Any PIL image as an upright RGB array (H, W, 3) uint8: EXIF orientation applied once, transparency laid on white.

    16-bit grey keeps its upper 8 bits; CMYK goes through Pillow's conversion.
    """
    try:
        image = ImageOps.exif_transpose(image)
    except (OSError, ValueError, SyntaxError) as error:
        if "exif" not in str(error).lower():
            raise
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image)
        if values.dtype != np.uint8:
            values = np.clip(values.astype(np.float64) / (257 if values.max(initial=0) > 255 else 1), 0, 255).round()
        return np.repeat(values.astype(np.uint8)[..., None], 3, axis=2)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, (255, 255, 255, 255)), rgba)
    return np.array(image if image.mode == "RGB" else image.convert("RGB"), dtype=np.uint8)
