"""Low light: less exposure, the camera's gain, a darker tone curve and the noise of the sensor.

The photo is taken back to linear light (IEC 61966-2-1, sRGB). There the exposure is lowered; photons and the sensor's
electronics add noise (shot noise and read noise, as in K. Wei et al., "A Physics-based Noise Formation Model for
Extreme Low-light Raw Denoising", CVPR 2020, https://arxiv.org/abs/2003.12751); the camera's gain brings a part of the
lost light back, with the noise. The tone curve is darkened by a gamma, as in F. Lv et al., "Attention Guided Low-light
Image Enhancement with a Large Scale Low-light Simulation Dataset", 2019, https://arxiv.org/abs/1908.00682.
"""

from __future__ import annotations

import numpy as np

from herder.boxes import FloatArray
from herder.evaluation.corruptions.pixels import Photo, by_strips

LOW_LIGHT = ((3.0, 1.5, 1.1), (4.5, 2.5, 1.2), (6.0, 3.5, 1.3), (7.0, 4.0, 1.4), (8.0, 4.5, 1.5))
"""Stops of light lost, stops that the gain brings back, gamma of the tone curve."""

FULL_WELL = 4000.0
"""Electrons that white stands for without loss: a small camera at its lowest ISO."""

READ_NOISE = 3.0
"""Standard deviation in electrons of what the electronics add."""


def low_light(photo: Photo, severity: int, rng: np.random.Generator) -> Photo:
    """The photo as if taken after sunset."""
    lost, gain, gamma = LOW_LIGHT[severity - 1]
    white = FULL_WELL * 2**-lost

    def change(values: FloatArray) -> FloatArray:
        electrons = rng.poisson(linear_light(values) * white) + READ_NOISE * rng.standard_normal(values.shape)
        light = np.clip(electrons / FULL_WELL * 2**gain, 0, 1)
        return np.asarray(display_value(np.asarray(light, np.float32)) ** gamma, np.float32)

    return by_strips(photo, change)


def linear_light(values: FloatArray) -> FloatArray:
    """sRGB values 0..1 as linear light 0..1."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def display_value(light: FloatArray) -> FloatArray:
    """Linear light 0..1 as sRGB values 0..1."""
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
