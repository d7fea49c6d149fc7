"""Frost: ice on the lens, with the mixing of ImageNet-C and ice that is drawn.

Source of the mixing: D. Hendrycks and T. Dietterich, ICLR 2019, https://arxiv.org/abs/1903.12261. Theirs lays one of
five photos of ice over the photo. Those are not here: feathers of ice, branches at 60 degrees as in ice crystals, grow
from seeds that lie more often near the border. Numbers for frost therefore compare with one another, not with a paper.
"""

from __future__ import annotations

import cv2
import numpy as np

from herder.boxes import FloatArray
from herder.evaluation.corruptions.pixels import Photo, as_photo, gaussian_blur, unit
from herder.evaluation.corruptions.plasma import plasma
from herder.evaluation.tables import DoubleArray

FROST = ((1.0, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75))
"""How much of the photo and of the ice is added up."""

LONGEST = 640
"""Longer side in pixels that ice is drawn at: crystals have one size on the lens, whatever the camera's resolution."""

FEATHERS = 70
BRANCHES = 16
TWIGS = 5
"""Feathers in a photo, branches on either side of each, twigs on either side of a branch."""

BRANCHING = np.pi / 3
"""Ice is hexagonal: it branches at 60 degrees."""

THIN_ICE = np.array([0.36, 0.44, 0.52], np.float32)
THICK_ICE = np.array([0.86, 0.92, 0.97], np.float32)
"""Colours (RGB) of a film of ice, and of ice that is thick enough to be white."""


def frost(photo: Photo, severity: int, rng: np.random.Generator) -> Photo:
    """The photo through an icy lens."""
    clear, icy = FROST[severity - 1]
    height, width = photo.shape[:2]
    return as_photo(clear * unit(photo) + icy * ice(height, width, rng))


def ice(height: int, width: int, rng: np.random.Generator) -> FloatArray:
    """A picture (H, W, 3) of ice, 0..1: dark blue where the lens is clear, white where feathers lie."""
    scale = min(1.0, LONGEST / max(height, width))
    rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
    feathers = np.zeros((rows, columns), np.uint8)
    unit_length = max(rows, columns)
    for segments, brightness in feather_segments(rows, columns, unit_length, rng):
        # A few thousand lines in one call; 1/16 of a pixel keeps them smooth.
        lines = np.rint(segments * 16).astype(np.int32)
        cv2.polylines(feathers, list(lines), False, brightness, 1, cv2.LINE_AA, 4)
    crisp = np.asarray(feathers, np.float32) / np.float32(255)
    halo = gaussian_blur(crisp, unit_length / 60)
    patches = plasma(rows, columns, 1.6, rng)
    thickness = np.clip(0.55 * crisp + 0.9 * halo + 0.9 * (patches - 0.35), 0, 1)[..., None]  # (h, w, 1)
    picture = THIN_ICE * 0.6 * (1 - thickness) + THICK_ICE * thickness
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def feather_segments(
    rows: int, columns: int, unit_length: int, rng: np.random.Generator
) -> list[tuple[DoubleArray, int]]:
    """The lines of all feathers, (S, 2, 2) x and y of both ends in pixels, and how bright: stems, branches, twigs."""
    # Beta(0.5, 0.5) lies near 0 and 1: ice grows from the rim inwards.
    place = rng.beta(0.5, 0.5, (FEATHERS, 2)) * (columns, rows)
    angle = rng.uniform(0, 2 * np.pi, FEATHERS)
    length = unit_length * rng.uniform(0.08, 0.3, FEATHERS)
    stems = _rays(place, angle, length)
    place, angle, length = _branch(place, angle, length, BRANCHES, 0.4, rng)
    branches = _rays(place, angle, length)
    twigs = _rays(*_branch(place, angle, length, TWIGS, 0.35, rng))
    return [(twigs, 110), (branches, 170), (stems, 230)]


def _branch(
    place: DoubleArray, angle: DoubleArray, length: DoubleArray, count: int, ratio: float, rng: np.random.Generator
) -> tuple[DoubleArray, DoubleArray, DoubleArray]:
    """Start (M, 2), angle (M,) and length (M,) of the branches on both sides of rays, shorter towards the tip."""
    along = np.linspace(0.05, 0.95, count)  # (c,)
    start = place[:, None] + _direction(angle)[:, None] * (length[:, None] * along)[..., None]  # (N, c, 2)
    side = np.array([-BRANCHING, BRANCHING])
    grown = length[:, None] * ratio * (1 - along) * rng.uniform(0.5, 1, (len(length), count))  # (N, c)
    starts = np.repeat(start.reshape(-1, 2), 2, axis=0)
    angles = (np.repeat(angle, count)[:, None] + side).reshape(-1)
    return starts, np.asarray(angles, np.float64), np.repeat(grown.reshape(-1), 2)


def _rays(place: DoubleArray, angle: DoubleArray, length: DoubleArray) -> DoubleArray:
    """Both ends (N, 2, 2) of rays from ``place`` (N, 2)."""
    return np.asarray(np.stack([place, place + _direction(angle) * length[:, None]], axis=1), np.float64)


def _direction(angle: DoubleArray) -> DoubleArray:
    """Unit vectors (N, 2) of angles (N,)."""
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)
