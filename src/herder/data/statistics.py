"""What is in a dataset, in numbers: how many, how large, how even.

Notation: N boxes of all photos; K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from herder.data.records import Dataset

SMALL, MEDIUM = 32.0**2, 96.0**2
"""Areas in square pixels that divide small from medium and medium from large objects: COCO's."""

LEVELS = (0, 5, 25, 50, 75, 95, 100)
"""The percentiles that describe a distribution."""


@dataclass(frozen=True)
class ClassStatistics:
    """One class: its boxes, the photos that show it, its boxes that are to be ignored."""

    name: str
    boxes: int
    photos: int
    ignored: int


@dataclass(frozen=True)
class DatasetStatistics:
    """Counts and distributions; a distribution maps percentiles to values and is empty where there is nothing."""

    photos: int
    boxes: int
    backgrounds: int
    """Photos without a box."""
    groups: int
    """Different groups that photos name."""
    classes: tuple[ClassStatistics, ...]
    imbalance: float
    """Boxes of the most frequent class for each of the rarest that has any; 1 is even, 0 means no boxes."""
    small: int
    """Boxes of less than 32 x 32 pixels of the photo."""
    medium: int
    large: int
    """Boxes of 96 x 96 pixels or more."""
    boxes_per_photo: Mapping[int, float]
    photo_width: Mapping[int, float]
    photo_height: Mapping[int, float]
    relative_size: Mapping[int, float]
    """Square root of the share of the photo that a box covers: 0.1 is a tenth of the photo's sides."""
    aspect_ratio: Mapping[int, float]
    """Width over height of a box."""

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain values for JSON; percentiles become ``p50`` and the like."""
        return {
            key: {f"p{level}": number for level, number in value.items()} if isinstance(value, dict) else value
            for key, value in asdict(self).items()
        }


def dataset_statistics(dataset: Dataset) -> DatasetStatistics:
    """Count and measure. Boxes that are to be ignored count as boxes of their class, and are named besides."""
    records = dataset.records
    boxes = np.concatenate([np.zeros((0, 4)), *(record.boxes for record in records)])  # (N, 4) float64
    classes = np.concatenate([np.zeros(0, np.int64), *(record.classes for record in records)])
    ignore = np.concatenate([np.zeros(0, np.bool_), *(record.ignore for record in records)])
    lengths = np.array([len(record) for record in records], np.int64)
    photo_areas = np.repeat([float(record.width) * record.height for record in records], lengths)  # (N,)
    sides = boxes[:, 2:] - boxes[:, :2]  # (N, 2)
    areas = sides.prod(axis=1)
    per_class = tuple(
        ClassStatistics(
            name,
            int((classes == i).sum()),
            sum(bool((record.classes == i).any()) for record in records),
            int((ignore & (classes == i)).sum()),
        )
        for i, name in enumerate(dataset.class_names)
    )
    counts = [entry.boxes for entry in per_class if entry.boxes]
    return DatasetStatistics(
        photos=len(records),
        boxes=len(boxes),
        backgrounds=int((lengths == 0).sum()),
        groups=len({record.group for record in records if record.group}),
        classes=per_class,
        imbalance=max(counts) / min(counts) if counts else 0.0,
        small=int((areas < SMALL).sum()),
        medium=int(((areas >= SMALL) & (areas < MEDIUM)).sum()),
        large=int((areas >= MEDIUM).sum()),
        boxes_per_photo=percentiles(lengths.astype(np.float64)),
        photo_width=percentiles(np.array([record.width for record in records], np.float64)),
        photo_height=percentiles(np.array([record.height for record in records], np.float64)),
        relative_size=percentiles(np.sqrt(areas / photo_areas)),
        aspect_ratio=percentiles(sides[:, 0] / sides[:, 1]),
    )


def percentiles(values: NDArray[np.float64]) -> dict[int, float]:
    """Percentile to value, linearly interpolated; empty for no values.

    >>> percentiles(np.array([1.0, 2.0, 3.0]))[50]
    2.0
    """
    if not len(values):
        return {}
    return {level: float(value) for level, value in zip(LEVELS, np.percentile(values, LEVELS), strict=True)}
