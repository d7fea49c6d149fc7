"""One training picture with its boxes, and the rule for which boxes outlive a crop.

Notation: N boxes of one picture. Boxes are xyxy in pixels of the picture, with the origin at the outer corner of the
top left pixel, as everywhere in herder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from herder.boxes import FloatArray, IntArray
from herder.data.augmentation.settings import AugmentationConfig

Image = NDArray[np.uint8]
"""RGB, (H, W, 3)."""

BoolArray = NDArray[np.bool_]
"""One flag a box, (N,)."""


@dataclass(frozen=True, eq=False)
class Sample:
    """A picture (H, W, 3) uint8 RGB with ``boxes`` (N, 4) float32, ``classes`` (N,) int64 and ``ignore`` (N,) bool.

    No augmentation writes into a sample it was given: the picture may belong to the cache.
    """

    image: Image
    boxes: FloatArray
    classes: IntArray
    ignore: BoolArray

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def width(self) -> int:
        """Width of the picture in pixels."""
        return int(self.image.shape[1])

    @property
    def height(self) -> int:
        """Height of the picture in pixels."""
        return int(self.image.shape[0])

    def pick(self, chosen: BoolArray) -> Sample:
        """Return the same picture with only those boxes where ``chosen`` (N,) is True."""
        if chosen.all():
            return self
        return replace(self, boxes=self.boxes[chosen], classes=self.classes[chosen], ignore=self.ignore[chosen])


def with_boxes_of(image: Image, samples: Sequence[Sample], boxes: FloatArray) -> Sample:
    """Return ``image`` with ``boxes`` (N, 4), which have the classes and flags of ``samples`` one after the other."""
    if len(samples) == 1:
        return Sample(image, boxes, samples[0].classes, samples[0].ignore)
    classes = np.concatenate([sample.classes for sample in samples])
    return Sample(image, boxes, classes, np.concatenate([sample.ignore for sample in samples]))


def crop_boxes(sample: Sample, config: AugmentationConfig) -> Sample:
    """Cut the boxes at the picture's border and drop those of which too little is left.

    A box stays when at least ``config.min_visible`` of its area lies inside, both sides have ``config.min_side`` pixels
    or more, and neither side is more than ``config.max_aspect`` times the other.
    """
    if not len(sample):
        return sample
    border = np.array([sample.width, sample.height] * 2, np.float32)
    boxes = np.minimum(np.maximum(sample.boxes, 0), border)  # (N, 4)
    before = sample.boxes[:, 2:] - sample.boxes[:, :2]  # (N, 2)
    after = boxes[:, 2:] - boxes[:, :2]  # (N, 2)
    shorter, longer = after.min(axis=1), after.max(axis=1)
    kept = (
        (shorter >= config.min_side)
        & (longer <= shorter * config.max_aspect)
        & (after.prod(axis=1) >= config.min_visible * before.prod(axis=1))
    )
    return replace(sample, boxes=boxes).pick(kept)
