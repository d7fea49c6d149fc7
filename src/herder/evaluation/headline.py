"""The numbers at the top of a report, each with the interval in which it would fall on other photos of the same kind.

Intervals are BCa intervals over photos drawn with replacement (see ``herder.evaluation.resampled_precision``). They
tell how much the choice of photos matters, and nothing of the choice of seed in training, or of another farm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from herder.boxes import IntArray
from herder.evaluation.error_analysis import photo_errors
from herder.evaluation.not_computed import NotComputed
from herder.evaluation.photo_matches import PhotoMatches
from herder.evaluation.report import Section, Table
from herder.evaluation.resampled_precision import draw_weights
from herder.evaluation.significance.intervals import Interval, bca_interval
from herder.evaluation.tables import DetectionTable, DoubleArray, TruthTable

LEVEL = 0.95

LEFT_OUT = 500
"""At most so many groups of photos are left out in turn; what BCa intervals take from it needs no more."""

TITLES = {"mAP50": "mAP50", "mAP50_95": "mAP50-95", "precision": "Precision", "recall": "Recall", "F1": "F1"}
"""What is shown, in this order; the last three at one score threshold."""


@dataclass(frozen=True, eq=False)
class Sampled:
    """The five measures as they are (5,), on photos drawn anew (D, 5), and with photos left out (G, 5)."""

    values: DoubleArray
    draws: DoubleArray
    left_out: DoubleArray


def sample_measures(
    truth: TruthTable,
    found: DetectionTable,
    photos: int,
    classes: int,
    threshold: float,
    draws: int,
    seed: int,
    groups: IntArray | None = None,
) -> Sampled:
    """Measure on all photos, on ``draws`` samples of them, and with each photo (or 500 groups of photos) left out.

    Precision, recall and F1 are at ``threshold`` and IoU 0.5, which is not chosen anew in each draw. ``groups`` (P,)
    are drawn and left out as a whole, numbered from 0 (one camera, one farm); None: each photo stands alone.
    """
    matches = PhotoMatches.of(truth, found, photos, classes)
    errors = photo_errors(truth, found, photos, threshold)
    counts = np.array([(e.hits, e.false_alarms, e.misses) for e in errors], np.int64).reshape(photos, 3)

    def measure(weights: DoubleArray) -> list[float]:
        hits, alarms, misses = (weights @ counts).tolist()
        return [
            *matches.map(weights),
            hits / (hits + alarms) if hits + alarms else np.nan,
            hits / (hits + misses) if hits + misses else np.nan,
            2 * hits / (2 * hits + alarms + misses) if hits + misses else np.nan,
        ]

    members = np.arange(photos) if groups is None else groups
    parts = members % LEFT_OUT
    seeds = np.random.SeedSequence(seed).spawn(draws)
    drawn = [measure(draw_weights(members, np.random.default_rng(each))) for each in seeds]
    left_out = [measure((parts != part).astype(np.float64)) for part in np.unique(parts)]
    return Sampled(
        np.array(measure(np.ones(photos))), np.reshape(drawn, (-1, 5)), np.reshape(np.array(left_out), (-1, 5))
    )


@dataclass(frozen=True)
class Measure:
    """One number and its interval."""

    name: str
    value: float | NotComputed
    interval: Interval | NotComputed

    def as_dict(self) -> dict[str, Any]:
        """For JSON: what is not computed is null, with the reason beside."""
        found: dict[str, Any] = {"value": None if isinstance(self.value, NotComputed) else self.value}
        if isinstance(self.value, NotComputed):
            return {**found, "why": self.value.reason}
        if isinstance(self.interval, NotComputed):
            return {**found, "interval": None, "why": self.interval.reason}
        return {**found, "interval": [self.interval.low, self.interval.high], "method": self.interval.method}


def headline(sampled: Sampled, level: float = LEVEL) -> tuple[Measure, ...]:
    """The measures with their intervals, in the order of ``TITLES``."""
    measures = []
    for column, name in enumerate(TITLES):
        value = float(sampled.values[column])
        if np.isnan(value):
            reason = NotComputed("no box is labelled, or nothing was detected")
            measures.append(Measure(name, reason, reason))
            continue
        interval = bca_interval(value, sampled.draws[:, column], sampled.left_out[:, column], level)
        measures.append(Measure(name, value, interval))
    return tuple(measures)


def headline_section(runs: Sequence[tuple[str, float, Sequence[Measure]]], photos: int, truths: int) -> Section:
    """The numbers of one or several models on the same photos: name, score threshold, measures of each."""
    rows = [[name, f"{threshold:.2f}", *map(_both, measures)] for name, threshold, measures in runs]
    columns = ["Model", "Threshold", *TITLES.values()]
    first = runs[0][2]
    return Section(
        "Result",
        f"Measured on {photos:,} photos with {truths:,} labelled boxes. Each number stands with the interval in which "
        f"it would fall on other photos of the same kind, {100 * LEVEL:g} % of the time (BCa bootstrap over photos). "
        "Another farm, or another seed in training, may lie outside.",
        numbers=[(TITLES[m.name], _number(m.value)) for m in first] if len(runs) == 1 else (),
        tables=[Table(columns, rows)] if len(runs) > 1 else [_upright(first)],
    )


def _upright(measures: Sequence[Measure]) -> Table:
    rows = [(TITLES[m.name], _number(m.value), str(m.interval)) for m in measures]
    return Table(("Measure", "Value", f"{100 * LEVEL:g} % interval"), rows)


def _number(value: float | NotComputed) -> str | float:
    return str(value) if isinstance(value, NotComputed) else value


def _both(measure: Measure) -> str:
    """A value with its interval, as one cell."""
    if isinstance(measure.value, NotComputed):
        return str(measure.value)
    return f"{measure.value:.3f} ({measure.interval})"
