"""Scale: the animals nearer or farther than the photo has them.

Smaller: the photo is shrunk and laid at a random place on a canvas of its old size, of the grey that letterboxes have.
Larger: half of the photo, near an animal, is enlarged to the old size. Either way the network gets a photo of the same
size, in which the animals have another. Boxes follow; what is cut off or under a pixel is no longer to be found.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from herder.boxes import PAD_VALUE, FloatArray, area, clip
from herder.evaluation.corruptions.pixels import Photo

SCALE = (0.75, 2.0, 0.5, 0.25, 0.125)
"""Size of the animals by their old one. Severity goes by octaves away from 1; of two as far, the larger comes first."""

MIN_SIDE = 1.0
"""A box with a shorter side, in pixels, is no longer in the photo."""

MIN_VISIBLE = 0.1
"""A box of which a smaller share lies in the photo is no longer in it."""

WINDOWS = 24
"""Windows that are tried for an enlargement: the one that cuts the fewest animals is taken."""


def scale(
    photo: Photo, severity: int, rng: np.random.Generator, boxes: FloatArray, ignore: NDArray[np.bool_]
) -> tuple[Photo, FloatArray, NDArray[np.bool_]]:
    """The photo (H, W, 3) with all objects larger or smaller, its boxes (N, 4), and which (N,) are still in it."""
    factor = SCALE[severity - 1]
    return _enlarged(photo, factor, rng, boxes, ignore) if factor > 1 else _shrunk(photo, factor, rng, boxes)


def _shrunk(
    photo: Photo, factor: float, rng: np.random.Generator, boxes: FloatArray
) -> tuple[Photo, FloatArray, NDArray[np.bool_]]:
    height, width = photo.shape[:2]
    rows, columns = max(1, round(height * factor)), max(1, round(width * factor))
    top, left = int(rng.integers(height - rows + 1)), int(rng.integers(width - columns + 1))
    canvas = np.full_like(photo, PAD_VALUE)
    canvas[top : top + rows, left : left + columns] = cv2.resize(photo, (columns, rows), interpolation=cv2.INTER_AREA)
    factors = np.array([columns / width, rows / height] * 2)
    moved = np.asarray(boxes * factors + np.array([left, top] * 2), np.float32)
    return canvas, *_inside(moved, width, height)


def _enlarged(
    photo: Photo, factor: float, rng: np.random.Generator, boxes: FloatArray, ignore: NDArray[np.bool_]
) -> tuple[Photo, FloatArray, NDArray[np.bool_]]:
    height, width = photo.shape[:2]
    rows, columns = max(1, round(height / factor)), max(1, round(width / factor))
    top, left = _window(photo.shape[:2], (rows, columns), rng, boxes[~ignore])
    part = photo[top : top + rows, left : left + columns]
    enlarged = cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR)
    factors = np.array([width / columns, height / rows] * 2)
    moved = np.asarray((boxes - np.array([left, top] * 2)) * factors, np.float32)
    return np.asarray(enlarged, np.uint8), *_inside(moved, width, height)


def _window(
    size: tuple[int, ...], window: tuple[int, int], rng: np.random.Generator, boxes: FloatArray
) -> tuple[int, int]:
    """Top and left of a window (rows, columns) in a photo (height, width): of several the one that cuts boxes least.

    Each holds the middle of one box where there is one; without boxes the first random one is taken.
    """
    limits = np.array(size) - np.array(window)
    corners = rng.integers(0, limits + 1, (WINDOWS, 2))  # (w, 2) top, left
    if not len(boxes):
        return int(corners[0, 0]), int(corners[0, 1])
    chosen = boxes[rng.integers(0, len(boxes), WINDOWS)]  # (w, 4)
    middle = np.stack([chosen[:, 1] + chosen[:, 3], chosen[:, 0] + chosen[:, 2]], axis=1) / 2
    corners = np.floor(middle - rng.uniform(0.2, 0.8, (WINDOWS, 2)) * window).astype(np.int64)
    corners = np.clip(corners, 0, limits)
    views = np.concatenate([corners[:, ::-1], corners[:, ::-1] + np.array(window)[::-1]], axis=1)  # (w, 4) xyxy
    low = np.maximum(boxes[:, None, :2], views[None, :, :2])  # (n, w, 2)
    high = np.minimum(boxes[:, None, 2:], views[None, :, 2:])
    seen = np.prod(np.maximum(high - low, 0), axis=2) / np.maximum(area(boxes), 1e-6)[:, None]  # (n, w)
    # A box half in and half out is the worst; one that is wholly in counts for the window.
    worth = (seen - 2 * seen * (1 - seen)).sum(axis=0)
    best = int(worth.argmax())
    return int(corners[best, 0]), int(corners[best, 1])


def _inside(boxes: FloatArray, width: int, height: int) -> tuple[FloatArray, NDArray[np.bool_]]:
    """The boxes cut at the border, and which of them are still to be found."""
    cut = clip(boxes, width, height)
    sides = cut[:, 2:] - cut[:, :2]
    visible = area(cut) >= MIN_VISIBLE * area(boxes)
    return cut, np.asarray((sides >= MIN_SIDE).all(axis=1) & visible)
