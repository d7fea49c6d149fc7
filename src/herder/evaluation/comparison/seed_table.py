"""The table over seeds or folds: each model is one value, and the question is whether other trainings would agree.

Folds share most of their training photos, so that a plain t test of pairs calls chance a difference far too often. For
them the variance of the mean difference is (1/n + validated/trained) s^2: C. Nadeau, Y. Bengio, "Inference for the
Generalization Error", 2003, https://doi.org/10.1023/A:1024068626366.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from herder.evaluation.comparison.result import METRICS, STEPS, TITLES, Bounds, Estimate, SeedRow, SeedTable
from herder.evaluation.not_computed import NotComputed
from herder.evaluation.significance import (
    Interval,
    SampleComparison,
    compare_samples,
    describe,
    holm,
    in_words,
    mean_interval,
    seeds_needed,
    shapiro_wilk,
)
from herder.evaluation.significance.descriptive import scipy_stats
from herder.evaluation.tables import DoubleArray

CORRECTED = "t of pairs, corrected"
"""The test of folds."""


def seed_table(
    a: DoubleArray, b: DoubleArray, paired_by: str, level: float, validated: float = 0.0
) -> SeedTable | NotComputed:
    """Compare the metrics of the models of A (n, 3) and of B (m, 3); ``paired_by`` is what row i of both share, or "".

    ``validated`` is, for folds, how many photos were validated on for each photo trained on. A metric that a model does
    not have (NaN) is left out.
    """
    if len(a) == len(b) == 1:
        return NotComputed("each side is one model: name several seeds a side to learn about other trainings")
    known = [i for i in range(len(METRICS)) if np.isfinite(a[:, i]).all() and np.isfinite(b[:, i]).all()]
    if not known:
        return NotComputed("no labelled box counts")
    found = [compare_samples(a[:, i], b[:, i], paired=bool(paired_by), level=level) for i in known]
    if paired_by and validated > 0:
        found = [corrected(each, b[:, i] - a[:, i], validated) for i, each in zip(known, found, strict=True)]
    adjusted = holm([each.p_value for each in found])
    rows = (_row(METRICS[i], a[:, i], b[:, i], each, p) for i, each, p in zip(known, found, adjusted, strict=True))
    return SeedTable(paired_by, tuple(rows))


def _row(metric: str, a: DoubleArray, b: DoubleArray, found: SampleComparison, adjusted: Estimate) -> SeedRow:
    effect = found.effect
    return SeedRow(
        metric,
        tuple(float(value) for value in a),
        tuple(float(value) for value in b),
        _facts(a, found.level),
        _facts(b, found.level),
        f"{found.test}: {found.why}",
        found.difference,
        bounds(found.interval),
        found.p_value,
        adjusted,
        effect if isinstance(effect, NotComputed) else effect.hedges_g,
        effect if isinstance(effect, NotComputed) else bounds(effect.interval),
        effect if isinstance(effect, NotComputed) else effect.cohen_d,
        in_words(found, metric=TITLES[metric]),
        _needed(a, b, found),
    )


def corrected(found: SampleComparison, differences: DoubleArray, validated: float) -> SampleComparison:
    """The same comparison of folds with test and interval that know of the shared training photos.

    >>> pairs = np.array([0.01, 0.03, 0.02, 0.04, 0.02])
    >>> plain = compare_samples(np.zeros(5), pairs, paired=True)
    >>> round(plain.p_value, 3), round(corrected(plain, pairs, 0.25).p_value, 3)
    (0.009, 0.035)
    """
    n = len(differences)
    if n < 2 or isinstance(found.p_value, NotComputed):
        return found
    mean, stats = float(differences.mean()), scipy_stats()
    error = math.sqrt((1 / n + validated) * differences.var(ddof=1))
    half = float(stats.t.ppf((1 + found.level) / 2, n - 1)) * error
    statistic = mean / error
    return replace(
        found,
        test=CORRECTED,
        why="folds share most of their training photos (Nadeau and Bengio 2003)",
        statistic=statistic,
        p_value=float(2 * stats.t.sf(abs(statistic), n - 1)),
        interval=Interval(mean - half, mean + half, found.level, "corrected t"),
    )


def bounds(found: Interval | NotComputed) -> Bounds:
    """The ends of an interval."""
    return found if isinstance(found, NotComputed) else (found.low, found.high)


def _facts(values: DoubleArray, level: float) -> tuple[tuple[str, Estimate], ...]:
    """What describes a side; the interval of its mean is two numbers."""
    normality = shapiro_wilk(values)
    around = bounds(mean_interval(values, level))
    low, high = (around, around) if isinstance(around, NotComputed) else around
    rows: list[tuple[str, Estimate]] = [
        (name, float(value) if isinstance(value, int) else value) for name, value in describe(values).rows()
    ]
    return (
        *rows,
        ("Shapiro-Wilk p", normality if isinstance(normality, NotComputed) else normality.p_value),
        (f"{level:.0%} interval of the mean from", low),
        ("to", high),
    )


def _needed(a: DoubleArray, b: DoubleArray, found: SampleComparison) -> tuple[tuple[float, Estimate], ...]:
    """Seeds for the difference observed, and for those of ``STEPS``; none for folds, of which more tell little new."""
    if found.test == CORRECTED:
        return ()
    paired = found.paired
    if min(len(a), len(b)) < 2:
        spread = math.nan
    else:
        spread = float((b - a).std(ddof=1) if paired else math.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2))
    observed = 0.0 if isinstance(found.difference, NotComputed) else abs(found.difference)
    counts = ((step, seeds_needed(step, spread, paired=paired, level=found.level)) for step in (observed, *STEPS))
    return tuple((step, n if isinstance(n, NotComputed) else float(n)) for step, n in counts)
