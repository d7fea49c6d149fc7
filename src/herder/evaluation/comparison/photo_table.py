"""The table over photos: differences with their intervals, and how likely they are by chance."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from herder.evaluation.comparison.measured_sides import MeasuredSides, Progress
from herder.evaluation.comparison.result import METRICS, STEPS, Estimate, PhotoGain, PhotoRow, PhotoTable
from herder.evaluation.not_computed import NotComputed
from herder.evaluation.significance import Interval, bca_interval, holm, paired_permutation, photos_needed
from herder.evaluation.tables import DoubleArray

BINS = 40
"""Of the histogram of differences."""

NO_LABELS = NotComputed("no labelled box counts")


def photo_table(
    sides: MeasuredSides,
    gains: tuple[PhotoGain, ...],
    draws: int,
    seed: int,
    level: float,
    *,
    workers: int = 1,
    progress: Progress | None = None,
) -> PhotoTable:
    """Bootstrap and permutation test of B - A over the groups of photos; the same seed gives the same table."""
    a, b = sides.values()
    drawn = sides.bootstrap(draws, seed, workers, progress)  # (D, 3)
    left_out = sides.left_out(workers)  # (n, 3)
    tests = _tests(sides, draws, seed, progress)
    adjusted = holm(tests)
    rows = []
    for column, metric in enumerate(METRICS):
        difference, own = float(b[column] - a[column]), drawn[:, column]
        found = bca_interval(difference, own, left_out[:, column], level)
        edges, counts = _histogram(own)
        rows.append(
            PhotoRow(
                metric,
                _known(a[column]),
                _known(b[column]),
                _known(difference),
                found if isinstance(found, NotComputed) else (found.low, found.high),
                found.method if isinstance(found, Interval) else "no interval",
                probability_better(own),
                tests[column],
                adjusted[column],
                _needed(difference, own, len(sides.group_of), level),
                edges,
                counts,
            )
        )
    return PhotoTable(len(sides.group_of), sides.groups, draws, tuple(rows), gains)


def probability_better(draws: DoubleArray) -> Estimate:
    """The share of draws (D,) above 0; those of exactly 0 count half, those without a number not at all.

    >>> probability_better(np.array([0.1, 0.2, 0.0, -0.1]))
    0.625
    """
    known = draws[np.isfinite(draws)]
    if not len(known):
        return NO_LABELS
    return float(((known > 0).mean() + (known >= 0).mean()) / 2)


def _tests(sides: MeasuredSides, draws: int, seed: int, progress: Progress | None) -> list[Estimate]:
    """The p-value of each metric."""
    if len(sides.a) != len(sides.b):
        reason = f"{len(sides.a)} models cannot be swapped with {len(sides.b)}: name as many on both sides"
        return [NotComputed(reason)] * len(METRICS)
    tell = None if progress is None else partial(progress, "permutation test")
    found = paired_permutation(sides.swapped(), sides.groups, draws, seed, tell)
    return [test.p_value for test in found]


def _needed(difference: float, draws: DoubleArray, photos: int, level: float) -> tuple[tuple[float, Estimate], ...]:
    """Photos for the difference observed, and for those of ``STEPS``."""
    known = draws[np.isfinite(draws)]
    error = float(known.std(ddof=1)) if len(known) > 1 else math.nan
    observed = abs(difference) if math.isfinite(difference) else 0.0
    counts = ((step, photos_needed(step, error, photos, level=level)) for step in (observed, *STEPS))
    return tuple((step, n if isinstance(n, NotComputed) else float(n)) for step, n in counts)


def _known(value: float) -> Estimate:
    return float(value) if np.isfinite(value) else NO_LABELS


def _histogram(draws: DoubleArray) -> tuple[tuple[float, ...], tuple[int, ...]]:
    known = draws[np.isfinite(draws)]
    if not len(known):
        return (), ()
    counts, edges = np.histogram(known, BINS)
    return tuple(float(edge) for edge in edges), tuple(int(count) for count in counts)
