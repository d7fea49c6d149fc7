"""With which camera and when a photo was taken, as its EXIF says.

Source: CIPA DC-008, https://www.cipa.jp/std/documents/e/DC-X008-Translation-2019-E.pdf.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from PIL import ExifTags, Image

from herder.data.records import one_line
from herder.images import FORMATS

_TAGS = ExifTags.Base


@dataclass(frozen=True)
class Capture:
    """What is known of how a photo came to be."""

    camera: str = ""
    """Maker, model and serial number, "" where EXIF names none. Without a serial number two cameras look like one."""
    taken: datetime | None = None
    """In the camera's own time, which has no zone."""


def read_capture(path: Path) -> Capture:
    """Camera and time of a photo from its header; empty where it has none, or cannot be read.

    Twins of the tags that editors write (DateTime for DateTimeOriginal) are taken where the camera's own is missing.
    """
    try:
        with warnings.catch_warnings(), Image.open(path, formats=FORMATS) as image:
            warnings.simplefilter("ignore")  # Pillow warns of damaged EXIF; what can be read counts
            tags = image.getexif()
            own = tags.get_ifd(ExifTags.IFD.Exif)
    except (OSError, ValueError, SyntaxError, KeyError, IndexError, TypeError, OverflowError, AttributeError):
        return Capture()
    serial = own.get(_TAGS.BodySerialNumber) or own.get(_TAGS.CameraSerialNumber)
    names = (tags.get(_TAGS.Make), tags.get(_TAGS.Model), serial)
    camera = " ".join(one_line(name.strip("\0 ")) for name in names if isinstance(name, str)).strip()
    times = (own.get(_TAGS.DateTimeOriginal), own.get(_TAGS.DateTimeDigitized), tags.get(_TAGS.DateTime))
    return Capture(camera, next((time for time in map(_moment, times) if time is not None), None))


def _moment(text: object) -> datetime | None:
    try:
        return datetime.strptime(text[:19], "%Y:%m:%d %H:%M:%S") if isinstance(text, str) else None
    except ValueError:  # 0000:00:00, which cameras with an empty battery write
        return None
