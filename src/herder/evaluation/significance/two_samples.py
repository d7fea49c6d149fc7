"""Two samples compared, such as the mAP of several seeds on either side: which test, its p-value, intervals, effect.

Welch's t (B. Welch, 1947, https://doi.org/10.1093/biomet/34.1-2.28) does not ask for equal spreads. Where Shapiro and
Wilk's test speaks against a normal distribution, ranks are compared in its place: H. Mann, D. Whitney, 1947,
https://doi.org/10.1214/aoms/1177730491; for pairs F. Wilcoxon, 1945, https://doi.org/10.2307/3001968. All tests are
two-sided. Ranks of very few values have no p-value small enough to be significant (of 3 and 3 values none under 0.1,
of 5 pairs none under 0.0625): there the t test stays, and ``why`` says so.

With 3 values a side Welch's t is cautious: where nothing differs it finds a difference in about 3.4 of 100 tries, not
in 5. No test that allows for unequal spreads is exact.
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
    check_level,
    describe,
    is_constant,
    scipy_stats,
    shapiro_wilk,
    too_few,
)
from herder.evaluation.significance.effect_size import EffectSize, effect_size
from herder.evaluation.significance.intervals import Interval, mean_interval

NORMAL_ABOVE = 0.05
"""Shapiro and Wilk's p-value from which a sample passes for normal. Two samples are two tests, which share it: else
ranks were taken for one in ten pairs of normal samples, and ranks are bold where the smaller sample has the wider
spread.
"""

FEW = 10
"""Below so many values a test of normality sees only gross departures."""

WELCH, PAIRED = "Welch's t", "paired t"

RANKS, SIGNED_RANKS = "Mann and Whitney's U", "Wilcoxon's signed ranks"

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
    a: Sequence[float] | DoubleArray,
    b: Sequence[float] | DoubleArray,
    *,
    paired: bool = False,
    level: float = 0.95,
) -> SampleComparison:
    """Compare samples (n,) and (m,); with ``paired`` value i of both belongs together (one seed, one fold).

    What samples are too small or too flat for is ``NotComputed`` and says why. Raises DataError for a value that is not
    finite, ConfigError for a level that is not between 0 and 1, ValueError for pairs of unequal number.

    >>> c = compare_samples([0.70, 0.71, 0.69, 0.70], [0.75, 0.74, 0.76, 0.75])
    >>> c.test, c.significant, round(c.difference, 3), c.effect.word
    ("Welch's t", True, 0.05, 'large')
    """
    check_level(level)
    first, second = as_sample(a, "first sample"), as_sample(b, "second sample")
    if paired and len(first) != len(second):
        raise ValueError(f"pairs: {len(first)} and {len(second)} values")
    normality = (shapiro_wilk(second - first),) if paired else (shapiro_wilk(first), shapiro_wilk(second))
    test, why = _choose(normality, len(first), len(second), paired, level)
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


def _choose(
    normality: tuple[Normality | NotComputed, ...], n: int, m: int, paired: bool, level: float
) -> tuple[str, str]:
    """The test, and why."""
    parametric, ranks = (PAIRED, SIGNED_RANKS) if paired else (WELCH, RANKS)
    what = "the differences" if paired else "both samples"
    unlike = [
        part for part in normality if isinstance(part, Normality) and part.p_value < NORMAL_ABOVE / len(normality)
    ]
    if unlike:
        worst = min(part.p_value for part in unlike)
        against = f"Shapiro and Wilk's test speaks against a normal distribution (p = {worst:.3f})"
        least = 0.5 ** (n - 1) if paired else 2 / math.comb(n + m, n)
        if least >= 1 - level:
            few = f"{n} pairs" if paired else f"{n} and {m} values"
            return parametric, f"{against}, but ranks of {few} cannot give a p under {least:.2g}: read it with care"
        return ranks, against
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
    if test == WELCH:
        if is_constant(a) and is_constant(b):
            flat = NotComputed("both samples are constant")
            return flat, flat
        error, freedom = _welch(a, b)
        return _t_test(float(b.mean() - a.mean()), error, freedom)
    if test == PAIRED:
        if is_constant(b - a):
            flat = NotComputed("all pairs differ by the same")
            return flat, flat
        return _t_test(float((b - a).mean()), float((b - a).std(ddof=1)) / math.sqrt(len(a)), len(a) - 1)
    if test == SIGNED_RANKS:
        ties = len(np.unique(np.abs(b - a))) < len(a) or bool((a == b).any())
        method = "exact" if len(a) <= EXACT_UP_TO and not ties else "approx"
        found = stats.wilcoxon(b, a, method=method, correction=method == "approx")
    else:
        found = stats.mannwhitneyu(b, a, alternative="two-sided")
    return float(found.statistic), float(found.pvalue)


def _t_test(mean: float, error: float, freedom: float) -> tuple[float, float]:
    """t and its two-sided p-value."""
    statistic = mean / error
    return statistic, float(2 * scipy_stats().t.sf(abs(statistic), freedom))


def _welch(a: DoubleArray, b: DoubleArray) -> tuple[float, float]:
    """The standard error of the difference of means, and Welch and Satterthwaite's degrees of freedom."""
    parts = np.array([a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)])
    shares = parts / parts.sum()  # first divided, so that squares of tiny numbers do not vanish
    return math.sqrt(parts.sum()), float(1 / (shares**2 / [len(a) - 1, len(b) - 1]).sum())


def _difference_interval(a: DoubleArray, b: DoubleArray, paired: bool, level: float) -> Interval | NotComputed:
    if paired:
        return mean_interval(b - a, level)
    if (smallest := min(len(a), len(b))) < 2:
        return too_few(smallest, 2)
    if is_constant(a) and is_constant(b):
        return NotComputed("both samples are constant")
    error, freedom = _welch(a, b)
    mean, half = float(b.mean() - a.mean()), float(scipy_stats().t.ppf((1 + level) / 2, freedom)) * error
    return Interval(mean - half, mean + half, level, WELCH)
