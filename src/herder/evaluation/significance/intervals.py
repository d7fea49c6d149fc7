"""Confidence intervals: of a mean, and of anything that was drawn by bootstrap.

BCa (bias-corrected and accelerated) is B. Efron, "Better Bootstrap Confidence Intervals", 1987,
https://doi.org/10.1080/01621459.1987.10478410. With G the share of draws below a value, z0 = Phi^-1(G(estimate)) and
the acceleration a from the jackknife, the end for probability alpha is the quantile of the draws at
Phi(z0 + (z0 + z_alpha) / (1 - a (z0 + z_alpha))).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from herder.evaluation.not_computed import NotComputed
from herder.evaluation.significance.descriptive import DoubleArray, as_sample, is_constant, scipy_stats, too_few

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

    >>> str(mean_interval(np.array([1.0, 2.0, 3.0])))
    '-0.484 to 4.484'
    """
    sample = as_sample(values)
    if len(sample) < 2:
        return too_few(len(sample), 2)
    half = scipy_stats().t.ppf((1 + level) / 2, len(sample) - 1) * sample.std(ddof=1) / math.sqrt(len(sample))
    return Interval(float(sample.mean() - half), float(sample.mean() + half), level, "Student's t")


def bca_interval(
    estimate: float, draws: DoubleArray, left_out: DoubleArray, level: float = 0.95
) -> Interval | NotComputed:
    """The BCa interval of ``estimate`` from bootstrap draws (D,) and jackknife values (n,), each with a part left out.

    Draws that are NaN held nothing to measure; up to 5 % of them are left out. Where BCa has no meaning (all draws on
    one side of the estimate, no jackknife) it is the percentile interval, and ``method`` says why.
    """
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
    ends = np.array([(1 - level) / 2, (1 + level) / 2])
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
        z = bias + normal.ppf(ends)
        inner = 1 - acceleration * z
        if (inner > 0).all():
            low, high = np.quantile(known, normal.cdf(bias + z / inner))
            return Interval(float(low), float(high), level, "BCa")
        why = "the acceleration is too large"
    low, high = np.quantile(known, ends)
    return Interval(float(low), float(high), level, f"percentile, since {why}")


def _acceleration(left_out: DoubleArray) -> float | NotComputed:
    """Efron's a: a sixth of the skewness of the jackknife's influence values."""
    known = left_out[np.isfinite(left_out)]
    if len(known) < 3:
        return NotComputed("fewer than 3 parts could be left out")
    if is_constant(known):
        return NotComputed("no photo makes a difference")
    influence = known.mean() - known
    return float((influence**3).sum() / (6 * (influence**2).sum() ** 1.5))
