"""Pictures to learn to draw: scikit-learn's digits, or any folder of photos.

Notation: N pictures, C channels (1 grey, 3 RGB), S side in pixels.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from herder.errors import ConfigError, DataError, MissingExtraError
from herder.images import IMAGE_SUFFIXES, read_image

SIDES = (8, 256)
"""Least and greatest side in pixels: below, nothing is to be seen; above, these small networks learn nothing."""


@dataclass(frozen=True)
class SetAside:
    """A photo, or a label of one, that could not be used, and why."""

    path: Path
    why: str
    hint: str = ""

    def __str__(self) -> str:
        text = f"{self.path}: {self.why}"
        return f"{text} ({self.hint})" if self.hint else text


@dataclass(frozen=True, eq=False)
class Pictures:
    """Square pictures ``images`` (N, C, S, S) float32 from -1 (black) to 1 (white), and what is known of them.

    ``labels`` (N,) int64 point into ``class_names``; None where the pictures have no classes.
    Raises ValueError when the parts do not fit together.

    >>> len(Pictures(torch.zeros(5, 3, 16, 16)))
    5
    """

    images: Tensor
    labels: Tensor | None = None
    class_names: tuple[str, ...] = ()
    set_aside: tuple[SetAside, ...] = ()

    def __post_init__(self) -> None:
        shape = tuple(self.images.shape)
        if len(shape) != 4 or shape[1] not in (1, 3) or shape[2] != shape[3] or self.images.dtype != torch.float32:
            raise ValueError(f"images: found {shape} of {self.images.dtype}, wanted (N, 1 or 3, S, S) of torch.float32")
        if self.labels is None:
            return
        if tuple(self.labels.shape) != shape[:1] or self.labels.dtype != torch.int64:
            raise ValueError(
                f"labels: found {tuple(self.labels.shape)} of {self.labels.dtype}, wanted {shape[:1]} of torch.int64"
            )
        if len(self.labels) and not 0 <= int(self.labels.min()) <= int(self.labels.max()) < len(self.class_names):
            raise ValueError(
                f"labels: found {int(self.labels.min())} to {int(self.labels.max())}, wanted 0 to "
                f"{len(self.class_names) - 1}, as there are {len(self.class_names)} class names"
            )

    def __len__(self) -> int:
        return len(self.images)

    @property
    def channels(self) -> int:
        """1 for grey, 3 for RGB."""
        return int(self.images.shape[1])

    @property
    def size(self) -> int:
        """Side of a picture in pixels."""
        return int(self.images.shape[2])


def digits() -> Pictures:
    """The 1,797 handwritten digits that scikit-learn carries: (1797, 1, 8, 8), classes "0" to "9".

    Alpaydin and Kaynak (1998), https://archive.ics.uci.edu/dataset/80. White ink on black; nothing is downloaded.
    Raises MissingExtraError where scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise MissingExtraError("the handwritten digits", "learn") from error
    bunch = load_digits()
    ink = torch.from_numpy(np.asarray(bunch.images, np.float32))  # (1797, 8, 8), 0 to 16
    labels = torch.from_numpy(np.asarray(bunch.target, np.int64))  # (1797,)
    return Pictures((ink / 8 - 1)[:, None], labels, tuple(str(name) for name in bunch.target_names))


def photo_folder(path: Path, size: int, *, progress: Callable[[int, int], None] | None = None) -> Pictures:
    """Every readable photo in the folder ``path`` and the folders in it, its middle square as ``size`` x ``size`` RGB.

    Photos that cannot be read stand in ``set_aside``; ``progress`` hears (photos done, photos in all).
    Raises DataError when the folder is missing or holds no photo that can be used, ConfigError for a size out of range.
    """
    check_size(size)
    paths = _list_photos(Path(path))
    if not paths:
        endings = ", ".join(sorted(IMAGE_SUFFIXES))
        raise DataError(f"{path}: no photos in this folder", hint=f"photos are files that end in {endings}")
    images: list[Tensor] = []
    broken: list[SetAside] = []
    for done, photo in enumerate(paths, 1):
        try:
            images.append(from_photo(centre_square(read_image(photo)), size))
        except DataError as error:
            broken.append(SetAside(photo, error.message.removeprefix(f"{photo}: "), error.hint))
        if progress is not None:
            progress(done, len(paths))
    if not images:
        raise DataError(f"{path}: none of the {len(paths)} photos can be used; the first: {broken[0]}")
    return Pictures(torch.stack(images), set_aside=tuple(broken))


def centre_square(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The middle square (s, s, 3) of a photo (H, W, 3), s the shorter of its sides."""
    height, width = photo.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return photo[top : top + side, left : left + side]


def from_photo(photo: NDArray[np.uint8], size: int) -> Tensor:
    """A photo (H, W, 3) uint8 as a picture (3, size, size) float32 in [-1, 1]; sides that differ are squeezed."""
    # Averaging over areas is the only one of OpenCV's ways that does not alias where a photo gets much smaller.
    how = cv2.INTER_AREA if min(photo.shape[:2]) > size else cv2.INTER_LINEAR
    small = cv2.resize(photo, (size, size), interpolation=how)  # (S, S, 3)
    return torch.from_numpy(small.astype(np.float32)).permute(2, 0, 1) / 127.5 - 1


def to_photo(picture: Tensor) -> NDArray[np.uint8]:
    """A picture (1 or 3, H, W) in [-1, 1] as RGB (H, W, 3) uint8, as files and ``herder.drawing`` take it.

    Values outside are clipped. Raises ValueError for another shape.

    >>> to_photo(torch.zeros(1, 2, 2))[0, 0].tolist()
    [128, 128, 128]
    """
    if picture.ndim != 3 or picture.shape[0] not in (1, 3):
        raise ValueError(f"picture: found {tuple(picture.shape)}, wanted (1 or 3, H, W)")
    values = ((picture.detach().float().cpu() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    photo: NDArray[np.uint8] = values.expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy()
    return photo


def check_size(size: int) -> None:
    """Raise ConfigError for a side that pictures cannot have."""
    if not SIDES[0] <= size <= SIDES[1]:
        raise ConfigError(
            f"size: {size} pixels do not fit, wanted {SIDES[0]} to {SIDES[1]}", hint="32 is quick, 64 shows more"
        )


def _list_photos(folder: Path) -> list[Path]:
    """Photos under ``folder``, sorted, without hidden ones. Raises DataError where it is no readable folder."""
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "no such folder"
        raise DataError(f"{folder}: {what}", hint="name a folder of photos")

    def fail(error: OSError) -> None:
        raise DataError(
            f"{error.filename or folder}: the folder cannot be read ({error.strerror})", hint="check its permissions"
        ) from None

    found = []
    for here, folders, names in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(here, name) for name in names if not name.startswith(".")]
    return sorted(path for path in found if path.suffix.lower() in IMAGE_SUFFIXES)
