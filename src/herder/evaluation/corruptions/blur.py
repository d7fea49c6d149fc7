"""Blur: out of focus, through glass, by motion and by zooming, with the parameters of ImageNet-C.

Source: D. Hendrycks and T. Dietterich, ICLR 2019, https://arxiv.org/abs/1903.12261. Sizes are in pixels of the photo
whatever its size, as in COCO-C (C. Michaelis et al., 2019, https://arxiv.org/abs/1907.07484). Two differ a little:

- Glass: the published code swaps pixels one after another, bottom to top. Here pixels that cannot meet are swapped
  together and only the order between distant pixels is another: still true swaps, of the same reach.
- Zoom: every layer is centred exactly; COCO-C cuts its layers from their top left corner.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from herder.boxes import FloatArray, IntArray
from herder.evaluation.corruptions.pixels import Photo, as_photo, gaussian_blur, unit

DEFOCUS = ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5))
"""Radius of the disk that a point becomes, and sigma of the blur that smooths the disk's edge."""

GLASS = ((0.7, 1, 2), (0.9, 2, 1), (1.0, 2, 3), (1.1, 3, 2), (1.5, 4, 2))
"""Sigma of the blur before and after, how far pixels are swapped, how often."""

MOTION = ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15))
"""Half the length of the trail less one, and the sigma of its fading."""

ZOOM = ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03))
"""Where the zoom from 1 on ends, and its steps."""


def defocus_blur(photo: Photo, severity: int, rng: np.random.Generator) -> Photo:
    """Out of focus: every point becomes a disk."""
    radius, sigma = DEFOCUS[severity - 1]
    return np.asarray(cv2.filter2D(photo, -1, disk(radius, sigma)), np.uint8)


def glass_blur(photo: Photo, severity: int, rng: np.random.Generator) -> Photo:
    """Through frosted glass: pixels change places with their neighbours."""
    sigma, reach, rounds = GLASS[severity - 1]
    height, width = photo.shape[:2]
    blurred = as_photo(gaussian_blur(unit(photo), sigma)).reshape(-1, 3)
    source = swapped_neighbours(height, width, reach, rounds, rng)
    return as_photo(gaussian_blur(unit(blurred[source].reshape(photo.shape)), sigma))


def motion_blur(photo: Photo, severity: int, rng: np.random.Generator) -> Photo:
    """The camera moves: every point draws a fading trail, within 45 degrees of level."""
    radius, sigma = MOTION[severity - 1]
    kernel = trail(radius, sigma, float(rng.uniform(-45, 45)))
    return np.asarray(cv2.filter2D(photo, -1, kernel, borderType=cv2.BORDER_REPLICATE), np.uint8)


def zoom_blur(photo: Photo, severity: int, rng: np.random.Generator) -> Photo:
    """The camera moves towards the middle of the photo: the mean of the photo and its enlargements."""
    factors = zoom_factors(severity)
    height, width = photo.shape[:2]
    total = np.array(photo, np.float32)
    for factor in factors:
        # The middle of the photo stays where it is.
        matrix = np.array([[factor, 0, (1 - factor) * (width - 1) / 2], [0, factor, (1 - factor) * (height - 1) / 2]])
        layer = cv2.warpAffine(photo, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        total += layer
    return as_photo(total / np.float32(255 * (len(factors) + 1)))


def zoom_factors(severity: int) -> list[float]:
    """The enlargements of a zoom; the first is the photo itself, which therefore counts twice, as published."""
    end, step = ZOOM[severity - 1]
    return [float(factor) for factor in np.arange(1, end, step)]


def disk(radius: int, sigma: float) -> FloatArray:
    """The kernel (K, K) of a lens out of focus: a disk of sum 1, its edge smoothed by a blur of ``sigma``.

    Where the disk fills the kernel (radius 8 and 10) the smoothing mirrors its edge, and the sum becomes 1.01, as in
    the published code: such photos are 1 % brighter.
    """
    reach = max(8, radius)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    sharp = np.asarray(x**2 + y**2 <= radius**2, np.float32)
    size = 3 if radius <= 8 else 5
    return np.asarray(cv2.GaussianBlur(sharp / sharp.sum(), (size, size), sigmaX=sigma), np.float32)


def trail(radius: int, sigma: float, degrees: float) -> FloatArray:
    """The kernel (K, K) of a motion: ``2 radius + 1`` points of sum 1 on a line, fading as half a Gaussian."""
    steps = np.arange(2 * radius + 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    angle = math.radians(degrees)
    # A point goes by (-down, -across); a correlation looks the other way.
    down, across = (np.ceil(steps * f - 0.5).astype(np.int64) for f in (math.sin(angle), math.cos(angle)))
    kernel = np.zeros((4 * radius + 1, 4 * radius + 1), np.float32)
    np.add.at(kernel, (2 * radius + down, 2 * radius + across), weights / weights.sum())
    return kernel


def swapped_neighbours(height: int, width: int, reach: int, rounds: int, rng: np.random.Generator) -> IntArray:
    """Where each pixel of a photo comes from, (H * W,) row by row, after every one was swapped with one near it.

    A pixel changes places with one at most ``reach`` up or left of it, or ``reach - 1`` down or right. Pixels
    ``2 * reach`` apart cannot meet in this, and are swapped in one go.
    """
    source = np.arange(height * width)
    step = 2 * reach
    for _ in range(rounds):
        for bottom in range(height - reach, max(height - reach - step, reach), -1):
            for right in range(width - reach, max(width - reach - step, reach), -1):
                rows = np.arange(bottom, reach, -step)[:, None]  # (h, 1)
                columns = np.arange(right, reach, -step)[None, :]  # (1, w)
                shift = rng.integers(-reach, reach, (2, rows.shape[0], columns.shape[1]))
                here = rows * width + columns  # (h, w)
                there = here + shift[0] * width + shift[1]
                source[here], source[there] = source[there], source[here]
    return source
