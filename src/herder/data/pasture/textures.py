"""Noise that wraps around: the stuff that grass, wool and clouds are made of.

The tiles are made once a process from a fixed seed; a scene's own generator picks where it cuts from them, so that a
scene depends on nothing but its own seed.
"""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np

from herder.boxes import FloatArray

TILE = 512
"""Side of a tile in pixels."""


def _filtered(seed: int, gain: FloatArray) -> FloatArray:
    """White noise through a filter given in the frequency domain: mean 0, deviation 1, tiled 2 x 2 (2 * TILE, 2 *
    TILE)."""
    white = np.random.default_rng(seed).standard_normal((TILE, TILE))
    noise = np.fft.irfft2(np.fft.rfft2(white) * gain, s=(TILE, TILE))
    noise = ((noise - noise.mean()) / noise.std()).astype(np.float32)
    return np.tile(noise, (2, 2))


def _frequencies() -> FloatArray:
    """Cycles per tile (TILE, TILE // 2 + 1); the constant term counts as one cycle."""
    y, x = np.fft.fftfreq(TILE)[:, None] * TILE, np.fft.rfftfreq(TILE)[None, :] * TILE
    return np.asarray(np.maximum(np.hypot(y, x), 1), np.float32)


@lru_cache(maxsize=8)
def fractal(power: float) -> FloatArray:
    """Noise whose amplitude falls as ``frequency ** -power``: 0 is white, 1 grass, 2 clouds."""
    return _filtered(11, _frequencies() ** -np.float32(power))


@lru_cache(maxsize=2)
def curls() -> FloatArray:
    """Noise in one band of about 48 cycles a tile: locks of wool, leaves."""
    octaves = np.log2(_frequencies() / 48)
    return _filtered(12, np.asarray(np.exp(-(octaves**2) / 0.7), np.float32))


@lru_cache(maxsize=1)
def wool() -> FloatArray:
    """Curls with finer fibres over them."""
    return np.asarray(np.float32(0.75) * curls() + np.float32(0.35) * np.roll(fractal(0.5), 99, axis=(0, 1)))


def cut(tile: FloatArray, rng: np.random.Generator, height: int, width: int, zoom: tuple[float, float]) -> FloatArray:
    """A patch (height, width) from a random place of ``tile``; ``zoom`` is picture pixels per tile pixel, down and
    across."""
    rows = min(max(math.ceil(height / zoom[0]), 2), TILE)
    columns = min(max(math.ceil(width / zoom[1]), 2), TILE)
    top, left = (int(v) for v in rng.integers(0, TILE, 2))
    patch = tile[top : top + rows, left : left + columns]
    if patch.shape == (height, width):
        return patch
    return np.asarray(cv2.resize(patch, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
