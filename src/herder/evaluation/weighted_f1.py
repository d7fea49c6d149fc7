"""The best F1 when photos count more than once or not at all: what a bootstrap over photos needs.

Notation: P photos, N detections that count, best score first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from herder.boxes import IntArray
from herder.evaluation.photo_matches import PhotoMatches, Weights


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

        The threshold is chosen again for each set of weights, as it would be on other photos. 0 where nothing is hit,
        NaN where no labelled box counts.

        >>> truths, photos = np.array([1, 1]), np.array([0, 1])
        >>> f1 = WeightedF1(photos, np.array([True, False]), np.array([True, True]), truths)
        >>> round(f1.best(), 3), f1.best(np.array([1, 0])), f1.best(np.array([0, 1]))
        (0.667, 1.0, 0.0)
        """
        if weights is None:
            weights = np.ones(len(self.truths))
        truths = float(self.truths @ weights)
        if truths <= 0:
            return float("nan")
        each = weights[self.photos]
        kept = np.cumsum(each)[self.last]
        hits = np.cumsum(each * self.hits)[self.last]
        return float((2 * hits / (kept + truths)).max(initial=0.0))
