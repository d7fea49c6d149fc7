"""Plasma: fractal clouds by the diamond-square algorithm, for fog, frost and textures.

Source: A. Fournier, D. Fussell and L. Carpenter, "Computer rendering of stochastic models", 1982,
https://doi.org/10.1145/358523.358553, on a torus, as ImageNet-C has it.
"""

from __future__ import annotations

import cv2
import numpy as np

from herder.boxes import FloatArray

LARGEST = 1024
"""The side at which drawing ends: what a larger photo would add is fainter than 8 bits can show."""


def plasma(height: int, width: int, decay: float, rng: np.random.Generator) -> FloatArray:
    """Clouds (H, W) between 0 and 1: each octave is ``decay ** 2`` times fainter than the one before.

    The largest cloud has the size of the next power of two from the longer side, as in COCO-C.
    """
    side = 1 << (max(height, width, 2) - 1).bit_length()
    drawn = min(side, LARGEST)
    clouds = diamond_square(drawn, decay, rng)
    if drawn == side:
        return clouds[:height, :width]
    rows, columns = (max(1, -(-length * drawn // side)) for length in (height, width))
    return np.asarray(cv2.resize(clouds[:rows, :columns], (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def diamond_square(side: int, decay: float, rng: np.random.Generator) -> FloatArray:
    """Clouds (side, side) from 0 to 1 that repeat without a seam; ``side`` is a power of two."""
    clouds = np.zeros((side, side), np.float32)
    step, strength = side, 1.0

    def rough(mean_of: FloatArray) -> FloatArray:
        return np.asarray(mean_of / 4 + strength * rng.uniform(-1, 1, mean_of.shape), np.float32)

    while step >= 2:
        half = step // 2
        corners = clouds[::step, ::step]
        pairs = corners + np.roll(corners, -1, axis=0)
        clouds[half::step, half::step] = rough(pairs + np.roll(pairs, -1, axis=1))
        middles = clouds[half::step, half::step]
        # What lies on the squares' edges has two corners and two middles beside it.
        clouds[::step, half::step] = rough(
            corners + np.roll(corners, -1, axis=1) + middles + np.roll(middles, 1, axis=0)
        )
        clouds[half::step, ::step] = rough(
            corners + np.roll(corners, -1, axis=0) + middles + np.roll(middles, 1, axis=1)
        )
        step, strength = half, strength / decay**2
    clouds -= clouds.min()
    return np.asarray(clouds / np.maximum(clouds.max(), np.finfo(np.float32).tiny), np.float32)
