"""Which detection hits which labelled box by the rules of Open Images.

Source: https://storage.googleapis.com/openimages/web/evaluation.html. As in PASCAL VOC each detection asks only for the
box of its class that it overlaps most, and is a false alarm where a better one has it already. A box around a group is
found by the best detection that lies in it by half of its own area or more; the others in it are ignored. A group that
nobody found is missed.
"""

from __future__ import annotations

import numpy as np

from herder.boxes import IntArray
from herder.evaluation.matching import Matches, overlapping
from herder.evaluation.tables import DetectionTable, DoubleArray, TruthTable


def match_open_images(truth: TruthTable, found: DetectionTable, iou: float = 0.5) -> Matches:
    """Match detections to labelled boxes of their class; boxes to ``ignore`` are the groups, each of which counts."""
    rows, columns, overlaps = overlapping(truth, found, iou, by_class=True)
    group = truth.ignore[columns]
    target = np.full(len(found), -1, np.int64)
    ignored = np.zeros(len(found), np.bool_)
    wanted = _most_overlapped(rows[~group], columns[~group], overlaps[~group], len(found))
    asking = _best_first(found, np.flatnonzero(wanted >= 0))
    winners = asking[_first_of_each(wanted[asking])]
    target[winners] = wanted[winners]
    # What hit no box of its own may still lie in a group.
    free = group & (target[rows] < 0)
    inside = _most_overlapped(rows[free], columns[free], overlaps[free], len(found))
    members = _best_first(found, np.flatnonzero(inside >= 0))
    target[members] = inside[members]
    ignored[members] = True
    ignored[members[_first_of_each(inside[members])]] = False
    return Matches(target, ignored)


def _most_overlapped(rows: IntArray, columns: IntArray, overlaps: DoubleArray, count: int) -> IntArray:
    """The box (N,) that each of ``count`` detections overlaps most, among equal overlaps the first; -1 for none."""
    order = np.lexsort((columns, -overlaps, rows))
    first = order[_first_of_each(rows[order])]
    boxes = np.full(count, -1, np.int64)
    boxes[rows[first]] = columns[first]
    return boxes


def _best_first(found: DetectionTable, rows: IntArray) -> IntArray:
    return np.asarray(rows[np.argsort(-found.scores[rows], kind="stable")], np.int64)


def _first_of_each(values: IntArray) -> IntArray:
    """Where each value comes first."""
    return np.asarray(np.unique(values, return_index=True)[1], np.int64)
