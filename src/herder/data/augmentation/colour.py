"""Changing colours and sharpness; boxes stay where they are."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from herder.data.augmentation.sample import Sample
from herder.data.augmentation.settings import AugmentationConfig

_LEVELS = np.arange(256, dtype=np.float64)


def hsv(rng: np.random.Generator, sample: Sample, config: AugmentationConfig) -> Sample:
    """Move the hue and multiply saturation and brightness by random factors, through one table a channel."""
    if config.hue == config.saturation == config.value == 0:
        return sample
    hue, saturation, value = rng.uniform(-1, 1, 3) * (config.hue, config.saturation, config.value)
    table = np.empty((1, 256, 3), np.uint8)
    table[0, :, 0] = np.round(_LEVELS + hue * 180) % 180  # OpenCV's 8-bit hue counts in steps of two degrees
    table[0, :, 1] = np.minimum(np.round(_LEVELS * (1 + saturation)), 255)
    table[0, :, 2] = np.minimum(np.round(_LEVELS * (1 + value)), 255)
    image = cv2.cvtColor(sample.image, cv2.COLOR_RGB2HSV)
    image = cv2.cvtColor(cv2.LUT(image, table), cv2.COLOR_HSV2RGB)
    return replace(sample, image=image.astype(np.uint8, copy=False))


def grey(sample: Sample) -> Sample:
    """Take all colour out: three equal channels."""
    image = cv2.cvtColor(cv2.cvtColor(sample.image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return replace(sample, image=image.astype(np.uint8, copy=False))


def blur(rng: np.random.Generator, sample: Sample) -> Sample:
    """Blur with a Gaussian whose sigma is 0.3 to 1.5 pixels."""
    image = cv2.GaussianBlur(sample.image, (0, 0), rng.uniform(0.3, 1.5))
    return replace(sample, image=image.astype(np.uint8, copy=False))
