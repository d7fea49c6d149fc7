"""Putting two pictures together, and hiding parts of one: mixup, copy-paste, cutout."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np

from herder.boxes import PAD_VALUE, FloatArray
from herder.data.augmentation.sample import BoolArray, Image, Sample, with_boxes_of
from herder.data.augmentation.settings import AugmentationConfig

_TRIES = 10
"""Places tried for each pasted animal before it is given up."""

_MARGIN = 0.1
"""Share of an animal's box that is pasted around it and fades out, so that no hard edge gives the paste away."""


_ENLARGED = 2.0
"""A crop is enlarged at most so many times: past that, blur would be what tells an animal."""


def mixup(rng: np.random.Generator, a: Sample, b: Sample, config: AugmentationConfig) -> Sample:
    """Blend two pictures of one size and keep the boxes of both (mixup for detection, https://arxiv.org/abs/1902.04103).

    Raises ValueError when the sizes differ.
    """
    if a.image.shape != b.image.shape:
        raise ValueError(f"mixup: found pictures of shapes {a.image.shape} and {b.image.shape}, wanted one shape")
    share = rng.beta(config.mixup_beta, config.mixup_beta)
    image = cv2.addWeighted(a.image, 1 - share, b.image, share, 0).astype(np.uint8, copy=False)
    return with_boxes_of(image, (a, b), np.concatenate([a.boxes, b.boxes]))


def copy_paste(
    rng: np.random.Generator,
    sample: Sample,
    donor: Sample,
    config: AugmentationConfig,
    *,
    share: float | None = None,
) -> Sample:
    """Paste animals of ``donor`` into free places of ``sample`` (Dwibedi et al., https://arxiv.org/abs/1708.01642).

    Boxes are pasted whole, with a margin that fades out; the donor is first scaled as the photos of the sample are, or,
    where it is a crop that says nothing about size, so that an animal's longer side takes ``share`` of the picture's.
    A place where an animal that is there already would lose more than ``config.paste_overlap`` of its box is not taken.
    Boxes marked ``ignore`` are never pasted.
    """
    usable = np.flatnonzero(~donor.ignore)
    if not len(usable):
        return sample
    count = int(rng.integers(1, min(config.paste_count, len(usable)) + 1))
    image, boxes = sample.image.copy(), [sample.boxes]
    pasted: list[int] = []
    for k in rng.choice(usable, count, replace=False).tolist():
        longest = max(donor.width, donor.height)
        if share is not None:
            x1, y1, x2, y2 = donor.boxes[k].tolist()
            longest = max(x2 - x1, y2 - y1, 1.0) / share
        factor = max(sample.width, sample.height) / longest * rng.uniform(1 - config.scale, 1 + config.scale)
        if share is not None:
            factor = min(factor, _ENLARGED)
        patch, inner = _cut_out(donor, donor.boxes[k], factor)
        x1, y1, x2, y2 = inner.tolist()
        if min(x2 - x1, y2 - y1) < config.min_side or x2 - x1 > sample.width or y2 - y1 > sample.height:
            continue
        place = _free_place(rng, np.concatenate(boxes), inner, sample, config.paste_overlap)
        if place is not None:
            _blend(image, patch, inner, *place)
            boxes.append((inner + np.array(place * 2, np.float32))[None])
            pasted.append(k)
    chosen = np.array(pasted, np.int64)
    return Sample(
        image,
        np.concatenate(boxes),
        np.concatenate([sample.classes, donor.classes[chosen]]),
        np.concatenate([sample.ignore, donor.ignore[chosen]]),
    )


def _cut_out(donor: Sample, box: FloatArray, factor: float) -> tuple[Image, FloatArray]:
    """Cut the box with a margin out of ``donor``, scaled: the patch (h, w, 3) and the box (4,) within it."""
    x1, y1, x2, y2 = box.tolist()
    mx, my = (x2 - x1) * _MARGIN, (y2 - y1) * _MARGIN
    left, top = max(0, math.floor(x1 - mx)), max(0, math.floor(y1 - my))
    right, bottom = min(donor.width, math.ceil(x2 + mx)), min(donor.height, math.ceil(y2 + my))
    width, height = max(1, round((right - left) * factor)), max(1, round((bottom - top) * factor))
    how = cv2.INTER_AREA if factor < 0.5 else cv2.INTER_LINEAR
    patch = cv2.resize(donor.image[top:bottom, left:right], (width, height), interpolation=how)
    exact = np.array([width / (right - left), height / (bottom - top)] * 2)
    inner = (box - np.array([left, top] * 2)) * exact
    return patch.astype(np.uint8, copy=False), inner.astype(np.float32)


def _free_place(
    rng: np.random.Generator, boxes: FloatArray, inner: FloatArray, sample: Sample, limit: float
) -> tuple[int, int] | None:
    """Draw a whole shift in pixels that lays ``inner`` (4,) inside the picture, covering no box (N, 4) too much."""
    x1, y1, x2, y2 = inner.tolist()
    lowest, highest = (-math.floor(x1), -math.floor(y1)), (sample.width - math.ceil(x2), sample.height - math.ceil(y2))
    if highest[0] < lowest[0] or highest[1] < lowest[1]:
        return None
    areas = np.maximum((boxes[:, 2:] - boxes[:, :2]).prod(axis=1), 1e-6)  # (N,)
    for _ in range(_TRIES):
        x, y = (int(rng.integers(low, high + 1)) for low, high in zip(lowest, highest, strict=True))
        near = np.maximum(boxes[:, :2], (x1 + x, y1 + y))
        far = np.minimum(boxes[:, 2:], (x2 + x, y2 + y))
        covered = np.maximum(far - near, 0).prod(axis=1) / areas  # (N,)
        if (covered <= limit).all():
            return x, y
    return None


def _blend(image: Image, patch: Image, inner: FloatArray, x: int, y: int) -> None:
    """Lay ``patch`` at x, y onto ``image`` in place: full inside the box ``inner`` (4,), fading out in the margin."""
    height, width = patch.shape[:2]
    across = _fade(width, float(inner[0]), float(inner[2]))  # (w,)
    down = _fade(height, float(inner[1]), float(inner[3]))  # (h,)
    x0, y0 = max(0, x), max(0, y)
    x1, y1 = min(image.shape[1], x + width), min(image.shape[0], y + height)
    weight = np.outer(down, across)[y0 - y : y1 - y, x0 - x : x1 - x, None]  # (h, w, 1)
    under, over = image[y0:y1, x0:x1], patch[y0 - y : y1 - y, x0 - x : x1 - x]
    image[y0:y1, x0:x1] = np.round(under + weight * (over.astype(np.float32) - under))


def _fade(length: int, start: float, end: float) -> FloatArray:
    """Weights (length,) of a row of pixels: 1 from ``start`` to ``end``, falling to 0 at either outer end."""
    centre = np.arange(length) + 0.5
    rising = (centre / start) if start > 0.5 else np.ones(length)
    falling = ((length - centre) / (length - end)) if length - end > 0.5 else np.ones(length)
    return np.clip(np.minimum(rising, falling), 0, 1).astype(np.float32)


def cutout(rng: np.random.Generator, sample: Sample, config: AugmentationConfig) -> Sample:
    """Hide up to ``config.cutout_holes`` squares in grey (https://arxiv.org/abs/1708.04552).

    Boxes of which ``config.cutout_covered`` or more is hidden are dropped: nothing is left to be found there.
    """
    side = min(sample.width, sample.height)
    hidden: BoolArray = np.zeros((sample.height, sample.width), np.bool_)
    for _ in range(int(rng.integers(1, config.cutout_holes + 1))):
        hole = max(1, round(rng.uniform(0.2, 1.0) * config.cutout_side * side))
        x, y = int(rng.integers(0, sample.width)) - hole // 2, int(rng.integers(0, sample.height)) - hole // 2
        hidden[max(0, y) : max(0, y + hole), max(0, x) : max(0, x + hole)] = True
    image = sample.image.copy()
    image[hidden] = PAD_VALUE
    return replace(sample, image=image).pick(covered_share(hidden, sample.boxes) < config.cutout_covered)


def covered_share(hidden: BoolArray, boxes: FloatArray) -> FloatArray:
    """Share (N,) of each box (N, 4) whose pixels are True in ``hidden`` (H, W).

    >>> hidden = np.zeros((4, 4), bool); hidden[:, :2] = True
    >>> covered_share(hidden, np.array([[0, 0, 4, 4], [0, 0, 1, 4]], np.float32)).tolist()
    [0.5, 1.0]
    """
    shares = np.zeros(len(boxes), np.float32)
    for i, (x1, y1, x2, y2) in enumerate(boxes.tolist()):
        part = hidden[max(0, math.floor(y1)) : math.ceil(y2), max(0, math.floor(x1)) : math.ceil(x2)]
        shares[i] = part.mean() if part.size else 0.0
    return shares
