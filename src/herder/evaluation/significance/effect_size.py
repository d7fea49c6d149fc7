"""How large a difference is beside the spread of the values: Cohen's d and Hedges' g.

d = difference of means / pooled standard deviation (J. Cohen, "Statistical Power Analysis for the Behavioral Sciences",
1988); for pairs, the mean difference / standard deviation of the differences. g = J d takes out the bias of small
samples, J = Gamma(m / 2) / (sqrt(m / 2) Gamma((m - 1) / 2)) with m degrees of freedom (L. Hedges, 1981,
https://doi.org/10.3102/10769986006002107). The interval comes from turning the noncentral t distribution around
(G. Cumming, S. Finch, 2001, https://doi.org/10.1177/0013164401614002).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from herder.evaluation.not_computed import NotComputed
from herder.evaluation.significance.descriptive import DoubleArray, is_constant, scipy_stats, too_few
from herder.evaluation.significance.intervals import Interval

LIMITS = ((0.2, "negligible"), (0.5, "small"), (0.8, "medium"), (math.inf, "large"))
"""Cohen's words for the size of an effect, each below its limit."""

FARTHEST = 1000.0
"""Noncentralities are looked for up to here; beyond, two samples do not overlap at all."""


@dataclass(frozen=True)
class EffectSize:
    """A difference in units of the standard deviation; above 0 where the second sample lies higher."""

    cohen_d: float
    hedges_g: float
    interval: Interval | NotComputed
    """Of the true effect, which both d and g estimate."""

    @property
    def word(self) -> str:
        """``negligible``, ``small``, ``medium`` or ``large``, by g."""
        return effect_word(self.hedges_g)


def effect_word(effect: float) -> str:
    """Cohen's word for an effect size.

    >>> [effect_word(g) for g in (0.1, -0.2, 0.5, 0.8)]
    ['negligible', 'small', 'medium', 'large']
    """
    return next(word for limit, word in LIMITS if abs(effect) < limit)


def effect_size(
    a: DoubleArray, b: DoubleArray, *, paired: bool = False, level: float = 0.95
) -> EffectSize | NotComputed:
    """Effect size of b over a, samples (n,) and (m,); with ``paired`` value i of both belong together.

    It needs two values a side, or three pairs. The interval is exact for equal spreads on both sides.
    """
    if paired:
        difference = b - a
        if len(difference) < 3:
            return too_few(len(difference), 3)  # of two pairs, Hedges' correction leaves nothing: J is 0
        spread, freedom, scale = difference.std(ddof=1), len(difference) - 1, 1 / math.sqrt(len(difference))
        if is_constant(difference):
            return NotComputed("all pairs differ by the same: there is no spread to compare with")
        mean = difference.mean()
    else:
        if min(len(a), len(b)) < 2:
            return too_few(min(len(a), len(b)), 2)
        freedom = len(a) + len(b) - 2
        scale = math.sqrt(1 / len(a) + 1 / len(b))
        if is_constant(a) and is_constant(b):
            return NotComputed("both samples are constant: there is no spread to compare with")
        spread = math.sqrt(((len(a) - 1) * a.var(ddof=1) + (len(b) - 1) * b.var(ddof=1)) / freedom)
        mean = b.mean() - a.mean()
    d = float(mean / spread)
    unbiased = _correction(freedom)
    bounds = noncentralities(d / scale, freedom, level)
    interval: Interval | NotComputed
    if isinstance(bounds, NotComputed):
        interval = bounds
    else:
        # Not times J: the noncentrality is that of the true effect itself, and shrunk ends would miss it.
        low, high = (value * scale for value in bounds)
        interval = Interval(low, high, level, "noncentral t")
    return EffectSize(d, d * unbiased, interval)


def _correction(freedom: int) -> float:
    """Hedges' J for 2 degrees of freedom or more."""
    return math.exp(math.lgamma(freedom / 2) - math.log(math.sqrt(freedom / 2)) - math.lgamma((freedom - 1) / 2))


def noncentralities(t: float, freedom: int, level: float) -> tuple[float, float] | NotComputed:
    """The noncentral t distributions of which ``t`` is the upper and the lower end: their noncentralities."""
    from scipy.optimize import brentq

    stats, tail = scipy_stats(), (1 - level) / 2
    if abs(t) > FARTHEST / 4:
        return NotComputed("the samples lie too far apart for their spread")

    def below(noncentrality: float) -> float:
        share = float(stats.nct.cdf(t, freedom, noncentrality))
        # scipy's series gives up far out, where the answer is 0 or 1.
        return share if math.isfinite(share) else float(noncentrality < t)

    def turned(share: float) -> float:
        # The distribution function falls as the noncentrality grows.
        step = 10 + 2 * abs(t)
        return float(brentq(lambda noncentrality: below(noncentrality) - share, t - step, t + step, xtol=1e-9))

    try:
        low, high = turned(1 - tail), turned(tail)
    except ValueError as error:
        return NotComputed(f"the noncentral t distribution cannot be turned around ({error})")
    return (low, high) if np.isfinite([low, high]).all() else NotComputed("the interval has no finite end")
