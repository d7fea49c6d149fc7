"""Photos of Open Images that lie on their side, and their boxes, set upright.

Open Images stores photos as the sensor saw them, without EXIF, and draws its boxes there; ``Rotation`` says by how
many degrees counterclockwise "the image and boxes should be rotated" to be upright (2.6 % of the photos; "nan", not
known, is taken for 0). Source: https://storage.googleapis.com/openimages/web/2018-05-17-rotation-information.html.

The dataset's copy of such a photo gets an EXIF orientation, which changes none of its pixels: whoever opens it sees it
upright, as herder does, and its boxes are turned the same way. A photo that says itself how it was held (from a mirror
that serves the originals) is believed, and its boxes are turned accordingly.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from herder.files import write_atomic
from herder.images import EXIF_ORIENTATION, FORMATS

ORIENTATIONS = {90: 8, 180: 3, 270: 6}
"""The EXIF orientation that has a viewer turn the photo by so many degrees counterclockwise."""

JPEG_START = b"\xff\xd8"


def stored_orientation(photo: Path) -> int:
    """The EXIF orientation of a photo's file, 1 to 8; 1 where it holds none."""
    with Image.open(photo, formats=FORMATS) as image:
        value = image.getexif().get(EXIF_ORIENTATION, 1)
    return value if value in range(1, 9) else 1


def with_orientation(jpeg: bytes, orientation: int) -> bytes:
    """The JPEG with an EXIF segment that holds the orientation alone, before all others. Raises ValueError for no JPEG.

    EXIF 2.32 section 4.5: ``FF E1``, length, ``Exif 00 00``, a TIFF header, and one directory entry.
    """
    if not jpeg.startswith(JPEG_START):
        raise ValueError("is no JPEG")
    entry = struct.pack(">HHIHH", EXIF_ORIENTATION, 3, 1, orientation, 0)
    tiff = b"MM\0*" + struct.pack(">IH", 8, 1) + entry + struct.pack(">I", 0)
    body = b"Exif\0\0" + tiff
    return JPEG_START + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


def turn_boxes(boxes: NDArray[np.float64], orientation: int) -> NDArray[np.float64]:
    """Boxes (N, 4), xyxy as fractions of the stored photo's sides, as fractions of the upright photo's.

    >>> turn_boxes(np.array([[0.1, 0.2, 0.3, 0.6]]), 8).round(6).tolist()
    [[0.2, 0.7, 0.6, 0.9]]
    """
    x, y = boxes[:, [0, 2]], boxes[:, [1, 3]]  # (N, 2) each
    u, v = {
        1: (x, y),
        2: (1 - x, y),
        3: (1 - x, 1 - y),
        4: (x, 1 - y),
        5: (y, x),
        6: (1 - y, x),
        7: (1 - y, 1 - x),
        8: (y, 1 - x),
    }[orientation]
    return np.stack([u.min(axis=1), v.min(axis=1), u.max(axis=1), v.max(axis=1)], axis=1)  # (N, 4)


def set_upright(photo: Path, rotation: int, copy: Path) -> tuple[Path, int]:
    """The file to show for a photo that is to be turned by ``rotation`` degrees counterclockwise, and its orientation.

    That is the photo itself where nothing is to be done, or where it is no JPEG, which stays as it is with its boxes;
    else a copy at ``copy``, written where it is not there yet. Raises OSError when the photo cannot be read.
    """
    own = stored_orientation(photo)
    if own != 1 or rotation not in ORIENTATIONS:
        return photo, own
    data = photo.read_bytes()
    if not data.startswith(JPEG_START):
        return photo, own
    turned = with_orientation(data, ORIENTATIONS[rotation])
    if not (copy.is_file() and copy.stat().st_size == len(turned)):
        write_atomic(copy, turned)
    return copy, ORIENTATIONS[rotation]
