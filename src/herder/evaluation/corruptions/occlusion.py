"""Occlusion: something stands before every animal and hides a known share of its box.

The cover has the form of a hedge that reaches in from one side, of a bush, of a board or of a fence, and the texture of
leaves, wood, stone or cloth. It hides exactly the share; only where boxes overlap, a neighbour's cover may add to it.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from herder.boxes import FloatArray
from herder.evaluation.corruptions.pixels import Photo, as_photo
from herder.evaluation.corruptions.plasma import plasma

HIDDEN_SHARE = (0.10, 0.25, 0.40, 0.55, 0.70)
"""Share of each box that is hidden."""

COLOURS = (
    ((38, 58, 20), (132, 160, 72)),
    ((58, 40, 26), (158, 122, 84)),
    ((70, 70, 68), (176, 172, 164)),
    ((30, 44, 84), (120, 140, 176)),
)
"""Dark and bright RGB of leaves, wood, stone and cloth."""

Grid = tuple[FloatArray, FloatArray]
Field = Callable[[Grid, np.random.Generator], FloatArray]


def occlusion(
    photo: Photo, severity: int, rng: np.random.Generator, boxes: FloatArray, ignore: NDArray[np.bool_]
) -> Photo:
    """Hide a share of each box (N, 4); those to ignore (a herd) get no cover, since nobody knows where its animals are.

    The largest box comes first: what its cover hides of a smaller one counts there.
    """
    covered = photo.copy()
    hidden = np.zeros(photo.shape[:2], np.bool_)
    size = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    for i in np.argsort(-size, kind="stable").tolist():
        if not ignore[i]:
            _cover(covered, hidden, boxes[i], HIDDEN_SHARE[severity - 1], rng)
    return covered


def _cover(photo: Photo, hidden: NDArray[np.bool_], box: FloatArray, share: float, rng: np.random.Generator) -> None:
    """Hide ``share`` of the pixels of ``box``, those that are hidden already counted; changes both arrays."""
    height, width = hidden.shape
    left, top = (min(max(int(np.floor(v)), 0), limit) for v, limit in zip(box[:2], (width, height), strict=True))
    right, bottom = (min(max(int(np.ceil(v)), 0), limit) for v, limit in zip(box[2:], (width, height), strict=True))
    if right <= left or bottom <= top:
        return
    rows, columns = bottom - top, right - left
    y, x = np.mgrid[:rows, :columns]
    grid = (np.asarray((y + 0.5) / rows, np.float32), np.asarray((x + 0.5) / columns, np.float32))
    field = FIELDS[int(rng.integers(len(FIELDS)))](grid, rng)
    texture = cover_texture(rows, columns, rng)
    inside = hidden[top:bottom, left:right]
    # The pixels where the field is highest, as many as the share needs: exact for every form.
    order = np.argsort(-np.where(inside, np.inf, field), axis=None, kind="stable")
    chosen = np.zeros(rows * columns, np.bool_)
    chosen[order[: round(share * rows * columns)]] = True
    fresh = chosen.reshape(rows, columns) & ~inside
    photo[top:bottom, left:right][fresh] = texture[fresh]
    inside |= fresh


def cover_texture(rows: int, columns: int, rng: np.random.Generator) -> Photo:
    """A patch (rows, columns, 3) of leaves, wood, stone or cloth, with coarse and fine grain."""
    dark, bright = (np.array(colour, np.float32) / 255 for colour in COLOURS[int(rng.integers(len(COLOURS)))])
    clouds = plasma(rows, columns, 1.1, rng)
    grain = np.asarray(rng.normal(0, 0.12, (rows, columns)), np.float32)
    light = np.clip(clouds + cv2.GaussianBlur(grain, (3, 3), 0), 0, 1)[..., None]
    return as_photo(dark + (bright - dark) * light)


def _hedge(grid: Grid, rng: np.random.Generator) -> FloatArray:
    """From one side inwards, with a ragged edge; from below as often as from both other sides."""
    y, x = grid
    depth = (y, y, x, 1 - x)[int(rng.integers(4))]
    return np.asarray(depth + 0.35 * plasma(y.shape[0], y.shape[1], 1.4, rng), np.float32)


def _bush(grid: Grid, rng: np.random.Generator) -> FloatArray:
    """Patches all over."""
    rows, columns = grid[0].shape
    return plasma(rows, columns, 1.4, rng)


def _board(grid: Grid, rng: np.random.Generator) -> FloatArray:
    """A rectangle of the box's form around a random place."""
    y, x = grid
    centre = rng.uniform(0.25, 0.75, 2)
    return np.asarray(-np.maximum(np.abs(y - centre[0]), np.abs(x - centre[1])), np.float32)


def _fence(grid: Grid, rng: np.random.Generator) -> FloatArray:
    """Upright or level bars, three to six."""
    axis = grid[int(rng.integers(2))]
    return np.asarray(np.cos(2 * np.pi * (axis * rng.integers(3, 7) + rng.uniform())), np.float32)


FIELDS: tuple[Field, ...] = (_hedge, _bush, _board, _fence)
"""The forms of a cover: a number for each pixel, highest where it is hidden first."""
