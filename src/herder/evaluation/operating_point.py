"""Precision, recall and F1 over the score threshold, and the thresholds worth having: the best F-beta, the most recall
at a wanted precision, the most precision at a wanted recall.

F-beta is van Rijsbergen's: recall counts beta times as much as precision (Information Retrieval, 1979, chapter 7,
http://www.dcs.gla.ac.uk/Keith/Chapter.7/Ch.7.html). Notation: N detections that count (not ignored), best score first;
G labelled boxes that count; S distinct scores.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from herder.errors import ConfigError
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


@dataclass(frozen=True)
class NotReached:
    """No threshold gives what was wanted.

    >>> str(NotReached("recall", 0.9, 0.75, 0.01))
    'not reached: the highest recall is 0.750, at a score of 0.010'
    """

    measure: str
    """``precision`` or ``recall``."""
    wanted: float
    highest: float
    """What the measure reaches at most; NaN where it is not defined at any threshold."""
    threshold: float
    """The score threshold that gives the highest; NaN where there is none."""

    def __str__(self) -> str:
        if np.isnan(self.highest):
            return "not computed: no box is labelled"
        if np.isnan(self.threshold):
            return "not reached: nothing was detected"
        return f"not reached: the highest {self.measure} is {self.highest:.3f}, at a score of {self.threshold:.3f}"


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
        return self.f_beta()

    def f_beta(self, beta: float = 1.0) -> DoubleArray:
        """(1 + b^2) hits / (hits + false alarms + b^2 G) (S,): recall counts ``beta`` times as much as precision.

        NaN without labelled boxes. Raises ConfigError when ``beta`` is not positive.

        >>> Curve.of(np.array([0.9, 0.8]), np.array([True, False]), truths=1).f_beta(2).round(3).tolist()
        [1.0, 0.833]
        """
        if not (np.isfinite(beta) and beta > 0):
            raise ConfigError(f"beta {beta} is not positive", hint="use 1 for F1, 2 where misses are worse")
        if not self.truths:
            return np.full(len(self.hits), np.nan)
        square = beta * beta
        return np.asarray((1 + square) * self.hits / (self.hits + self.false_alarms + square * self.truths))

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

    def best(self, beta: float = 1.0) -> OperatingPoint:
        """The threshold with the best F-beta, the highest of equals; ``DEFAULT_THRESHOLD`` where none is above 0."""
        values = self.f_beta(beta)
        if not self.truths or not len(self.scores) or not self.hits[-1]:
            return self.at(DEFAULT_THRESHOLD)
        return self.at(float(self.scores[int(np.argmax(values))]))

    def at_precision(self, wanted: float) -> OperatingPoint | NotReached:
        """The most recall among the thresholds whose precision is at least ``wanted``; the highest of equals.

        Raises ConfigError when ``wanted`` is not above 0 and up to 1.

        >>> curve = Curve.of(np.array([0.9, 0.8, 0.7]), np.array([True, False, True]), truths=2)
        >>> curve.at_precision(0.6).threshold, curve.at_precision(0.7).threshold
        (0.7, 0.9)
        """
        return self._reached("precision", wanted, self.precision, self.recall)

    def at_recall(self, wanted: float) -> OperatingPoint | NotReached:
        """The most precision among the thresholds whose recall is at least ``wanted``; the highest of equals.

        Raises ConfigError when ``wanted`` is not above 0 and up to 1.

        >>> curve = Curve.of(np.array([0.9, 0.8, 0.7]), np.array([True, False, True]), truths=4)
        >>> curve.at_recall(0.5).threshold, str(curve.at_recall(0.75))
        (0.7, 'not reached: the highest recall is 0.500, at a score of 0.700')
        """
        return self._reached("recall", wanted, self.recall, self.precision)

    def _reached(
        self, measure: str, wanted: float, values: DoubleArray, others: DoubleArray
    ) -> OperatingPoint | NotReached:
        if not 0 < wanted <= 1:
            raise ConfigError(f"wanted {measure} {wanted} is not above 0 and up to 1", hint="use 0.9, say")
        if not self.truths:
            return NotReached(measure, wanted, float("nan"), float("nan"))
        if not len(self.scores):
            return NotReached(measure, wanted, 0.0, float("nan"))
        # Counts are whole numbers: a share that is wanted exactly may differ in the last bit only.
        reached = np.flatnonzero(values >= wanted - 1e-12)
        if not len(reached):
            highest = int(np.argmax(values))
            return NotReached(measure, wanted, float(values[highest]), float(self.scores[highest]))
        return self.at(float(self.scores[reached[np.argmax(others[reached])]]))
