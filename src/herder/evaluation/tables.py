"""Boxes of many photos as flat arrays: what every measure in this room computes on.

Notation: N boxes in all photos together. Boxes are ``xywh`` in float64 here, as COCO has them, so that overlaps come
out with the same last bit as in the reference code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from herder.boxes import BoxFormat, IntArray, convert
from herder.data.records import ImageRecord
from herder.detections import Detections

DoubleArray = NDArray[np.float64]

MAX_DETECTIONS = 100
"""COCO looks at the best 100 detections of a class in a photo and no further."""


@dataclass(frozen=True, eq=False)
class TruthTable:
    """The labelled boxes of all photos, ordered by photo.

    ``photos`` (N,) indices, ``classes`` (N,) ids, ``boxes`` (N, 4) xywh pixels, ``ignore`` (N,) crowd boxes, ``areas``
    (N,) in square pixels: what decides between small, medium and large.
    """

    photos: IntArray
    classes: IntArray
    boxes: DoubleArray
    ignore: NDArray[np.bool_]
    areas: DoubleArray

    def __len__(self) -> int:
        return len(self.photos)


@dataclass(frozen=True, eq=False)
class DetectionTable:
    """The detections of all photos, ordered by photo; ``photos`` (N,), ``classes`` (N,), ``boxes`` (N, 4) xywh pixels,
    ``scores`` (N,).
    """

    photos: IntArray
    classes: IntArray
    boxes: DoubleArray
    scores: DoubleArray

    def __len__(self) -> int:
        return len(self.photos)

    def pick(self, rows: NDArray[np.bool_] | IntArray) -> DetectionTable:
        """Only these rows, given as a mask (N,) or as indices."""
        return DetectionTable(self.photos[rows], self.classes[rows], self.boxes[rows], self.scores[rows])

    def best(self, limit: int = MAX_DETECTIONS) -> DetectionTable:
        """The best ``limit`` of each class in each photo; order and ties stay as they are.

        >>> one = np.zeros(3, np.int64)
        >>> DetectionTable(one, one, np.zeros((3, 4)), np.array([0.2, 0.9, 0.5])).best(2).scores.tolist()
        [0.9, 0.5]
        """
        order = np.lexsort((-self.scores, self.classes, self.photos))  # stable: ties keep their order
        photos, classes = self.photos[order], self.classes[order]
        new_group = np.ones(len(order), bool)
        new_group[1:] = (photos[1:] != photos[:-1]) | (classes[1:] != classes[:-1])
        starts = np.flatnonzero(new_group)
        rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
        if len(rank) == 0 or rank.max() < limit:
            return self
        return self.pick(np.sort(order[rank < limit]))


def truth_table(records: Sequence[ImageRecord]) -> TruthTable:
    """The labelled boxes of these records; a box's area is width times height."""
    corners = np.concatenate([np.zeros((0, 4), np.float32), *(record.boxes for record in records)])
    boxes = convert(corners, BoxFormat.XYXY, BoxFormat.XYWH)
    return TruthTable(
        np.repeat(np.arange(len(records), dtype=np.int64), [len(record) for record in records]),
        np.concatenate([np.zeros(0, np.int64), *(record.classes for record in records)]),
        boxes,
        np.concatenate([np.zeros(0, np.bool_), *(record.ignore for record in records)]),
        boxes[:, 2] * boxes[:, 3],
    )


def detection_table(detections: Sequence[Detections]) -> DetectionTable:
    """The detections of all photos.

    A box that is not finite, or turned inside out, becomes one without area: a false alarm, never a hit.
    """
    corners = np.concatenate([np.zeros((0, 4), np.float32), *(found.boxes for found in detections)])
    sound = np.isfinite(corners).all(axis=1) & (corners[:, 2:] >= corners[:, :2]).all(axis=1)
    boxes = convert(np.where(sound[:, None], corners, 0), BoxFormat.XYXY, BoxFormat.XYWH)
    return DetectionTable(
        np.repeat(np.arange(len(detections), dtype=np.int64), [len(found) for found in detections]),
        np.concatenate([np.zeros(0, np.int64), *(found.classes for found in detections)]),
        boxes,
        np.concatenate([np.zeros(0), *(found.scores.astype(np.float64) for found in detections)]),
    )
