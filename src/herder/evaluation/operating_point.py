"""Precision, recall and F1 over the score threshold, and the threshold where F1 is best.

Notation: N detections that count (not ignored), best score first; G labelled boxes that count.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from herder.evaluation.tables import DoubleArray

DEFAULT_THRESHOLD = 0.25
"""The threshold where none is better than another, because no detection hits anything."""


@dataclass(frozen=True)
class OperatingPoint:
    """Precision, recall and F1 when detections with at least ``threshold`` are kept."""

    threshold: float
    precision: float
    recall: float
    f1: float
    hits: int
    false_alarms: int
    misses: int


@dataclass(frozen=True, eq=False)
class Curve:
    """Precision, recall and F1 (S,) at each of the S distinct scores, highest first, and what they were counted from.

    Entry i keeps every detection with a score of at least ``scores[i]``. ``truths`` is G.
    """

    scores: DoubleArray
    hits: NDArray[np.int64]
    false_alarms: NDArray[np.int64]
    truths: int

    @classmethod
    def of(cls, scores: DoubleArray, hits: NDArray[np.bool_], truths: int) -> Curve:
        """Count from the scores (N,) of detections in any order and whether each is a hit (N,).

        >>> curve = Curve.of(np.array([0.9, 0.8, 0.8, 0.1]), np.array([True, True, False, False]), truths=4)
        >>> curve.scores.tolist(), curve.precision.round(3).tolist(), curve.recall.tolist()
        ([0.9, 0.8, 0.1], [1.0, 0.667, 0.5], [0.25, 0.5, 0.5])
        """
        order = np.argsort(-scores, kind="stable")
        ordered, hit = scores[order], hits[order]
        # Equal scores pass a threshold together, so that only the last of each run is a point of the curve.
        last = np.append(ordered[1:] != ordered[:-1], True) if len(ordered) else np.zeros(0, bool)
        return cls(ordered[last], np.cumsum(hit)[last], np.cumsum(~hit)[last], truths)

    @property
    def precision(self) -> DoubleArray:
        """Hits among what is kept (S,)."""
        return np.asarray(self.hits / (self.hits + self.false_alarms))

    @property
    def recall(self) -> DoubleArray:
        """Hits among the labelled boxes (S,); NaN where there are none."""
        return np.asarray(self.hits / self.truths if self.truths else np.full(len(self.hits), np.nan))

    @property
    def f1(self) -> DoubleArray:
        """2 hits / (2 hits + false alarms + misses) (S,), precision and recall in harmonic mean; NaN without truth."""
        if not self.truths:
            return np.full(len(self.hits), np.nan)
        return np.asarray(2 * self.hits / (self.hits + self.false_alarms + self.truths))

    def at(self, threshold: float) -> OperatingPoint:
        """What keeping scores of at least ``threshold`` gives.

        Without labelled boxes recall and F1 are NaN, and so is precision where nothing is kept; with labelled boxes but
        nothing kept, all three are 0.
        """
        kept = int(np.searchsorted(-self.scores, -threshold, side="right"))
        hits, false_alarms = (int(self.hits[kept - 1]), int(self.false_alarms[kept - 1])) if kept else (0, 0)
        nothing = 0.0 if self.truths else float("nan")
        return OperatingPoint(
            threshold,
            hits / (hits + false_alarms) if kept else nothing,
            hits / self.truths if self.truths else nothing,
            2 * hits / (hits + false_alarms + self.truths) if self.truths else nothing,
            hits,
            false_alarms,
            self.truths - hits,
        )

    def best(self) -> OperatingPoint:
        """The threshold with the best F1, the highest of equals; ``DEFAULT_THRESHOLD`` where no F1 is above 0."""
        if not self.truths or not len(self.scores) or not self.hits[-1]:
            return self.at(DEFAULT_THRESHOLD)
        return self.at(float(self.scores[int(np.argmax(self.f1))]))
