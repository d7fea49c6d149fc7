"""Which labels look wrong to models that never saw them.

Confident learning, from classes of pictures to boxes: C. Northcutt, L. Jiang, I. Chuang, "Confident Learning:
Estimating Uncertainty in Dataset Labels", JAIR 2021, https://arxiv.org/abs/1911.00068. What models are sure of is
learned from the labels themselves: the threshold of a class is the mean score that boxes labelled so get (equation 2
there, their "self confidence"; a box that nothing finds gets 0), the background's is the mean of 1 - score over
detections where nothing is labelled. What is above its threshold and contradicts the label is suspect:

    missing      an animal is surely found where nothing is labelled
    unsupported  a label on which hardly anything is found: the background is surer there
    misplaced    surely found, but the label fits by less than IoU 0.5
    herd         one label over two or more animals that are surely found one by one
    class        surely found as another class

Suspicion is 0 to 1 and says in which order to look; it is no probability. Notation: K classes, D detections and M
labelled boxes of one photo.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from herder.boxes import FloatArray, area, iou_matrix
from herder.data.records import ImageRecord
from herder.detections import Detections

FITS, TOUCHES = 0.5, 0.1
"""Overlaps (IoU) from which a detection is on a box, and is about it: those of ``error_kinds``."""

INSIDE = 0.7
"""Share of a detection's area from which it lies inside a label."""

SMALLER = 0.6
"""Share of a label's area that one animal of a herd takes at most."""

AREAS = (32.0**2, 96.0**2)
"""COCO's bounds between small, medium and large boxes, in square pixels."""


class SuspectKind(Enum):
    """What may be wrong with a label."""

    MISSING = "missing"
    UNSUPPORTED = "unsupported"
    MISPLACED = "misplaced"
    HERD = "herd"
    CLASS = "class"


@dataclass(frozen=True, eq=False)
class Suspect:
    """One label, or the lack of one, that looks wrong."""

    photo: int
    """Index of the photo."""
    kind: SuspectKind
    suspicion: float
    class_id: int
    """The class that it should be in the models' eyes; of unsupported boxes the labelled one."""
    label: int | None
    """Index of the labelled box; None where one is missing."""
    labelled: FloatArray
    """The labelled box (1, 4), or (0, 4)."""
    found: Detections
    """What was found there, best first."""


@dataclass(frozen=True)
class Confidence:
    """What models that have not seen the photos are usually sure of."""

    classes: tuple[float, ...]
    """(K,) mean score of what is found on boxes labelled with each class; 1 where there is no such box."""
    sizes: tuple[float, float, float]
    """The same of small, medium and large boxes, all classes together; 0 where there is none."""
    background: float
    """Mean of 1 - score over detections where nothing is labelled; 1 where there is none."""

    @classmethod
    def of(cls, records: Sequence[ImageRecord], found: Sequence[Detections], classes: int) -> Confidence:
        """Measure it on labelled photos and what was found on each."""
        own: list[list[float]] = [[] for _ in range(classes)]
        by_size: list[list[float]] = [[], [], []]
        empty: list[float] = []
        for record, detections in zip(records, found, strict=True):
            overlaps = iou_matrix(detections.boxes, record.boxes)  # (D, M)
            supports = support(detections, record)
            for m in np.flatnonzero(~record.ignore).tolist():
                own[int(record.classes[m])].append(float(supports[m]))
                by_size[_size(record, m)].append(float(supports[m]))
            alone = overlaps.max(axis=1, initial=0) < TOUCHES
            empty += (1 - detections.scores[alone & ~_on_ignored(detections, record)]).tolist()
        small, medium, large = (float(np.mean(scores)) if scores else 0.0 for scores in by_size)
        return cls(
            tuple(float(np.mean(scores)) if scores else 1.0 for scores in own),
            (small, medium, large),
            float(np.mean(empty)) if empty else 1.0,
        )


def support(found: Detections, record: ImageRecord) -> NDArray[np.float64]:
    """For each label (M,) the best score of its class that fits it; 0 where nothing does."""
    fits = (iou_matrix(found.boxes, record.boxes) >= FITS) & (found.classes[:, None] == record.classes[None, :])
    return np.asarray(np.where(fits, found.scores[:, None], 0).max(axis=0, initial=0), np.float64)


def find_suspects(records: Sequence[ImageRecord], found: Sequence[Detections], confidence: Confidence) -> list[Suspect]:
    """All suspect labels of these photos, the most suspicious first; ``found`` are each photo's detections.

    Labels to be ignored are not looked at, nor is what lies on them.
    """
    suspects = [
        suspect
        for photo, (record, detections) in enumerate(zip(records, found, strict=True))
        for suspect in _of_photo(photo, record, detections, confidence)
    ]
    return sorted(suspects, key=lambda suspect: -suspect.suspicion)


def _of_photo(photo: int, record: ImageRecord, found: Detections, confidence: Confidence) -> list[Suspect]:
    limits = np.array(confidence.classes)[found.classes]  # (D,)
    sure = found[(found.scores >= limits) & (found.scores > 0) & ~_on_ignored(found, record)]
    overlaps = iou_matrix(sure.boxes, record.boxes)  # (S, M) of the S sure detections
    overlaps[:, record.ignore] = 0
    free = _unmatched(sure, record, overlaps)  # (S,)
    supports = support(found, record)
    suspects: list[Suspect] = []
    taken = np.zeros(len(sure), np.bool_)

    def add(kind: SuspectKind, suspicion: float, class_id: int, label: int | None, rows: NDArray[np.int64]) -> None:
        taken[rows] = True
        labelled = record.boxes[[label]] if label is not None else np.zeros((0, 4), np.float32)
        suspects.append(Suspect(photo, kind, float(np.clip(suspicion, 0, 1)), class_id, label, labelled, sure[rows]))

    for m in np.flatnonzero(~record.ignore & (supports < np.array(confidence.classes)[record.classes])).tolist():
        own = int(record.classes[m])
        others = np.flatnonzero((overlaps[:, m] >= FITS) & (sure.classes != own) & ~taken)
        herd = np.flatnonzero(free & ~taken & _one_of_many(sure.boxes, record.boxes[m]))
        near = np.flatnonzero(free & ~taken & (sure.classes == own) & (overlaps[:, m] >= TOUCHES))
        near = near[overlaps[near].argmax(axis=1) == m]
        if len(others):
            add(SuspectKind.CLASS, sure.scores[others[0]] - supports[m], int(sure.classes[others[0]]), m, others[:1])
        elif len(herd) >= 2:
            add(SuspectKind.HERD, sure.scores[herd[:2]].mean() * (1 - supports[m]), own, m, herd)
        elif len(near):
            add(SuspectKind.MISPLACED, sure.scores[near[0]] * (1 - overlaps[near[0], m]), own, m, near[:1])
        elif 1 - supports[m] >= confidence.background:
            # The margin to what boxes of this size usually get: that nothing finds a tiny animal says little.
            add(
                SuspectKind.UNSUPPORTED, confidence.sizes[_size(record, m)] - supports[m], own, m, np.zeros(0, np.int64)
            )
    for d in np.flatnonzero(free & ~taken).tolist():
        other = float(overlaps[d].max(initial=0))
        if other < FITS:
            add(SuspectKind.MISSING, sure.scores[d] * (1 - other), int(sure.classes[d]), None, np.array([d]))
    return suspects


def _unmatched(sure: Detections, record: ImageRecord, overlaps: FloatArray) -> NDArray[np.bool_]:
    """(S,) True for detections that are the find of no label: each label takes the best one that fits it."""
    free, open_labels = np.ones(len(sure), np.bool_), ~record.ignore
    for d in range(len(sure)):  # best score first
        fits = np.where(open_labels & (record.classes == sure.classes[d]), overlaps[d], 0)
        if len(fits) and fits.max() >= FITS:
            open_labels[fits.argmax()] = False
            free[d] = False
    return free


def _on_ignored(found: Detections, record: ImageRecord) -> NDArray[np.bool_]:
    """(D,) True for detections that lie by half or more on a label to be ignored."""
    return np.asarray((_share_inside(found.boxes, record.boxes[record.ignore]) >= FITS).any(axis=1))


def _one_of_many(boxes: FloatArray, label: FloatArray) -> NDArray[np.bool_]:
    """(S,) True for boxes inside ``label`` (4,) that are much smaller than it."""
    small = area(boxes) <= SMALLER * float(area(label[None])[0])
    return np.asarray(small & (_share_inside(boxes, label[None])[:, 0] >= INSIDE))


def _share_inside(boxes: FloatArray, others: FloatArray) -> FloatArray:
    """The share (N, M) of each box's area (N, 4) that lies in each of ``others`` (M, 4)."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(axis=2)
    return np.asarray(common / np.maximum(area(boxes)[:, None], np.finfo(np.float32).tiny), np.float32)


def _size(record: ImageRecord, label: int) -> int:
    """0 small, 1 medium, 2 large."""
    return int(np.searchsorted(AREAS, float(area(record.boxes[[label]])[0]), side="right"))
