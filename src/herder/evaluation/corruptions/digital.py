"""What cameras and files do: low contrast, elastic pixels, coarse pixels, JPEG, with published parameters.

Source: D. Hendrycks and T. Dietterich, ICLR 2019, https://arxiv.org/abs/1903.12261; the elastic transform, which grows
with the photo, as in COCO-C (C. Michaelis et al., 2019, https://arxiv.org/abs/1907.07484).
"""

from __future__ import annotations

import io

import cv2
import numpy as np
from PIL import Image

from herder.boxes import FloatArray
from herder.evaluation.corruptions.pixels import Photo, by_strips, gaussian_blur

CONTRAST = (0.4, 0.3, 0.2, 0.1, 0.05)
"""What is left of the distance to the photo's mean colour."""

ELASTIC = (12.5, 16.25, 21.25, 25.0, 30.0)
"""Factor of the smoothed random shifts."""

ELASTIC_SIGMA = 0.01
ELASTIC_SHIFT = 0.005
"""Sigma of the smoothing by the photo's sides, and largest random shift before it, by the photo's height."""

PIXELATE = (0.6, 0.5, 0.4, 0.3, 0.25)
"""Sides of the photo that stays, by the old ones."""

JPEG_QUALITY = (25, 18, 15, 10, 7)
"""Quality of the JPEG file, of 100."""


def contrast(photo: Photo, severity: int, rng: np.random.Generator) -> Photo:
    """Flat light: every value nearer to the mean of its colour."""
    share = np.float32(CONTRAST[severity - 1])
    mean = np.asarray(photo.mean(axis=(0, 1)) / 255, np.float32)  # (3,)

    def change(values: FloatArray) -> FloatArray:
        return np.asarray((values - mean) * share + mean, np.float32)

    return by_strips(photo, change)


def elastic_transform(photo: Photo, severity: int, rng: np.random.Generator) -> Photo:
    """Stretched here, squeezed there, by one to a few pixels: too little to move a box."""
    height, width = photo.shape[:2]
    sigma = (height * ELASTIC_SIGMA, width * ELASTIC_SIGMA)
    y, x = (axis.astype(np.float32) for axis in np.mgrid[:height, :width])
    for axis in (x, y):
        shift = np.asarray(rng.uniform(-1, 1, (height, width)), np.float32) * np.float32(height * ELASTIC_SHIFT)
        axis += gaussian_blur(shift, sigma) * np.float32(ELASTIC[severity - 1])
    return np.asarray(cv2.remap(photo, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT), np.uint8)


def pixelate(photo: Photo, severity: int, rng: np.random.Generator) -> Photo:
    """Too few pixels, enlarged."""
    height, width = photo.shape[:2]
    share = PIXELATE[severity - 1]
    small = (max(1, int(width * share)), max(1, int(height * share)))
    image = Image.fromarray(photo).resize(small, Image.Resampling.BOX)
    # np.array and not asarray: what Pillow lends cannot be written to.
    return np.array(image.resize((width, height), Image.Resampling.NEAREST), np.uint8)


def jpeg_compression(photo: Photo, severity: int, rng: np.random.Generator) -> Photo:
    """Saved as a JPEG file that is much too small."""
    file = io.BytesIO()
    Image.fromarray(photo).save(file, "JPEG", quality=JPEG_QUALITY[severity - 1])
    with Image.open(file) as image:
        return np.array(image, np.uint8)
