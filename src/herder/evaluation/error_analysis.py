"""Where a detector fails: the confusion matrix, and the photos with the most misses and false alarms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from herder.evaluation.matching import match
from herder.evaluation.tables import DetectionTable, TruthTable

BACKGROUND = "background"
"""The name of the last row (detected where nothing is) and the last column (labelled but not detected)."""


@dataclass(frozen=True, eq=False)
class ConfusionMatrix:
    """How often a labelled class (row) was detected as a class (column), with the background last.

    ``counts`` (K + 1, K + 1); ``counts[k, K]`` are misses, ``counts[K, k]`` false alarms.
    """

    counts: NDArray[np.int64]
    class_names: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Row and column names."""
        return (*self.class_names, BACKGROUND)


def confusion_matrix(
    truth: TruthTable, found: DetectionTable, class_names: Sequence[str], threshold: float, iou: float = 0.5
) -> ConfusionMatrix:
    """Count confusions among detections of at least ``threshold``; a detection may match a box of any class.

    What lies on an ignore box is left out, and so are ignore boxes.
    """
    kept = found.best().pick(found.best().scores >= threshold)
    matches = match(truth, kept, iou, by_class=False)
    background = len(class_names)
    counts = np.zeros((background + 1, background + 1), np.int64)
    hits = matches.hits
    np.add.at(counts, (truth.classes[matches.truth[hits]], kept.classes[hits]), 1)
    alarms = kept.classes[~hits & ~matches.ignored]
    np.add.at(counts, (np.full(len(alarms), background), alarms), 1)
    missed = ~truth.ignore
    missed[matches.truth[hits]] = False
    np.add.at(counts, (truth.classes[missed], np.full(missed.sum(), background)), 1)
    return ConfusionMatrix(counts, tuple(class_names))


@dataclass(frozen=True)
class PhotoErrors:
    """What went right and wrong in one photo, by its index."""

    photo: int
    hits: int
    misses: int
    false_alarms: int

    @property
    def errors(self) -> int:
        """Misses and false alarms together."""
        return self.misses + self.false_alarms


def photo_errors(truth: TruthTable, found: DetectionTable, photos: int, threshold: float) -> list[PhotoErrors]:
    """Count hits, misses and false alarms in each photo at IoU 0.5 and the score ``threshold``."""
    kept = found.best().pick(found.best().scores >= threshold)
    matches = match(truth, kept)
    hits = np.bincount(kept.photos[matches.hits], minlength=photos)
    alarms = np.bincount(kept.photos[~matches.hits & ~matches.ignored], minlength=photos)
    truths = np.bincount(truth.photos[~truth.ignore], minlength=photos)
    return [
        PhotoErrors(photo, int(hits[photo]), int(truths[photo] - hits[photo]), int(alarms[photo]))
        for photo in range(photos)
    ]


def worst(errors: Sequence[PhotoErrors], limit: int) -> list[PhotoErrors]:
    """The photos with the most errors, worst first and among equals in their order; photos without errors are left out.

    >>> [e.photo for e in worst([PhotoErrors(0, 1, 0, 0), PhotoErrors(1, 1, 1, 1), PhotoErrors(2, 0, 1, 0)], 5)]
    [1, 2]
    """
    return sorted((e for e in errors if e.errors), key=lambda e: -e.errors)[:limit]


def best(errors: Sequence[PhotoErrors], limit: int) -> list[PhotoErrors]:
    """The photos without errors in which the most was found, most first; photos without a hit are left out.

    >>> [e.photo for e in best([PhotoErrors(0, 1, 0, 0), PhotoErrors(1, 3, 0, 0), PhotoErrors(2, 9, 0, 1)], 5)]
    [1, 0]
    """
    return sorted((e for e in errors if e.hits and not e.errors), key=lambda e: -e.hits)[:limit]
