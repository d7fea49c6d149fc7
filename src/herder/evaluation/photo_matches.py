"""Average precision when photos count more than once or not at all: matched once, weighted as often as wanted.

A bootstrap over photos draws some photos twice and others not at all. A photo's detections match its own boxes alone,
so that nothing need be matched again: a photo drawn twice is a photo of weight two. Average precision is COCO's
(https://cocodataset.org/#detection-eval), precision read at 101 recalls, or that of the ``Rules`` chosen.

Notation: P photos, D detections, K classes, T overlaps (IoUs), S = T K curves of precision over recall.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from herder.boxes import IntArray
from herder.evaluation.matching import Matches, match_at
from herder.evaluation.open_images.matching import match_open_images
from herder.evaluation.rules import Rules
from herder.evaluation.tables import DetectionTable, DoubleArray, TruthTable
from herder.evaluation.weighted_curves import WeightedCurves

IOUS = tuple(float(iou) for iou in np.linspace(0.5, 0.95, 10))
"""COCO's overlaps, 0.5 to 0.95."""

Weights = IntArray | DoubleArray


@dataclass(frozen=True, eq=False)
class PhotoMatches:
    """What became of each detection of a model, kept photo by photo; best score of each class first.

    ``photos`` (D,), ``classes`` (D,), ``scores`` (D,); ``hits`` and ``ignored`` (T, D); ``truths`` (P, K) how many
    labelled boxes count; ``ious`` (T,).
    """

    photos: IntArray
    classes: IntArray
    scores: DoubleArray
    hits: NDArray[np.bool_]
    ignored: NDArray[np.bool_]
    truths: IntArray
    ious: tuple[float, ...] = IOUS
    rules: Rules = Rules.COCO

    @classmethod
    def of(
        cls,
        truth: TruthTable,
        found: DetectionTable,
        photos: int,
        classes: int,
        rules: Rules = Rules.COCO,
        ious: Sequence[float] | None = None,
    ) -> PhotoMatches:
        """Match the best 100 detections of each class and photo (Open Images: all of them).

        ``ious`` None are those the rules average over: COCO's ten, Open Images' 0.5 alone.

        Raises ValueError for a photo or class that is out of range.

        >>> boxes, one = np.array([[0.0, 0, 10, 10], [50, 50, 9, 9]]), np.array([0, 1])
        >>> truth = TruthTable(one, one * 0, boxes, one > 1, boxes[:, 2] * boxes[:, 3])
        >>> found = DetectionTable(one, one * 0, boxes + [[0.0], [90]], np.array([0.9, 0.8]))
        >>> matches = PhotoMatches.of(truth, found, photos=2, classes=1)
        >>> [round(matches.map(weights)[0], 3) for weights in (None, np.array([1, 0]), np.array([0, 1]))]
        [0.505, 1.0, 0.0]
        """
        for name, ids, limit in (
            ("photo", (truth.photos, found.photos), photos),
            ("class", (truth.classes, found.classes), classes),
        ):
            both = np.concatenate(ids)
            if len(both) and not 0 <= both.min() <= both.max() < limit:
                raise ValueError(f"{name} ids {both.min()} to {both.max()} are out of range for {limit}")
        if rules is Rules.COCO:
            levels = tuple(ious or IOUS)
            found = found.best()
            matches = match_at(truth, found, levels)
            counts = ~truth.ignore
        else:
            levels = tuple(ious or (0.5,))
            each = [match_open_images(truth, found, iou) for iou in levels]
            matches = Matches(np.stack([m.truth for m in each]), np.stack([m.ignored for m in each]))
            counts = np.ones(len(truth), np.bool_)  # a group is one box to be found
        truths = np.zeros((photos, classes), np.int64)
        np.add.at(truths, (truth.photos[counts], truth.classes[counts]), 1)
        return cls.sorted(found, matches.hits, matches.ignored, truths, levels, rules)

    @classmethod
    def sorted(
        cls,
        found: DetectionTable,
        hits: NDArray[np.bool_],
        ignored: NDArray[np.bool_],
        truths: IntArray,
        ious: tuple[float, ...] = IOUS,
        rules: Rules = Rules.COCO,
    ) -> PhotoMatches:
        """The same with the detections brought into COCO's order: equal scores by photo, then as they came."""
        order = np.lexsort((found.photos, -found.scores, found.classes))
        columns = found.photos[order], found.classes[order], found.scores[order]
        return cls(*columns, hits[:, order], ignored[:, order], truths, ious, rules)

    @classmethod
    def joined(cls, parts: Sequence[PhotoMatches]) -> PhotoMatches:
        """The photos of all parts one after the other, as if one model had looked at them all.

        Two models on the same P photos joined make 2 P photos; weights of 1 for some of the first and for the others of
        the second mix the two models photo by photo, as a permutation test does. Raises ValueError where classes,
        overlaps or rules differ.
        """
        first = parts[0]
        for part in parts[1:]:
            if (part.truths.shape[1], part.ious, part.rules) != (first.truths.shape[1], first.ious, first.rules):
                raise ValueError("matches of other classes, overlaps or rules cannot be joined")
        starts = np.cumsum([0, *(len(part.truths) for part in parts)])
        found = DetectionTable(
            np.concatenate([part.photos + start for part, start in zip(parts, starts[:-1], strict=True)]),
            np.concatenate([part.classes for part in parts]),
            np.zeros((sum(len(part.photos) for part in parts), 4)),
            np.concatenate([part.scores for part in parts]),
        )
        hits, ignored = (np.concatenate([getattr(part, n) for part in parts], axis=1) for n in ("hits", "ignored"))
        return cls.sorted(found, hits, ignored, np.concatenate([p.truths for p in parts]), first.ious, first.rules)

    def __len__(self) -> int:
        """How many photos."""
        return len(self.truths)

    def average_precision(self, weights: Weights | None = None) -> DoubleArray:
        """Average precision (T, K) when photo i counts ``weights[i]`` times (P,), each once if None.

        NaN where a class has no labelled box of weight. Whole weights give what COCO gives for photos repeated that
        often, except where two detections of one photo and class have equal scores: the reference then lets the copies
        of the second overtake, here those of the first all come before.
        """
        each = np.ones(len(self)) if weights is None else np.asarray(weights, np.float64)
        if each.shape != (len(self),):
            raise ValueError(f"weights: found shape {each.shape}, wanted ({len(self)},)")
        return self.curves.average_precision(each)

    def map(self, weights: Weights | None = None) -> tuple[float, float]:
        """mAP50 and mAP50_95: the means over the classes that have labelled boxes.

        NaN where no class has one, or where these overlaps were not matched.
        """
        average = self.average_precision(weights)
        counted = ~np.isnan(average[0])
        if not counted.any():
            return float("nan"), float("nan")
        map50 = float(average[self.ious.index(0.5), counted].mean()) if 0.5 in self.ious else float("nan")
        return map50, float(average[:, counted].mean()) if self.ious == IOUS else float("nan")

    @cached_property
    def curves(self) -> WeightedCurves:
        """What is the same for all weights, prepared once."""
        return WeightedCurves.of(self.photos, self.classes, self.hits, self.ignored, self.truths, self.rules)
