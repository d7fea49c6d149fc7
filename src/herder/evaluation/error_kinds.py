"""What kind of error each detection is, and which labelled boxes were missed.

Source: D. Bolya et al., "TIDE: A General Toolbox for Identifying Object Detection Errors", ECCV 2020,
https://arxiv.org/abs/2008.08115. A detection that hits no labelled box (IoU 0.5) is a false positive of one kind:

    localisation     overlaps a box of its class by 0.1 to 0.5: right animal, poor box
    classification   overlaps a box of another class by 0.5 or more: good box, wrong name
    duplicate        overlaps a box of its class by 0.5 or more, which a better detection has hit already
    background       overlaps no box by more than 0.1
    both             what is left: overlaps a box of another class by 0.1 to 0.5
    missed           a labelled box that is neither hit nor the cause of a localisation or classification error

taken in this order where more than one fits. Detections on ignore boxes (a herd) are no errors, and ignore boxes are
not missed. Notation: N detections, M boxes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from herder.boxes import IntArray
from herder.evaluation.matching import match, overlapping
from herder.evaluation.tables import DetectionTable, DoubleArray, TruthTable

FOREGROUND, BACKGROUND = 0.5, 0.1
"""TIDE's overlaps: from the first on a detection is on a box, below the second it is on none."""

EXAMPLES = 12
"""Errors of each kind that are kept to be looked at."""


class ErrorKind(Enum):
    """TIDE's six kinds."""

    CLASSIFICATION = "classification"
    LOCALISATION = "localisation"
    BOTH = "both"
    DUPLICATE = "duplicate"
    BACKGROUND = "background"
    MISSED = "missed"


KINDS = tuple(ErrorKind)
BY_CLASS = (ErrorKind.CLASSIFICATION, ErrorKind.BOTH)
"""Kinds that a dataset of one class cannot have."""


@dataclass(frozen=True)
class ErrorExample:
    """One error: the photo's index, the detection (not for a missed box) and the labelled box that it is about."""

    photo: int
    box: tuple[float, ...] | None
    """The detection, xyxy pixels; None for a missed box."""
    score: float | None
    found_as: str
    """The detection's class, "" for a missed box."""
    labelled: tuple[float, ...] | None
    """The labelled box, xyxy pixels; None for a detection of the background."""
    labelled_as: str


@dataclass(frozen=True, eq=False)
class ErrorKinds:
    """What became of each detection and each labelled box that counts.

    ``found`` (N,) and ``truth`` (M,) without what is ignored; ``hits`` (N,) the row of the box hit, -1 for none;
    ``kinds`` (N,) the index in ``KINDS`` of the error, -1 for a hit; ``about`` (N,) the box that an error is about, -1
    for none; ``unseen`` (M,) not hit; ``missed`` (M,) neither hit nor what a classification or localisation error is
    about.
    """

    found: DetectionTable
    truth: TruthTable
    hits: IntArray
    kinds: IntArray
    about: IntArray
    unseen: NDArray[np.bool_]
    missed: NDArray[np.bool_]

    def of(self, kind: ErrorKind) -> NDArray[np.bool_]:
        """(N,) True where a detection is an error of this kind; for missed boxes (M,)."""
        return self.missed if kind is ErrorKind.MISSED else self.kinds == KINDS.index(kind)


def find_errors(truth: TruthTable, found: DetectionTable) -> ErrorKinds:
    """Give each detection that hits nothing its kind of error, and find the boxes that were missed."""
    found = found.best()
    matches = match(truth, found, FOREGROUND)
    counting = np.flatnonzero(~truth.ignore)
    place = np.full(len(truth) + 1, -1)  # the last row stands for "none", index -1
    place[counting] = np.arange(len(counting))
    boxes = TruthTable(*(getattr(truth, n)[counting] for n in ("photos", "classes", "boxes", "ignore", "areas")))
    rows = np.flatnonzero(~matches.ignored)
    found, hits = found.pick(rows), place[matches.truth[rows]]
    pairs, columns, overlaps = overlapping(boxes, found, BACKGROUND, by_class=False)
    same = found.classes[pairs] == boxes.classes[columns]
    own, own_box = _closest(pairs[same], columns[same], overlaps[same], len(found))
    other, other_box = _closest(pairs[~same], columns[~same], overlaps[~same], len(found))
    conditions = [
        hits >= 0,
        (own >= BACKGROUND) & (own < FOREGROUND),
        other >= FOREGROUND,
        own >= FOREGROUND,
        np.maximum(own, other) < BACKGROUND,
    ]
    order = (ErrorKind.LOCALISATION, ErrorKind.CLASSIFICATION, ErrorKind.DUPLICATE, ErrorKind.BACKGROUND)
    choices = [np.int64(-1), *(np.int64(KINDS.index(kind)) for kind in order)]
    kinds = np.select(conditions, choices, KINDS.index(ErrorKind.BOTH))
    none = np.full(len(found), -1, np.int64)
    about = np.select(conditions, [none, own_box, other_box, own_box, none], other_box)
    unseen = np.ones(len(boxes), np.bool_)
    unseen[hits[hits >= 0]] = False
    missed = unseen.copy()
    for kind in (ErrorKind.LOCALISATION, ErrorKind.CLASSIFICATION):
        missed[about[kinds == KINDS.index(kind)]] = False
    return ErrorKinds(found, boxes, hits, kinds, about, unseen, missed)


def _closest(rows: IntArray, columns: IntArray, overlaps: DoubleArray, count: int) -> tuple[DoubleArray, IntArray]:
    """For each of ``count`` detections its largest overlap (N,), 0 for none, and with which box (N,), -1 for none."""
    order = np.lexsort((-columns, overlaps, rows))  # the last of a row is its largest, among equals the first box
    best, box = np.zeros(count), np.full(count, -1, np.int64)
    best[rows[order]], box[rows[order]] = overlaps[order], columns[order]
    return best, box


def error_examples(errors: ErrorKinds, kind: ErrorKind, names: Sequence[str]) -> tuple[ErrorExample, ...]:
    """Errors of one kind to look at: best score or largest missed box first; a photo comes again once each had one."""
    found, truth = errors.found, errors.truth
    rows = np.flatnonzero(errors.of(kind))
    missed = kind is ErrorKind.MISSED
    worth, photos = (truth.areas[rows], truth.photos[rows]) if missed else (found.scores[rows], found.photos[rows])
    rows = rows[_in_turns(worth, photos)][:EXAMPLES]
    examples = []
    for row in rows.tolist():
        box = row if missed else int(errors.about[row])
        examples.append(
            ErrorExample(
                int(truth.photos[row] if missed else found.photos[row]),
                None if missed else _corners(found.boxes[row]),
                None if missed else float(found.scores[row]),
                "" if missed else names[found.classes[row]],
                _corners(truth.boxes[box]) if box >= 0 else None,
                names[truth.classes[box]] if box >= 0 else "",
            )
        )
    return tuple(examples)


def _in_turns(worth: DoubleArray, photos: IntArray) -> IntArray:
    """Indices by worth, but first one of each photo, then a second of each, and so on."""
    order = np.lexsort((-worth, photos))
    starts = np.flatnonzero(np.append(True, photos[order][1:] != photos[order][:-1])) if len(order) else order
    turn = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
    return np.asarray(order[np.lexsort((-worth[order], turn))], np.int64)


def _corners(xywh: DoubleArray) -> tuple[float, ...]:
    x, y, width, height = (float(v) for v in xywh)
    return x, y, x + width, y + height
