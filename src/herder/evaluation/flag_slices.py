"""Average precision by flag: boxes that annotators called occluded, truncated or a group, beside the others.

A slice is the labelled boxes with one value of one flag. All others are ignored, as COCO ignores boxes of another size:
neither hit nor missed, and what is found on them is no false alarm. Detections on nothing belong to no box, so that
they are false alarms in every slice; the average precision of a small slice is lower for that alone, its recall is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from herder.data.records import UNKNOWN, BoxFlags, ImageRecord
from herder.detections import Detections
from herder.evaluation.matching import Matches, match_at
from herder.evaluation.not_computed import NotComputed
from herder.evaluation.open_images.matching import match_open_images
from herder.evaluation.photo_matches import IOUS, PhotoMatches
from herder.evaluation.tables import DetectionTable, TruthTable, detection_table, truth_table

FLAGS = {"occluded": "occluded", "truncated": "truncated", "group_of": "group of animals"}
"""The flags that say how hard a box is, and their names."""

NO_FLAGS = "no box has this flag"
"""Why there is no number where no annotator has looked."""


@dataclass(frozen=True)
class FlagSlice:
    """What a detector reached on the boxes with one value of one flag."""

    flag: str
    value: bool
    photos: int
    """Photos with at least one such box."""
    truths: int
    recall: float | NotComputed
    """At IoU 0.5 and the score threshold of the whole evaluation."""
    map50: float | NotComputed
    map50_95: float | NotComputed

    @property
    def name(self) -> str:
        """Such as ``not occluded``."""
        return FLAGS[self.flag] if self.value else f"not {FLAGS[self.flag]}"

    def as_dict(self) -> dict[str, Any]:
        """For JSON: what is not computed is null, and ``reason`` says why."""
        values = {"name": self.name, **asdict(self)}
        for name in ("recall", "map50", "map50_95"):
            value = getattr(self, name)
            if isinstance(value, NotComputed):
                values |= {name: None, "reason": value.reason}
        return values


def flag_slices(
    records: Sequence[ImageRecord], detections: Sequence[Detections], classes: int, threshold: float
) -> list[FlagSlice]:
    """Each of ``FLAGS``, boxes that have it before those that do not; recall at the score ``threshold``.

    A box around a group is found as Open Images has it, by any detection that lies in it; COCO ignores such boxes.
    """
    truth, found = truth_table(records), detection_table(detections).best()
    table = np.concatenate([np.zeros((0, len(BoxFlags.names())), np.int8), *(r.flags.table() for r in records)])
    slices = []
    for flag in FLAGS:
        column = table[:, BoxFlags.names().index(flag)]
        for value in (True, False):
            inside = column == int(value)
            groups = flag == "group_of" and value
            counts = inside if groups else inside & ~truth.ignore
            if not counts.any():
                nothing = NotComputed(_why_not(flag, value, column, inside))
                slices.append(FlagSlice(flag, value, 0, 0, nothing, nothing, nothing))
                continue
            matches, ious = _of_groups(truth, found, inside) if groups else _of_boxes(truth, found, inside)
            numbers = _measured(truth, found, matches, ious, counts, len(records), classes, threshold)
            slices.append(FlagSlice(flag, value, len(np.unique(truth.photos[counts])), int(counts.sum()), *numbers))
    return slices


def _why_not(flag: str, value: bool, column: NDArray[np.int8], inside: NDArray[np.bool_]) -> str:
    if (column == UNKNOWN).all():
        return NO_FLAGS
    if inside.any():
        return "all these boxes are to be ignored"
    return f"no box is {'' if value else 'not '}{FLAGS[flag]}"


def _of_boxes(truth: TruthTable, found: DetectionTable, inside: NDArray[np.bool_]) -> tuple[Matches, tuple[float, ...]]:
    return match_at(truth, found, IOUS, outside=~inside), IOUS


def _of_groups(
    truth: TruthTable, found: DetectionTable, inside: NDArray[np.bool_]
) -> tuple[Matches, tuple[float, ...]]:
    matches = match_open_images(truth, found)
    elsewhere = (matches.truth >= 0) & ~inside[matches.truth]
    return Matches(matches.truth[None], (matches.ignored | elsewhere)[None]), (0.5,)


def _measured(
    truth: TruthTable,
    found: DetectionTable,
    matches: Matches,
    ious: tuple[float, ...],
    counts: NDArray[np.bool_],
    photos: int,
    classes: int,
    threshold: float,
) -> tuple[float, float, float | NotComputed]:
    """Recall, mAP50 and mAP50_95 of the boxes that count (N,)."""
    truths = np.zeros((photos, classes), np.int64)
    np.add.at(truths, (truth.photos[counts], truth.classes[counts]), 1)
    map50, map50_95 = PhotoMatches.sorted(found, matches.hits, matches.ignored, truths, ious).map()
    recall = float((matches.hits[0] & (found.scores >= threshold)).sum() / counts.sum())
    return recall, map50, NotComputed("a group is found at one overlap") if len(ious) == 1 else map50_95
