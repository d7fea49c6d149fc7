"""Two samples compared, such as the mAP of several seeds on either side: which test, its p-value, intervals, effect.

Welch's t (B. Welch, 1947, https://doi.org/10.1093/biomet/34.1-2.28) does not ask for equal spreads. Where Shapiro and
Wilk's test speaks against a normal distribution, ranks are compared in its place: H. Mann, D. Whitney, 1947,
https://doi.org/10.1214/aoms/1177730491; for pairs F. Wilcoxon, 1945, https://doi.org/10.2307/3001968. All tests are
two-sided.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from herder.evaluation.not_computed import NotComputed
from herder.evaluation.significance.descriptive import (
    Description,
    DoubleArray,
    Normality,
    as_sample,
    describe,
    is_constant,
    scipy_stats,
    shapiro_wilk,
    too_few,
)
from herder.evaluation.significance.effect_size import EffectSize, effect_size
from herder.evaluation.significance.intervals import Interval, mean_interval

NORMAL_ABOVE = 0.05
"""Shapiro and Wilk's p-value from which a sample passes for normal."""

FEW = 10
"""Below so many values a test of normality sees only gross departures."""

EXACT_UP_TO = 50
"""Signed ranks of so many pairs are counted exactly."""


@dataclass(frozen=True)
class SampleComparison:
    """Two samples; differences are b - a, so that above 0 the second lies higher."""

    a: Description
    b: Description
    paired: bool
    level: float
    normality: tuple[Normality | NotComputed, ...]
    """Of a and of b; of the differences alone where the samples are pairs."""
    test: str
    why: str
    """Why this test, in a sentence."""
    statistic: float | NotComputed
    p_value: float | NotComputed
    difference: float | NotComputed
    """Of the means."""
    interval: Interval | NotComputed
    """Of that difference, by Welch's t or by the t of pairs."""
    interval_a: Interval | NotComputed
    """Of the mean of a, and of b."""
    interval_b: Interval | NotComputed
    effect: EffectSize | NotComputed

    @property
    def significant(self) -> bool:
        """Whether p is below 1 - level."""
        return not isinstance(self.p_value, NotComputed) and self.p_value < 1 - self.level


def compare_samples(
    a: Sequence[float] | DoubleArray, b: Sequence[float] | DoubleArray, *, paired: bool = False, level: float = 0.95
) -> SampleComparison:
    """Compare samples (n,) and (m,); with ``paired`` value i of both belongs together (one seed, one fold).

    What samples are too small or too flat for is ``NotComputed`` and says why. Raises DataError for a value that is not
    finite, ValueError for pairs of unequal number.

    >>> c = compare_samples([0.70, 0.71, 0.69, 0.70], [0.75, 0.74, 0.76, 0.75])
    >>> c.test, c.significant, round(c.difference, 3), c.effect.word
    ("Welch's t", True, 0.05, 'large')
    """
    first, second = as_sample(a, "first sample"), as_sample(b, "second sample")
    if paired and len(first) != len(second):
        raise ValueError(f"pairs: {len(first)} and {len(second)} values")
    normality = (shapiro_wilk(second - first),) if paired else (shapiro_wilk(first), shapiro_wilk(second))
    test, why = _choose(normality, len(first), len(second), paired)
    statistic, p_value = _run(test, first, second)
    known = len(first) and len(second)
    difference: float | NotComputed = float(second.mean() - first.mean()) if known else NotComputed("no values")
    return SampleComparison(
        describe(first),
        describe(second),
        paired,
        level,
        normality,
        test,
        why,
        statistic,
        p_value,
        difference,
        _difference_interval(first, second, paired, level),
        mean_interval(first, level),
        mean_interval(second, level),
        effect_size(first, second, paired=paired, level=level),
    )


def _choose(normality: tuple[Normality | NotComputed, ...], n: int, m: int, paired: bool) -> tuple[str, str]:
    parametric, ranks = ("paired t", "Wilcoxon's signed ranks") if paired else ("Welch's t", "Mann and Whitney's U")
    what = "the differences" if paired else "both samples"
    unlike = [part for part in normality if isinstance(part, Normality) and part.p_value < NORMAL_ABOVE]
    if unlike:
        worst = min(part.p_value for part in unlike)
        return ranks, f"Shapiro and Wilk's test speaks against a normal distribution (p = {worst:.3f})"
    unknown = [part for part in normality if isinstance(part, NotComputed)]
    if unknown:
        return parametric, f"a normal distribution is assumed, not tested ({unknown[0].reason})"
    smallest = min(n, m)
    caution = f", but {smallest} values say little about that" if smallest < FEW else ""
    return parametric, f"{what} pass for normal in Shapiro and Wilk's test{caution}"


def _run(test: str, a: DoubleArray, b: DoubleArray) -> tuple[float | NotComputed, float | NotComputed]:
    """Statistic and p-value of b against a."""
    if (smallest := min(len(a), len(b))) < 2:
        few = too_few(smallest, 2)
        return few, few
    stats = scipy_stats()
    if test == "Welch's t":
        if is_constant(a) and is_constant(b):
            flat = NotComputed("both samples are constant")
            return flat, flat
        found = stats.ttest_ind(b, a, equal_var=False)
    elif test == "paired t":
        if is_constant(b - a):
            flat = NotComputed("all pairs differ by the same")
            return flat, flat
        found = stats.ttest_rel(b, a)
    elif test == "Wilcoxon's signed ranks":
        ties = len(np.unique(np.abs(b - a))) < len(a) or bool((a == b).any())
        method = "exact" if len(a) <= EXACT_UP_TO and not ties else "approx"
        found = stats.wilcoxon(b, a, method=method, correction=method == "approx")
    else:
        found = stats.mannwhitneyu(b, a, alternative="two-sided")
    return float(found.statistic), float(found.pvalue)


def _difference_interval(a: DoubleArray, b: DoubleArray, paired: bool, level: float) -> Interval | NotComputed:
    if paired:
        return mean_interval(b - a, level)
    if (smallest := min(len(a), len(b))) < 2:
        return too_few(smallest, 2)
    parts = np.array([a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)])
    mean = float(b.mean() - a.mean())
    if parts.sum() == 0:
        return NotComputed("both samples are constant")
    # Welch and Satterthwaite's degrees of freedom.
    freedom = parts.sum() ** 2 / (parts**2 / [len(a) - 1, len(b) - 1]).sum()
    half = float(scipy_stats().t.ppf((1 + level) / 2, freedom)) * math.sqrt(parts.sum())
    return Interval(mean - half, mean + half, level, "Welch's t")
