"""Which detection hits which labelled box: the greedy matching of COCO, at one overlap or at many.

Detections are taken best score first; each takes the free labelled box it overlaps most. A detection that finds none
but lies on an ignore box (a herd, a COCO crowd) is ignored: neither a hit nor a false alarm. Overlap with an ignore box
is the share of the detection that lies inside it, as https://cocodataset.org/#detection-eval has it.

Notation: N detections, M labelled boxes, P pairs of the two that could match, T overlaps to match at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from herder.boxes import IntArray
from herder.evaluation.tables import DetectionTable, DoubleArray, TruthTable

PAIRS_AT_ONCE = 1_000_000
"""Overlaps computed in one go: some 100 MB of memory at most."""


@dataclass(frozen=True, eq=False)
class Matches:
    """What became of each detection; the last axis is the rows of the two tables. From ``match_at`` (N,) is (T, N).

    ``truth`` (N,) the row of the labelled box that a detection hits, -1 for none; ``ignored`` (N,) True where it counts
    neither way.
    """

    truth: IntArray
    ignored: NDArray[np.bool_]

    @property
    def hits(self) -> NDArray[np.bool_]:
        """(N,) True where a detection hits a labelled box that counts."""
        return np.asarray((self.truth >= 0) & ~self.ignored)


def match(truth: TruthTable, found: DetectionTable, iou: float = 0.5, *, by_class: bool = True) -> Matches:
    """Match detections to labelled boxes that they overlap by at least ``iou``.

    With ``by_class`` only equal classes match; without, any do, but among equal overlaps the own class wins.
    """
    matches = match_at(truth, found, [iou], by_class=by_class)
    return Matches(matches.truth[0], matches.ignored[0])


def match_at(
    truth: TruthTable,
    found: DetectionTable,
    ious: Sequence[float] | DoubleArray,
    *,
    by_class: bool = True,
    outside: NDArray[np.bool_] | None = None,
) -> Matches:
    """Match at each of the T overlaps ``ious``; the overlaps themselves are computed once.

    ``outside`` (M,) marks labelled boxes that do not count this time, such as those of another size: to be ignored, but
    unlike a crowd each takes one detection, by IoU.
    """
    wanted = np.asarray(ious, np.float64)
    rows, columns, overlaps = overlapping(truth, found, float(wanted.min()), by_class)
    same = found.classes[rows] == truth.classes[columns]
    ignore = truth.ignore if outside is None else truth.ignore | outside
    span = 1 + int(found.classes.max(initial=0)) if by_class else 1
    group: IntArray = found.photos[rows] * span + (found.classes[rows] if by_class else 0)
    # Best detection first; for each, boxes that count before those to ignore, then the best overlap. Among equal
    # overlaps the own class, then the later box: the reference code replaces its choice on equality.
    order = np.lexsort((-columns, ~same, -overlaps, ignore[columns], rows, -found.scores[rows], group))
    rows, columns, overlaps, group = rows[order], columns[order], overlaps[order], group[order]
    target = np.full((len(wanted), len(found)), -1, np.int64)
    taken = np.zeros((len(wanted), len(truth)), np.bool_)
    for pairs, starts in _turns(rows, group):
        # Detections of one turn lie in different groups, so that no two of them want the same box.
        choice = columns[pairs]
        free = (overlaps[pairs] >= wanted[:, None]) & ~taken[:, choice]  # (T, pairs)
        first = np.minimum.reduceat(np.where(free, np.arange(len(pairs)), len(pairs)), starts, axis=1)
        level, which = np.nonzero(first < len(pairs))
        chosen = choice[first[level, which]]
        target[level, rows[pairs[starts[which]]]] = chosen
        taken[level, chosen] = ~truth.ignore[chosen]  # a crowd takes any number
    return Matches(target, (target >= 0) & np.append(ignore, False)[target])


def _turns(rows: IntArray, group: IntArray) -> list[tuple[IntArray, IntArray]]:
    """The pairs of the first detection of each group, those of the second, and so on.

    Each turn is the indices of its pairs, and where among them those of the next detection start.
    """
    if not len(rows):
        return []
    new = np.append(True, rows[1:] != rows[:-1])  # (P,) the first pair of a detection
    of = np.cumsum(new) - 1  # (P,) which detection, in order
    owner = group[new]
    first = np.append(True, owner[1:] != owner[:-1])
    starts = np.flatnonzero(first)
    turn = np.arange(len(owner)) - starts[np.cumsum(first) - 1]  # (detections,) place in its group
    by_turn = np.argsort(turn[of], kind="stable")
    cuts = np.cumsum(np.bincount(turn[of]))[:-1]
    return [(pairs, np.flatnonzero(new[pairs])) for pairs in np.split(by_turn, cuts)]


def overlapping(
    truth: TruthTable, found: DetectionTable, iou: float, by_class: bool
) -> tuple[IntArray, IntArray, DoubleArray]:
    """Rows (P,) of detections and (P,) of labelled boxes of one photo that overlap by ``iou``, and by how much (P,).

    The overlap with an ignore box is the share of the detection in it. With ``by_class`` only boxes of equal class.
    """
    span = 1 + max(truth.classes.max(initial=0), found.classes.max(initial=0)) if by_class else 1
    truth_key = truth.photos * span + (truth.classes if by_class else 0)
    found_key = found.photos * span + (found.classes if by_class else 0)
    by_key = np.argsort(truth_key, kind="stable")
    first = np.searchsorted(truth_key[by_key], found_key, side="left")
    count = np.searchsorted(truth_key[by_key], found_key, side="right") - first  # (N,) boxes to compare with
    parts: list[tuple[IntArray, IntArray, DoubleArray]] = []
    cuts = np.searchsorted(np.cumsum(count), np.arange(PAIRS_AT_ONCE, count.sum(), PAIRS_AT_ONCE))
    for block in np.split(np.arange(len(found)), cuts):
        rows = np.repeat(block, count[block])
        offset = np.arange(len(rows)) - np.repeat(np.cumsum(count[block]) - count[block], count[block])
        columns = by_key[first[rows] + offset]
        overlaps = overlap(found.boxes[rows], truth.boxes[columns], truth.ignore[columns])
        enough = overlaps >= iou
        parts.append((rows[enough], columns[enough], overlaps[enough]))
    rows, columns, overlaps = (np.concatenate(column) for column in zip(*parts, strict=True))
    return rows, columns, overlaps


def overlap(a: DoubleArray, b: DoubleArray, crowd: NDArray[np.bool_]) -> DoubleArray:
    """IoU (P,) of xywh boxes a (P, 4) with b (P, 4); where ``crowd`` (P,), the share of a inside b. 0 without area.

    >>> two = np.array([[0.0, 0, 2, 2], [0, 0, 2, 2]])
    >>> overlap(two, two * [1, 1, 2, 1], np.array([False, True])).tolist()
    [0.5, 1.0]
    """
    sides = np.minimum(a[:, :2] + a[:, 2:], b[:, :2] + b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])  # (P, 2)
    intersection = np.clip(sides, 0, None).prod(axis=1)
    own = a[:, 2] * a[:, 3]
    union = np.where(crowd, own, own + b[:, 2] * b[:, 3] - intersection)
    return np.asarray(np.divide(intersection, union, out=np.zeros(len(a)), where=union > 0), np.float64)
