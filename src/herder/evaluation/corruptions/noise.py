"""Noise: Gaussian, shot and impulse, with the parameters of ImageNet-C.

Source: D. Hendrycks and T. Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations", ICLR 2019, https://arxiv.org/abs/1903.12261.
"""

from __future__ import annotations

import numpy as np

from herder.boxes import FloatArray
from herder.evaluation.corruptions.pixels import Photo, by_strips

GAUSSIAN_DEVIATION = (0.08, 0.12, 0.18, 0.26, 0.38)
"""Standard deviation of the noise, 1 is white."""

SHOT_PHOTONS = (60.0, 25.0, 12.0, 5.0, 3.0)
"""Photons that white stands for."""

IMPULSE_SHARE = (0.03, 0.06, 0.09, 0.17, 0.27)
"""Share of the values that become black or white."""


def gaussian_noise(photo: Photo, severity: int, rng: np.random.Generator) -> Photo:
    """Noise of an amplifier in poor light: the same everywhere, each colour by itself."""
    deviation = np.float32(GAUSSIAN_DEVIATION[severity - 1])

    def change(values: FloatArray) -> FloatArray:
        return values + deviation * rng.standard_normal(values.shape, np.float32)

    return by_strips(photo, change)


def shot_noise(photo: Photo, severity: int, rng: np.random.Generator) -> Photo:
    """Noise of light itself, that comes in whole photons: Poisson, stronger where it is bright."""
    photons = SHOT_PHOTONS[severity - 1]

    def change(values: FloatArray) -> FloatArray:
        return np.asarray(rng.poisson(values * photons) / photons, np.float32)

    return by_strips(photo, change)


def impulse_noise(photo: Photo, severity: int, rng: np.random.Generator) -> Photo:
    """Salt and pepper: values lost on the way, half of them to white and half to black, each colour by itself."""
    half = IMPULSE_SHARE[severity - 1] / 2

    def change(values: FloatArray) -> FloatArray:
        draw = rng.random(values.shape, np.float32)
        return np.where(draw < half, np.float32(0), np.where(draw >= 1 - half, np.float32(1), values))

    return by_strips(photo, change)
