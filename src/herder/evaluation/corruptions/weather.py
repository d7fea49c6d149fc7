"""Weather: snow, fog and a bright sky, with the parameters of ImageNet-C; frost has a file of its own.

Source: D. Hendrycks and T. Dietterich, ICLR 2019, https://arxiv.org/abs/1903.12261; for photos of any size as in COCO-C
(C. Michaelis et al., 2019, https://arxiv.org/abs/1907.07484).
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from herder.boxes import FloatArray
from herder.evaluation.corruptions.blur import trail
from herder.evaluation.corruptions.pixels import Photo, as_photo, by_strips, unit
from herder.evaluation.corruptions.plasma import plasma

SNOW = (
    (0.1, 0.3, 3.0, 0.5, 10, 4, 0.8),
    (0.2, 0.3, 2.0, 0.5, 12, 4, 0.7),
    (0.55, 0.3, 4.0, 0.9, 12, 8, 0.7),
    (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
    (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
)
"""Mean and deviation of the noise that flakes are cut from, their size, the threshold, the trail (radius, sigma) of
their fall, and the share of the photo that is not whitened."""

FOG = ((1.5, 2.0), (2.0, 2.0), (2.5, 1.7), (2.5, 1.5), (3.0, 1.4))
"""How much brighter than white the fog is, and the decay of its octaves: less is patchier."""

BRIGHTNESS = (0.1, 0.2, 0.3, 0.4, 0.5)
"""What is added to the value of HSV, 1 is white."""


def snow(photo: Photo, severity: int, rng: np.random.Generator) -> Photo:
    """Falling flakes before a whitened photo."""
    mean, deviation, size, threshold, radius, sigma, kept = SNOW[severity - 1]
    height, width = photo.shape[:2]
    shape = (math.ceil(height / size), math.ceil(width / size))
    noise = np.asarray(rng.normal(mean, deviation, shape), np.float32)
    flakes = np.asarray(cv2.resize(noise, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    flakes = np.clip(np.where(flakes < threshold, np.float32(0), flakes), 0, 1)
    kernel = trail(int(radius), sigma, float(rng.uniform(-135, -45)))
    flakes = np.asarray(cv2.filter2D(flakes, -1, kernel, borderType=cv2.BORDER_REPLICATE), np.float32)[..., None]
    values = unit(photo)
    grey = cv2.cvtColor(values, cv2.COLOR_RGB2GRAY)[..., None]
    white = np.maximum(values, grey * 1.5 + 0.5)
    return as_photo(np.asarray(kept * values + (1 - kept) * white + flakes + flakes[::-1, ::-1], np.float32))


def fog(photo: Photo, severity: int, rng: np.random.Generator) -> Photo:
    """Clouds before the photo, made dimmer so that its brightest value stays the brightest."""
    strength, decay = FOG[severity - 1]
    values = unit(photo)
    brightest = float(values.max())
    clouds = plasma(photo.shape[0], photo.shape[1], decay, rng)[..., None]
    return as_photo(np.asarray((values + strength * clouds) * (brightest / (brightest + strength)), np.float32))


def brightness(photo: Photo, severity: int, rng: np.random.Generator) -> Photo:
    """Too bright: more value in HSV, hue and saturation as they were."""
    more = np.float32(BRIGHTNESS[severity - 1])

    def change(values: FloatArray) -> FloatArray:
        # The value of HSV is the largest of the three colours; to keep hue and saturation all grow by one factor.
        value = values.max(axis=2, keepdims=True)
        target = np.minimum(value + more, 1)
        return np.asarray(np.where(value > 0, values * (target / np.maximum(value, 1e-6)), target), np.float32)

    return by_strips(photo, change)
