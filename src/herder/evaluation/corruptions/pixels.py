"""What the corruptions share: between 8 bits and 0..1, strip by strip, and one Gaussian blur.

Photos are (H, W, 3) uint8 RGB; in between they are float32 with 0..1 for black to white.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from herder.boxes import FloatArray

Photo = NDArray[np.uint8]

STRIP = 2_000_000
"""Pixels that noise is drawn for at once: random numbers of 8 bytes for a whole large photo would fill the memory."""


def unit(photo: Photo) -> FloatArray:
    """Values 0..255 as 0..1."""
    return np.asarray(photo, np.float32) / np.float32(255)


def as_photo(values: FloatArray) -> Photo:
    """Values 0..1, cut at both ends, as 0..255; rounded, where the published code drops the fraction."""
    return np.asarray(np.rint(np.clip(values, 0, 1) * 255), np.uint8)


def by_strips(photo: Photo, change: Callable[[FloatArray], FloatArray]) -> Photo:
    """Change a photo strip of rows by strip of rows; for changes that look at one pixel at a time."""
    rows = max(1, STRIP // photo.shape[1])
    strips = [as_photo(change(unit(photo[y : y + rows]))) for y in range(0, photo.shape[0], rows)]
    return np.concatenate(strips)


def gaussian_blur(values: FloatArray, sigma: float | tuple[float, float]) -> FloatArray:
    """Blur (H, W) or (H, W, C) by ``sigma`` pixels, down and across where they differ.

    Cut at four sigma and with the edge's pixels repeated beyond it, as in scikit-image's ``gaussian``.
    """
    down, across = (sigma, sigma) if isinstance(sigma, float) else sigma
    size = tuple(2 * int(4 * s + 0.5) + 1 for s in (across, down))
    blurred = cv2.GaussianBlur(values, size, sigmaX=across, sigmaY=down, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(blurred, np.float32)
