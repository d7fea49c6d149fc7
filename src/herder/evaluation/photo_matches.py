"""Detections matched once, at ten overlaps, so that average precision can be computed again and again for photos that
count more than once, or not at all: what a bootstrap or a jackknife over photos needs.

Matching looks at one photo at a time. Drawing photos anew therefore changes no match, only how often it counts. The
definition of average precision is COCO's, https://cocodataset.org/#detection-eval, and with every photo counted once
the numbers are those of ``herder.evaluation.average_precision``. A photo of weight 2 stands for two copies of it; only
where a photo's detections have equal scores do COCO's tools, which rank whole copies one after the other, differ.

Notation: P photos, K classes, T overlaps, n hits of one class at one overlap, best score first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from herder.boxes import IntArray
from herder.evaluation.matching import match
from herder.evaluation.tables import DetectionTable, DoubleArray, TruthTable

IOUS = tuple(0.5 + 0.05 * step for step in range(10))
"""COCO's overlaps, 0.5 to 0.95."""

RECALLS = np.linspace(0, 1, 101)
"""The recalls at which COCO reads precision."""

Weights = NDArray[np.int64] | NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Hits:
    """The hits of one class at one overlap, and what stands before each of them."""

    photos: IntArray
    """(n,) of each hit."""
    place: IntArray
    """(n,) among all detections of the class, best score first."""
    ignored_before: IntArray
    """(n,) ignored detections before each hit: they count neither way."""
    ignored_photos: IntArray
    """Of the ignored detections, in order."""


@dataclass(frozen=True, eq=False)
class PhotoMatches:
    """The matched detections of one model on P photos; ``PhotoMatches.of`` makes it.

    ``photos`` P; ``ious`` the T overlaps; ``truths`` (K, P) labelled boxes that count.
    """

    photos: int
    ious: tuple[float, ...]
    truths: IntArray
    _ranked: tuple[IntArray, ...]
    """For each class the photos of its detections, best score first."""
    _hits: tuple[tuple[_Hits, ...], ...]
    """For each class, for each overlap."""

    @classmethod
    def of(
        cls, truth: TruthTable, found: DetectionTable, photos: int, classes: int, ious: Sequence[float] = IOUS
    ) -> PhotoMatches:
        """Match the best 100 detections of each class and photo at each of ``ious``.

        Raises ValueError for a photo or class id that is out of range.
        """
        for name, ids, limit in (
            ("photo", truth.photos, photos),
            ("photo", found.photos, photos),
            ("class", truth.classes, classes),
            ("class", found.classes, classes),
        ):
            if len(ids) and not 0 <= ids.min() <= ids.max() < limit:
                raise ValueError(f"{name} ids {ids.min()} to {ids.max()} are out of range for {limit}")
        found = found.best()
        # COCO's order: equal scores stay in the order of the photos.
        found = found.pick(np.argsort(-found.scores, kind="stable"))
        matches = [match(truth, found, iou) for iou in ious]
        ranked, hits = [], []
        for index in range(classes):
            rows = np.flatnonzero(found.classes == index)
            of_class = found.photos[rows]
            ranked.append(of_class)
            each = []
            for matched in matches:
                ignored = np.flatnonzero(matched.ignored[rows])
                place = np.flatnonzero(matched.hits[rows])
                before = np.searchsorted(ignored, place)
                each.append(_Hits(of_class[place], place, before, of_class[ignored]))
            hits.append(tuple(each))
        counts = np.zeros((classes, photos), np.int64)
        np.add.at(counts, (truth.classes[~truth.ignore], truth.photos[~truth.ignore]), 1)
        return cls(photos, tuple(ious), counts, tuple(ranked), tuple(hits))

    def average_precision(self, weights: Weights | None = None) -> DoubleArray:
        """COCO's AP at each overlap for each class (T, K), when photo i counts ``weights[i]`` times (P,).

        NaN for a class without a labelled box in the photos that count. ``weights`` None counts each photo once.

        >>> truth = TruthTable(
        ...     np.array([0, 1]), np.array([0, 0]), np.ones((2, 4)) * 9, np.array([False, False]), np.array([81.0, 81])
        ... )
        >>> found = DetectionTable(np.array([0]), np.array([0]), np.ones((1, 4)) * 9, np.array([0.8]))
        >>> matches = PhotoMatches.of(truth, found, photos=2, classes=1)
        >>> [round(float(matches.average_precision(np.array(w))[0, 0]), 3) for w in ([1, 1], [1, 0], [2, 1])]
        [0.505, 1.0, 0.663]
        """
        weights = np.ones(self.photos) if weights is None else np.asarray(weights, np.float64)
        if weights.shape != (self.photos,):
            raise ValueError(f"weights: found shape {weights.shape}, wanted ({self.photos},)")
        wanted = self.truths @ weights  # (K,)
        result = np.full((len(self.ious), len(self.truths)), np.nan)
        for index, (ranked, hits) in enumerate(zip(self._ranked, self._hits, strict=True)):
            if wanted[index] > 0:
                seen = np.cumsum(weights[ranked])  # detections up to each place, ignored ones too
                for row, each in enumerate(hits):
                    result[row, index] = _average(each, weights, seen, wanted[index])
        return result

    def map(self, weights: Weights | None = None) -> tuple[float, float]:
        """mAP at the first overlap (0.5) and over all of them; NaN where no labelled box counts."""
        average = self.average_precision(weights)
        defined = average[:, ~np.isnan(average[0])]
        if not defined.size:
            return float("nan"), float("nan")
        return float(defined[0].mean()), float(defined.mean())


def _average(hits: _Hits, weights: DoubleArray, seen: DoubleArray, wanted: float) -> float:
    """Precision read at 101 recalls, where it is the highest of that recall or more.

    Only hits are looked at: between two of them precision falls and recall stays.
    """
    if not len(hits.place):
        return 0.0
    right = np.cumsum(weights[hits.photos])  # (n,)
    ignored = np.concatenate([[0.0], np.cumsum(weights[hits.ignored_photos])])[hits.ignored_before]
    counted = seen[hits.place] - ignored  # (n,) detections that count, up to and with this hit
    precision = np.divide(right, counted, out=np.zeros(len(right)), where=counted > 0)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    first = np.searchsorted(right / wanted, RECALLS)
    return float(np.append(envelope, 0.0)[first].mean())
