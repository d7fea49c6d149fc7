"""Moving pixels and boxes together: letterbox, affine, perspective, mosaic and flips.

Every movement is one 3 × 3 matrix from photo to canvas pixels, and every photo is warped once, straight onto the part
of the canvas that it reaches. A mosaic is four such matrices; there is no larger canvas in between.

Notation: N boxes; S side of the canvas in pixels; a matrix acts on columns (x, y, 1).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from herder.boxes import PAD_VALUE, FloatArray, Letterbox
from herder.data.augmentation.sample import Image, Sample, crop_boxes, with_boxes_of
from herder.data.augmentation.settings import AugmentationConfig

Matrix = NDArray[np.float64]
"""Homogeneous, (3, 3)."""

_SMALLEST_FACTOR = 0.5
"""Below this, bilinear sampling skips pixels; the photo is then reduced by averaging first."""


def letterbox(sample: Sample, size: int) -> Sample:
    """Lay the photo at the top left of a grey canvas of ``size`` × ``size`` pixels, exactly as inference does."""
    fit = Letterbox.fit(sample.width, sample.height, size)
    return Sample(fit.apply(sample.image), fit.forward(sample.boxes), sample.classes, sample.ignore)


def shift(x: float, y: float) -> Matrix:
    """Return the matrix that moves by x and y pixels."""
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]], np.float64)


def stretch(x: float, y: float) -> Matrix:
    """Return the matrix that scales by the factors x and y around the origin."""
    return np.array([[x, 0, 0], [0, y, 0], [0, 0, 1]], np.float64)


def random_affine(rng: np.random.Generator, size: int, config: AugmentationConfig) -> Matrix:
    """Draw a movement (3, 3) of the canvas: scale, rotation, shear and perspective around the centre, then a shift."""
    factor = rng.uniform(1 - config.scale, 1 + config.scale)
    angle = math.radians(rng.uniform(-config.degrees, config.degrees))
    shear_x, shear_y = (math.tan(math.radians(a)) for a in rng.uniform(-config.shear, config.shear, 2))
    depth_x, depth_y = rng.uniform(-config.perspective, config.perspective, 2) / size
    moved_x, moved_y = rng.uniform(-config.translate, config.translate, 2) * size
    cos, sin = factor * math.cos(angle), factor * math.sin(angle)
    turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]], np.float64)
    slant = np.array([[1, shear_x, 0], [shear_y, 1, 0], [0, 0, 1]], np.float64)
    depth = np.array([[1, 0, 0], [0, 1, 0], [depth_x, depth_y, 1]], np.float64)
    half = size / 2
    return shift(half + moved_x, half + moved_y) @ depth @ slant @ turn @ shift(-half, -half)


def move_boxes(boxes: FloatArray, matrix: Matrix) -> FloatArray:
    """Return the extents (N, 4) of the moved corners of ``boxes`` (N, 4): under rotation a box around the turned box.

    >>> move_boxes(np.array([[0, 0, 4, 2]], np.float32), shift(10, 0) @ stretch(2, 1)).tolist()
    [[10.0, 0.0, 18.0, 2.0]]
    """
    x, y = boxes[:, [0, 2, 2, 0]].astype(np.float64), boxes[:, [1, 1, 3, 3]].astype(np.float64)  # (N, 4 corners)
    (a, b, c), (d, e, f), (g, h, i) = matrix.tolist()
    u, v = a * x + b * y + c, d * x + e * y + f
    if g or h:
        # A corner at or behind the eye would come out mirrored; it is held far away instead.
        w = np.maximum(g * x + h * y + i, 1e-3)
        u, v = u / w, v / w
    return np.stack([u.min(1), v.min(1), u.max(1), v.max(1)], axis=1).astype(np.float32)


def paint(canvas: Image, photo: Image, matrix: Matrix) -> None:
    """Warp ``photo`` by ``matrix`` onto ``canvas`` (S, S, 3) in place; pixels out of its reach stay as they are."""
    size = canvas.shape[0]
    height, width = photo.shape[:2]
    matrix = matrix / matrix[2, 2]
    left, top, right, bottom = move_boxes(np.array([[0, 0, width, height]], np.float32), matrix)[0].tolist()
    x0, y0 = max(0, math.floor(left)), max(0, math.floor(top))
    x1, y1 = min(size, math.ceil(right)), min(size, math.ceil(bottom))
    if x0 >= x1 or y0 >= y1:
        return
    factor = math.sqrt(abs(np.linalg.det(matrix[:2, :2])))
    if factor < _SMALLEST_FACTOR:
        reduction = min(1.0, 2 * factor)
        reduced = max(1, round(width * reduction)), max(1, round(height * reduction))
        photo = cv2.resize(photo, reduced, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
        matrix = matrix @ stretch(width / reduced[0], height / reduced[1])
    # herder counts from the outer corner of the first pixel, OpenCV from its centre: half a pixel there and back.
    centred = shift(-x0 - 0.5, -y0 - 0.5) @ matrix @ shift(0.5, 0.5)
    part, extent = canvas[y0:y1, x0:x1], (x1 - x0, y1 - y0)
    how, border = cv2.INTER_LINEAR, cv2.BORDER_TRANSPARENT
    if centred[2, 0] or centred[2, 1]:
        cv2.warpPerspective(photo, centred, extent, dst=part, flags=how, borderMode=border)
    else:
        cv2.warpAffine(photo, centred[:2], extent, dst=part, flags=how, borderMode=border)


def assemble(samples: Sequence[Sample], matrices: Sequence[Matrix], size: int, config: AugmentationConfig) -> Sample:
    """Paint each sample by its matrix onto one grey canvas of ``size`` × ``size`` pixels; move and crop the boxes."""
    canvas = np.full((size, size, 3), PAD_VALUE, np.uint8)
    for sample, matrix in zip(samples, matrices, strict=True):
        paint(canvas, sample.image, matrix)
    moved = [move_boxes(sample.boxes, matrix) for sample, matrix in zip(samples, matrices, strict=True)]
    return crop_boxes(with_boxes_of(canvas, samples, np.concatenate(moved)), config)


def affine(rng: np.random.Generator, sample: Sample, size: int, config: AugmentationConfig) -> Sample:
    """Letterbox one photo and move it at random, in one warp. With nothing to move this is the plain letterbox."""
    movement = random_affine(rng, size, config)
    if np.allclose(movement, np.eye(3)):
        return crop_boxes(letterbox(sample, size), config)
    fit = size / max(sample.width, sample.height)
    return assemble([sample], [movement @ stretch(fit, fit)], size, config)


def mosaic(rng: np.random.Generator, samples: Sequence[Sample], size: int, config: AugmentationConfig) -> Sample:
    """Four photos that meet at a random point, moved at random together (YOLOv4, https://arxiv.org/abs/2004.10934).

    Each photo, its longest side scaled to ``size``, touches the meeting point with one corner; the point lies in the
    middle of the canvas or up to half its side away, as seen before the random movement.
    Raises ValueError unless there are four samples.
    """
    if len(samples) != 4:
        raise ValueError(f"mosaic: found {len(samples)} photos, wanted 4")
    x, y = rng.uniform(0, size, 2)
    movement = random_affine(rng, size, config)
    matrices = []
    for corner, sample in enumerate(samples):
        fit = size / max(sample.width, sample.height)
        left = x - (sample.width * fit if corner % 2 == 0 else 0)
        top = y - (sample.height * fit if corner < 2 else 0)
        matrices.append(movement @ shift(left, top) @ stretch(fit, fit))
    return assemble(samples, matrices, size, config)


def flip_horizontal(sample: Sample) -> Sample:
    """Swap left and right."""
    x1, y1, x2, y2 = sample.boxes.T
    boxes = np.stack([sample.width - x2, y1, sample.width - x1, y2], axis=1)
    return Sample(cv2.flip(sample.image, 1).astype(np.uint8, copy=False), boxes, sample.classes, sample.ignore)


def flip_vertical(sample: Sample) -> Sample:
    """Swap top and bottom."""
    x1, y1, x2, y2 = sample.boxes.T
    boxes = np.stack([x1, sample.height - y2, x2, sample.height - y1], axis=1)
    return Sample(cv2.flip(sample.image, 0).astype(np.uint8, copy=False), boxes, sample.classes, sample.ignore)
