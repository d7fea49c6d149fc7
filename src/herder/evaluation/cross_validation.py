"""What a cross-validation found: each fold, all folds together, and how steady the numbers are.

Two views. *Over folds*: mean and spread of the folds' numbers. Folds share most of their training photos, so that the
plain interval of their mean is too narrow; here its variance is (1/n + validated/trained) s^2 after C. Nadeau,
Y. Bengio, "Inference for the Generalization Error", 2003, https://doi.org/10.1023/A:1024068626366. *Pooled*: what all
folds' detectors found on photos that they did not train on, measured as if one detector had looked at all photos, with
a bootstrap interval over groups of photos. Pooling takes scores of different detectors for comparable (G. Forman,
M. Scholz, "Apples-to-Apples in Cross-Validation Studies", 2010, https://doi.org/10.1145/1882471.1882479).

The robustness score is the mean over strategies and metrics of 1 - standard deviation / mean over folds: 1 where every
fold gives the same number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from herder.errors import DataError
from herder.evaluation.metrics import Metrics
from herder.evaluation.not_computed import NotComputed
from herder.evaluation.plain_values import from_plain, to_plain
from herder.evaluation.significance.descriptive import Value, is_constant, scipy_stats, too_few
from herder.evaluation.significance.intervals import Interval

METRICS = ("mAP50", "mAP50_95", "precision", "recall", "F1")
"""What is followed over folds; the last three at the score threshold with the best F1, at IoU 0.5."""

LEVEL = 0.95

NO_TRUTH = NotComputed("no labelled box counts in these photos")


@dataclass(frozen=True)
class FoldResult:
    """One fold: what was trained on what, and what it reached on the photos that it did not see."""

    strategy: str
    repeat: int
    """Counted from 1, as is ``fold``."""
    fold: int
    trained: int
    """Photos trained on."""
    photos: int
    """Photos validated on."""
    truths: int
    """Labelled boxes that count there."""
    fingerprint: str
    """Of the photos validated on."""
    metrics: Mapping[str, float]
    """``METRICS`` and ``threshold``; what is not defined is left out."""
    epoch: int
    """The epoch whose weights were measured."""
    seconds: float
    """Training time."""
    model: str
    """The model file, from the folder of the cross-validation on."""
    sha256: str

    def value(self, metric: str) -> Value:
        """A metric, or why there is none."""
        return self.metrics.get(metric, NO_TRUTH)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; a metric that is not defined is null."""
        metrics = {name: self.metrics.get(name) for name in (*METRICS, "threshold")}
        return {**vars(self), "metrics": metrics}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> FoldResult:
        """The reverse; raises KeyError, TypeError or ValueError for something else."""
        return cls(
            str(data["strategy"]),
            int(data["repeat"]),
            int(data["fold"]),
            int(data["trained"]),
            int(data["photos"]),
            int(data["truths"]),
            str(data["fingerprint"]),
            {name: float(value) for name, value in dict(data["metrics"]).items() if value is not None},
            int(data["epoch"]),
            float(data["seconds"]),
            str(data["model"]),
            str(data["sha256"]),
        )


@dataclass(frozen=True)
class Measure:
    """One number of all folds together and its interval over photos."""

    name: str
    value: float | NotComputed
    interval: Interval | NotComputed


@dataclass(frozen=True)
class Pooled:
    """All photos that one repeat of a strategy validated, each by the detector that had not seen it."""

    strategy: str
    repeat: int
    photos: int
    truths: int
    threshold: float
    measures: tuple[Measure, ...]


@dataclass(frozen=True)
class Spread:
    """One metric over the folds of a strategy."""

    strategy: str
    metric: str
    n: int
    mean: Value
    std: Value
    """With n - 1 in the denominator."""
    interval: Interval | NotComputed
    """Of the mean, for training photos that folds share."""
    steadiness: Value
    """1 - standard deviation / mean."""


@dataclass(frozen=True)
class CrossValidation:
    """The result of a cross-validation."""

    folds: tuple[FoldResult, ...]
    pooled: tuple[Pooled, ...]
    notes: tuple[str, ...] = ()

    @property
    def strategies(self) -> tuple[str, ...]:
        """Those used, in order."""
        return tuple(dict.fromkeys(fold.strategy for fold in self.folds))

    def spreads(self) -> tuple[Spread, ...]:
        """Each metric over the folds of each strategy."""
        return tuple(
            _spread([fold for fold in self.folds if fold.strategy == strategy], metric)
            for strategy in self.strategies
            for metric in METRICS
        )

    def robustness(self) -> Value:
        """The robustness score; not computed where it is not for one of the metrics."""
        values = []
        for spread in self.spreads():
            if isinstance(spread.steadiness, NotComputed):
                return NotComputed(f"{spread.metric} by {spread.strategy}: {spread.steadiness.reason}")
            values.append(spread.steadiness)
        return sum(values) / len(values) if values else NotComputed("no fold was measured")

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "folds": [fold.as_dict() for fold in self.folds],
            "pooled": to_plain(self.pooled),
            "spread": to_plain(self.spreads()),
            "robustness": to_plain(self.robustness()),
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], source: str) -> CrossValidation:
        """Read back what ``as_dict`` gave. Raises DataError naming ``source`` where it is something else."""
        try:
            folds = tuple(FoldResult.from_dict(fold) for fold in data["folds"])
            pooled = from_plain(tuple[Pooled, ...], data["pooled"])
            return cls(folds, pooled, tuple(str(note) for note in data.get("notes", ())))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(
                f"{source}: is no result of a cross-validation ({error!r})", hint="run `herder crossval` again"
            ) from None


def known_metrics(metrics: Metrics) -> dict[str, float]:
    """``METRICS`` and the threshold, without those that are NaN."""
    values = metrics.as_dict()
    return {name: float(values[name]) for name in (*METRICS, "threshold") if math.isfinite(values[name])}


def _spread(folds: Sequence[FoldResult], metric: str) -> Spread:
    strategy, n = folds[0].strategy, len(folds)
    known = np.array([fold.metrics[metric] for fold in folds if metric in fold.metrics], np.float64)
    if len(known) < n:
        nothing = NotComputed(f"{n - len(known)} of {n} folds have no labelled box that counts")
        return Spread(strategy, metric, len(known), nothing, nothing, nothing, nothing)
    mean = float(known.mean())
    if n < 2:
        few = too_few(n, 2)
        return Spread(strategy, metric, n, mean, few, few, few)
    std = 0.0 if is_constant(known) else float(known.std(ddof=1))
    ratio = float(np.mean([fold.photos / fold.trained for fold in folds]))
    half = float(scipy_stats().t.ppf((1 + LEVEL) / 2, n - 1)) * std * math.sqrt(1 / n + ratio)
    interval = Interval(mean - half, mean + half, LEVEL, "Student's t, corrected for shared training photos")
    steadiness = 1 - std / mean if mean else NotComputed("the mean is 0")
    return Spread(strategy, metric, n, mean, std, interval, steadiness)
