"""Confidence intervals: of a mean, and of anything that was drawn by bootstrap.

BCa (bias-corrected and accelerated) is B. Efron, "Better Bootstrap Confidence Intervals", 1987,
https://doi.org/10.1080/01621459.1987.10478410. With G the share of draws below a value, z0 = Phi^-1(G(estimate)) and
the acceleration a from the jackknife, the end for probability alpha is the quantile of the draws at
Phi(z0 + (z0 + z_alpha) / (1 - a (z0 + z_alpha))).

Of few photos such an interval is too narrow: the bootstrap's variance has n, not n - 1, in the denominator, and normal
quantiles take the spread for known. So z_alpha is replaced by sqrt(n / (n - 1)) t_alpha with n - 1 degrees of freedom,
as in the expanded percentile interval of T. Hesterberg, "What Teachers Should Know About the Bootstrap", 2015,
https://doi.org/10.1080/00031305.2015.1089789.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from herder.evaluation.not_computed import NotComputed
from herder.evaluation.significance.descriptive import (
    DoubleArray,
    as_sample,
    check_level,
    is_constant,
    scipy_stats,
    too_few,
)

FEWEST_DRAWS = 100
"""Fewer draws have no ends worth naming."""

LOST = 0.05
"""Up to this share of the draws may hold no number (no labelled box was drawn) and is left out."""


@dataclass(frozen=True)
class Interval:
    """From ``low`` to ``high`` at a level of confidence, and how it was computed."""

    low: float
    high: float
    level: float
    method: str

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.low:.3f} to {self.high:.3f}"


def mean_interval(values: DoubleArray, level: float = 0.95) -> Interval | NotComputed:
    """The interval of the mean of a sample (n,), by Student's t.

    Raises DataError for a value that is not finite, ConfigError for a level that is not between 0 and 1.

    >>> str(mean_interval(np.array([1.0, 2.0, 3.0])))
    '-0.484 to 4.484'
    """
    sample = as_sample(values)
    check_level(level)
    if len(sample) < 2:
        return too_few(len(sample), 2)
    if is_constant(sample):
        return NotComputed("all values are equal")
    half = scipy_stats().t.ppf((1 + level) / 2, len(sample) - 1) * sample.std(ddof=1) / math.sqrt(len(sample))
    return Interval(float(sample.mean() - half), float(sample.mean() + half), level, "Student's t")


def bca_interval(
    estimate: float, draws: DoubleArray, left_out: DoubleArray, level: float = 0.95
) -> Interval | NotComputed:
    """The BCa interval of ``estimate`` from bootstrap draws (D,) and jackknife values (n,), each with a part left out.

    ``left_out`` has one value for each independent photo or group of photos, NaN where nothing was left to measure.
    Draws that are NaN held nothing to measure; up to 5 % of them are left out. Where BCa has no meaning (all draws on
    one side of the estimate, no jackknife) it is the percentile interval, and ``method`` says why. Raises ConfigError
    for a level that is not between 0 and 1.
    """
    check_level(level)
    if not math.isfinite(estimate):
        return NotComputed("the estimate itself is not defined")
    known = draws[np.isfinite(draws)]
    if len(known) < FEWEST_DRAWS:
        return NotComputed(f"{len(known)} draws hold a number, wanted {FEWEST_DRAWS} or more")
    if len(known) < (1 - LOST) * len(draws):
        return NotComputed(f"{len(draws) - len(known)} of {len(draws)} draws hold no labelled box: too few photos")
    if is_constant(known):
        return Interval(float(known[0]), float(known[0]), level, "all draws are equal")
    normal = scipy_stats().norm
    z = _expanded(level, len(left_out))  # (2,)
    # Equal draws count half: with few photos many draws give the estimate itself.
    below = ((known < estimate).mean() + (known <= estimate).mean()) / 2
    acceleration = _acceleration(left_out)
    why = ""
    if not 0 < below < 1:
        why = "all draws lie on one side of the estimate"
    elif isinstance(acceleration, NotComputed):
        why = acceleration.reason
    else:
        bias = normal.ppf(below)
        inner = 1 - acceleration * (bias + z)
        if (inner > 0).all():
            low, high = np.quantile(known, normal.cdf(bias + (bias + z) / inner))
            return Interval(float(low), float(high), level, "BCa")
        why = "the acceleration is too large"
    low, high = np.quantile(known, normal.cdf(z))
    return Interval(float(low), float(high), level, f"percentile, since {why}")


def _expanded(level: float, parts: int) -> DoubleArray:
    """z at both ends (2,), moved out for so few independent parts; normal quantiles where their number is unknown."""
    stats = scipy_stats()
    if parts < 2:
        upper = float(stats.norm.ppf((1 + level) / 2))
    else:
        upper = math.sqrt(parts / (parts - 1)) * float(stats.t.ppf((1 + level) / 2, parts - 1))
    return np.array([-upper, upper])


def _acceleration(left_out: DoubleArray) -> float | NotComputed:
    """Efron's a: a sixth of the skewness of the jackknife's influence values."""
    known = left_out[np.isfinite(left_out)]
    if len(known) < 3:
        return NotComputed("fewer than 3 parts could be left out")
    if is_constant(known):
        return NotComputed("no photo makes a difference")
    influence = known.mean() - known
    return float((influence**3).sum() / (6 * (influence**2).sum() ** 1.5))
