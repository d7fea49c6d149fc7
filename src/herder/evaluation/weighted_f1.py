"""F1 when photos count more than once or not at all: what a bootstrap over photos needs.

The threshold is the one with the best F1 on all photos. A bootstrap keeps it: chosen again in each draw, F1 is the
highest of many, which draws of photos overrate, and intervals come out too narrow (0.93 in place of 0.95 in a
simulation of 100 photos). Where photos are swapped between models it is chosen again, as a permutation test asks.

Notation: P photos, N detections that count, best score first.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from herder.boxes import IntArray
from herder.evaluation.photo_matches import PhotoMatches, Weights
from herder.evaluation.tables import DoubleArray


@dataclass(frozen=True, eq=False)
class WeightedF1:
    """Detections matched once at IoU 0.5; the photos' weights are given afterwards.

    ``photos`` (N,) indices, ``hits`` (N,), ``last`` (N,) True where the next score is lower: equal scores pass a
    threshold together; ``truths`` (P,) labelled boxes that count.
    """

    photos: IntArray
    hits: NDArray[np.bool_]
    last: NDArray[np.bool_]
    truths: IntArray

    @cached_property
    def own(self) -> tuple[IntArray, IntArray]:
        """Hits (P,) and all kept detections (P,) in each photo at the threshold with the best F1 on all photos."""
        values = self._curve(np.ones(len(self.truths)))
        ends = np.flatnonzero(self.last)
        end = int(ends[np.argmax(values)]) + 1 if len(ends) and values.max() > 0 else 0
        kept, photos = self.photos[:end], len(self.truths)
        return np.bincount(kept[self.hits[:end]], minlength=photos), np.bincount(kept, minlength=photos)

    @classmethod
    def of(cls, matches: PhotoMatches) -> WeightedF1:
        """From detections matched at IoU 0.5 among others; all classes are counted together."""
        level = matches.ious.index(0.5)
        kept = np.flatnonzero(~matches.ignored[level])
        order = kept[np.argsort(-matches.scores[kept], kind="stable")]
        scores = matches.scores[order]
        last = np.append(scores[1:] != scores[:-1], True) if len(order) else np.zeros(0, np.bool_)
        return cls(matches.photos[order], matches.hits[level, order], last, matches.truths.sum(axis=1))

    def best(self, weights: Weights | None = None) -> float:
        """The highest F1 over all score thresholds, when photo i counts ``weights[i]`` times (P,), each once if None.

        The threshold is chosen again for each set of weights. 0 where nothing is hit, NaN where no labelled box counts.

        >>> truths, photos = np.array([1, 1]), np.array([0, 1])
        >>> f1 = WeightedF1(photos, np.array([True, False]), np.array([True, True]), truths)
        >>> round(f1.best(), 3), f1.best(np.array([1, 0])), f1.best(np.array([0, 1]))
        (0.667, 1.0, 0.0)
        """
        if weights is None:
            weights = np.ones(len(self.truths))
        if not self.truths @ weights > 0:
            return float("nan")
        return float(self._curve(weights).max(initial=0.0))

    def fixed(self, weights: Weights | None = None) -> float:
        """F1 at the threshold that is best on all photos, when photo i counts ``weights[i]`` times (P,)."""
        if weights is None:
            weights = np.ones(len(self.truths))
        hits, kept = self.own
        truths = float(self.truths @ weights)
        return float(2 * (hits @ weights) / (kept @ weights + truths)) if truths > 0 else float("nan")

    def _curve(self, weights: Weights) -> DoubleArray:
        """F1 (S,) at each distinct score."""
        each = weights[self.photos]
        kept = np.cumsum(each)[self.last]
        hits = np.cumsum(each * self.hits)[self.last]
        return np.asarray(2 * hits / np.maximum(kept + self.truths @ weights, 1e-300), np.float64)
