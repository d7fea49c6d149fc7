"""One photo looked at closely: decoded once, in full, and asked for everything that only its pixels can tell."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from herder.data.quality.config import QualityConfig
from herder.data.quality.perceptual_hash import PhotoHash, hash_photo
from herder.data.quality.signatures import ENDINGS, HTML, READABLE, SNIFFED, kind_of
from herder.data.records import Problem, Severity
from herder.images import FORMATS, UPRIGHT, exif_orientation, image_to_array, seems_whole

LOST = 128
"""What JPEG decoders put where data is missing: all coefficients 0, which is this grey in each channel (ITU-T T.81)."""

LOST_RUN = 32
"""So many pixels of that grey at the end of the last row are no chance: two units of a common JPEG."""

LUMA = (0.299, 0.587, 0.114)
"""Brightness from red, green and blue: ITU-R BT.601, as JPEG and Pillow have it."""

_BROKEN = (OSError, ValueError, SyntaxError, EOFError, struct.error, KeyError, IndexError, TypeError, OverflowError)
"""What Pillow raises for files that are not what they claim."""


@dataclass(frozen=True)
class PhotoFinding:
    """What one look at a photo told. Where it could not be decoded, all but path, problems and sha256 is empty."""

    path: Path
    problems: tuple[Problem, ...] = ()
    sha256: str = ""
    """Of the file's bytes, in hex."""
    kind: str = ""
    """What the file is by its first bytes, such as JPEG."""
    width: int = 0
    """Pixels of the upright photo."""
    height: int = 0
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Of red, green and blue, 0 to 255."""
    std: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Standard deviation of red, green and blue."""
    hash: PhotoHash | None = None
    """None where the photo was not decoded, and where it is blank or black and its hash would be noise."""

    @property
    def usable(self) -> bool:
        """Whether nothing sets the photo aside."""
        return not any(problem.severity is Severity.SET_ASIDE for problem in self.problems)

    @property
    def decoded(self) -> bool:
        """Whether there were pixels to look at."""
        return self.width > 0

    @property
    def brightness(self) -> float:
        """Mean brightness, 0 to 255."""
        return float(np.dot(self.mean, LUMA))


class _Refused(Exception):
    """The photo cannot be decoded, and why."""

    def __init__(self, reason: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.reason, self.message, self.hint = reason, message, hint


def check_photo(path: Path, config: QualityConfig | None = None) -> PhotoFinding:
    """Decode a photo in full and say what is wrong with it; nothing is raised for a bad file, and none is changed.

    Set aside: ``empty-file``, ``html-page``, ``not-an-image``, ``wrong-type`` (a kind that is not read),
    ``too-many-pixels``, ``truncated``, ``photo-broken``, ``too-small``, ``nearly-black``, ``blank``,
    ``corrupted-colour``. Notes: ``wrong-type`` (the ending belongs to another kind, which is read) and
    ``exif-rotated``.
    """
    config = config or QualityConfig()
    digest = kind = ""
    try:
        with path.open("rb") as file:
            head = file.read(SNIFFED)
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        kind = kind_of(head)
        _refuse_foreign(head, kind, path)
        return _look(path, digest, kind, config)
    except _Refused as refused:
        problem = Problem(path, refused.reason, refused.message, refused.hint)
    except MemoryError:
        problem = Problem(path, "too-many-pixels", "no memory to decode it", "make the photo smaller")
    except OSError as error:
        said = f"cannot be read ({error.strerror or error})"
        problem = Problem(path, "photo-broken", said, "check the path and its permissions")
    return PhotoFinding(path, (problem,), digest, kind)


def _refuse_foreign(head: bytes, kind: str, path: Path) -> None:
    if not head:
        raise _Refused("empty-file", "the file is empty (0 bytes)", "copy it again or remove it")
    if kind == HTML:
        raise _Refused("html-page", "is a web page saved under a photo's name", "fetch it again: the server erred")
    if not kind:
        lost = "holds zeros, no photo" if not any(head) else "is not a photo, whatever its name says"
        raise _Refused("not-an-image", lost, "remove it or copy it again")
    if kind not in READABLE:
        where = f"is a {kind} file" + ("" if not path.suffix else f", not {path.suffix}")
        raise _Refused("wrong-type", f"{where}, and that is not read", "save it as JPEG or PNG, or remove it")


def _look(path: Path, digest: str, kind: str, config: QualityConfig) -> PhotoFinding:
    image, orientation = _decode(path, config.max_pixels)
    if kind == "JPEG" and not seems_whole(path) and not _has_end(path):
        raise _Refused("truncated", "the file ends early: its end marker is missing", "copy it again or remove it")
    width, height = image.size
    counts = np.asarray(image.histogram(), np.int64).reshape(-1, 256)  # (1 or 3, 256)
    # A histogram tells for nearly every photo that there cannot be much of that grey.
    maybe = kind == "JPEG" and bool((counts[:, LOST] >= LOST_RUN).all())
    lost = lost_data(np.asarray(image), config.grey_share) if maybe and config.grey_share else ""
    mean, std = _moments(np.broadcast_to(counts, (3, 256)))
    seen = _Seen(width, height, counts, std, lost)
    faults = [Problem(path, *found) for found in seen.faults(config)]
    problems = (*faults, *(Problem(path, *found, Severity.NOTE) for found in _notes(path, kind, orientation)))
    flat = {"nearly-black", "blank"} & {problem.reason for problem in problems}
    return PhotoFinding(
        path, problems, digest, kind, width, height, _triple(mean), _triple(std), None if flat else hash_photo(image)
    )


def _decode(path: Path, max_pixels: int) -> tuple[Image.Image, int]:
    """The whole photo, upright, in mode RGB or L, and the EXIF orientation that it had."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            width, height = image.size
            if width * height > max_pixels:
                message = f"{width} x {height} pixels is past the limit of {max_pixels:,}"
                raise _Refused("too-many-pixels", message, "make the photo smaller or remove it")
            # Pillow turns a TIFF upright as it loads, and takes the tag away; a PNG is loaded to look for the tag, and
            # where that fails it must not pass for a photo without one.
            orientation = exif_orientation(image) if image.format == "TIFF" else 1
            image.load()
            orientation = max(orientation, exif_orientation(image))
            if image.mode not in ("RGB", "L") or "transparency" in image.info:
                return Image.fromarray(image_to_array(image)), orientation
            turn = UPRIGHT.get(exif_orientation(image))
            return image.copy() if turn is None else image.transpose(turn), orientation
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        message = f"too many pixels, the limit is {max_pixels:,} ({str(error).split(',')[0]})"
        raise _Refused("too-many-pixels", message, "make the photo smaller or remove it") from None
    except UnidentifiedImageError:
        reason = "photo-broken" if seems_whole(path) else "truncated"
        raise _Refused(reason, "the header cannot be read", "copy the photo again") from None
    except _BROKEN as error:
        cut = "truncated" in str(error).lower() or not seems_whole(path)
        message = f"the file ends early ({error})" if cut else f"the photo is damaged ({error})"
        raise _Refused("truncated" if cut else "photo-broken", message, "copy it again or remove it") from None


def _has_end(path: Path) -> bool:
    """Whether a JPEG has its end marker after its last scan; some cameras append more than a look at the end sees."""
    data = path.read_bytes()
    return data.rfind(b"\xff\xd9") > data.rfind(b"\xff\xda")


def _notes(path: Path, kind: str, orientation: int) -> Iterator[tuple[str, str, str]]:
    if path.suffix and path.suffix.lower() not in ENDINGS[kind]:
        yield "wrong-type", f"is a {kind} file, not {path.suffix}", f"rename it to end with {ENDINGS[kind][0]}"
    if orientation != 1:
        message = f"is turned upright by its EXIF orientation {orientation}"
        yield "exif-rotated", message, "look at its boxes: some tools draw them on the photo as it lies"


@dataclass(frozen=True)
class _Seen:
    """What the decoded photo shows."""

    width: int
    height: int
    counts: NDArray[np.int64]
    """Histogram (C, 256) of one or three channels."""
    std: NDArray[np.float64]
    lost: str

    def faults(self, config: QualityConfig) -> Iterator[tuple[str, str, str]]:
        """Reason, message and hint of each fault of the pixels."""
        if min(self.width, self.height) < config.min_side:
            message = f"{self.width} x {self.height} pixels, the shorter side should have {config.min_side}"
            yield "too-small", message, "take a larger version of the photo"
        bright = _bright_level(self.counts)
        if bright < config.black_level:
            yield "nearly-black", f"99 % of it is darker than {bright + 1} of 255", "remove it: nothing can be seen"
        elif self.std.max() < config.blank_spread:
            message = f"one flat colour (it spreads by {self.std.max():.2g} of 255)"
            yield "blank", message, "remove it: nothing can be seen"
        elif self.lost:
            yield "corrupted-colour", self.lost, "copy the photo again: its file is damaged"
        elif (dead := self.std.min()) < 0.5 and self.std.max() > 8 * config.blank_spread:
            name = ("red", "green", "blue")[int(np.argmin(self.std))]
            message = f"its {name} is the same everywhere (it spreads by {dead:.2g}), its other colours are not"
            yield "corrupted-colour", message, "copy the photo again, or look at how it was made"


def lost_data(photo: NDArray[np.uint8], share: float) -> str:
    """What in the pixels of a JPEG, (H, W) or (H, W, 3), shows that data is missing; "" where nothing does.

    Decoders go on after an error in the data and leave what they do not know in one grey, most often down to the end:
    where the last row ends in it that is a sign however little it is, unless the photo also begins with it, as a
    drawing on grey paper does. Elsewhere ``share`` of all 8 x 8 blocks must be of that grey.
    """
    height, width = photo.shape[:2]
    grey = (photo.reshape(height, width, -1) == LOST).all(axis=2)  # (H, W)
    blocks = grey[: height // 8 * 8, : width // 8 * 8].reshape(height // 8, 8, width // 8, 8).all(axis=(1, 3))
    found = float(blocks.mean()) if blocks.size else 0.0
    if found >= share:
        return f"{found:.0%} of it is the grey that stands for lost data"
    if grey[-1, -LOST_RUN:].all() and not grey[0, :8].all():
        return "it ends in the grey that stands for lost data: some of it is missing, and what follows is shifted"
    return ""


def _bright_level(counts: NDArray[np.int64]) -> int:
    """The level that 99 % of the values of the brightest channel do not pass."""
    shares = counts.cumsum(axis=1) / counts.sum(axis=1, keepdims=True)  # (C, 256)
    return int((shares < 0.99).sum(axis=1).max())


def _moments(counts: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation (C,) of each channel from its histogram (C, 256)."""
    levels = np.arange(256)
    total = counts.sum(axis=1)
    mean = counts @ levels / total
    return mean, np.sqrt(np.maximum(counts @ levels**2 / total - mean**2, 0))


def _triple(values: NDArray[np.float64]) -> tuple[float, float, float]:
    r, g, b = values.tolist()
    return r, g, b
