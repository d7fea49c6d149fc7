"""What fixing each kind of a detector's errors would be worth: dAP.

Source: D. Bolya et al., "TIDE: A General Toolbox for Identifying Object Detection Errors", ECCV 2020,
https://arxiv.org/abs/2008.08115; the kinds are those of ``herder.evaluation.error_kinds``. dAP of a kind is how much
mAP50 rises when all errors of this kind, and nothing else, are fixed: a localisation or classification error becomes a
hit (of several detections of one box, the hit among them, the best scored stays and the others go), errors of the other
kinds go, and missed boxes count no more. Gains do not add up to what mAP50 lacks: fixing one kind uncovers another.

Notation: N detections, M labelled boxes, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from herder.evaluation.error_kinds import (
    FOREGROUND,
    KINDS,
    ErrorExample,
    ErrorKind,
    ErrorKinds,
    error_examples,
    find_errors,
)
from herder.evaluation.not_computed import NotComputed
from herder.evaluation.photo_matches import PhotoMatches
from herder.evaluation.tables import DetectionTable, TruthTable


@dataclass(frozen=True)
class KindResult:
    """How often one kind comes, and what fixing it would give."""

    name: str
    count: int
    """Among all detections, down to the lowest score."""
    at_threshold: int
    """Among detections that reach the score threshold."""
    gain: float | NotComputed
    """dAP: mAP50 with all of these fixed, less mAP50."""


@dataclass(frozen=True)
class ErrorBreakdown:
    """The errors of one detector on one dataset."""

    map50: float | NotComputed
    threshold: float
    photos: int
    truths: int
    detections: int
    classes: int
    kinds: tuple[KindResult, ...]
    """Classification, localisation, both, duplicate, background, missed."""
    false_positives: KindResult
    false_negatives: KindResult
    examples: tuple[tuple[ErrorExample, ...], ...] = ()
    """Of each kind, best score first, or largest missed box first; a photo comes again once each had its turn."""


def break_down(
    truth: TruthTable, found: DetectionTable, photos: int, class_names: Sequence[str], threshold: float
) -> ErrorBreakdown:
    """Count each kind of error, with all detections and with those that reach ``threshold``, and what fixing it gives.

    Gains are not computed where no labelled box counts.
    """
    errors = find_errors(truth, found)
    best = found.best()
    above = find_errors(truth, best.pick(best.scores >= threshold))
    classes = len(class_names)
    alone = errors.hits >= 0
    before = _map50(errors.found, alone, errors.truth, photos, classes)

    def gain(fixed: float) -> float | NotComputed:
        return NotComputed("no labelled box counts") if np.isnan(before) else fixed - before

    kinds = tuple(
        KindResult(kind.value, int(errors.of(kind).sum()), int(above.of(kind).sum()), gain(fixed))
        for kind, fixed in ((kind, _fixed(errors, kind, photos, classes)) for kind in KINDS)
    )
    no_alarms = _map50(errors.found.pick(alone), alone[alone], errors.truth, photos, classes)
    no_misses = _map50(errors.found, alone, errors.truth, photos, classes, found_ones=~errors.unseen)
    return ErrorBreakdown(
        NotComputed("no labelled box counts") if np.isnan(before) else before,
        threshold,
        photos,
        len(errors.truth),
        len(errors.found),
        classes,
        kinds,
        KindResult("false positives", int((~alone).sum()), int((above.hits < 0).sum()), gain(no_alarms)),
        KindResult("false negatives", int(errors.unseen.sum()), int(above.unseen.sum()), gain(no_misses)),
        tuple(error_examples(above, kind, class_names) for kind in KINDS),
    )


def _fixed(errors: ErrorKinds, kind: ErrorKind, photos: int, classes: int) -> float:
    """mAP50 with all errors of one kind fixed."""
    found, hit = errors.found, errors.hits >= 0
    if kind is ErrorKind.MISSED:
        return _map50(found, hit, errors.truth, photos, classes, found_ones=~errors.missed)
    wrong = errors.of(kind)
    if kind not in (ErrorKind.LOCALISATION, ErrorKind.CLASSIFICATION):
        return _map50(found.pick(~wrong), hit[~wrong], errors.truth, photos, classes)
    # All that would now be on one box, its hit among them, the best scored first.
    target = np.where(wrong, errors.about, errors.hits)
    rows = np.flatnonzero(target >= 0)
    rows = rows[np.isin(target[rows], errors.about[wrong])]
    order = rows[np.lexsort((rows, wrong[rows], -found.scores[rows], target[rows]))]
    first = np.append(True, target[order[1:]] != target[order[:-1]]) if len(order) else np.zeros(0, np.bool_)
    gone = np.zeros(len(found), np.bool_)
    gone[order[~first]] = True
    renamed = np.where(wrong, errors.truth.classes[target], found.classes) if len(errors.truth) else found.classes
    fixed = replace(found, classes=renamed).pick(~gone)
    return _map50(fixed, (hit | wrong)[~gone], errors.truth, photos, classes)


def _map50(
    found: DetectionTable,
    hits: NDArray[np.bool_],
    truth: TruthTable,
    photos: int,
    classes: int,
    found_ones: NDArray[np.bool_] | None = None,
) -> float:
    """COCO's mAP at IoU 0.5 of detections of which ``hits`` (N,) is known; NaN without labelled boxes.

    With ``found_ones`` (M,) only those boxes are there to be found. A class that has none of them left has nothing
    wrong but its false alarms: 1 without any, else 0.
    """
    if not len(truth):
        return float("nan")
    left = np.ones(len(truth), np.bool_) if found_ones is None else found_ones
    truths = np.zeros((photos, classes), np.int64)
    np.add.at(truths, (truth.photos[left], truth.classes[left]), 1)
    matches = PhotoMatches.sorted(found, hits[None], np.zeros((1, len(found)), np.bool_), truths, (FOREGROUND,))
    average = matches.average_precision()[0]  # (K,)
    alarmed = np.bincount(found.classes, minlength=classes) > 0
    average = np.where(np.isnan(average), np.where(alarmed, 0.0, 1.0), average)
    return float(average[np.unique(truth.classes)].mean())
