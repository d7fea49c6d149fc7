"""How many seeds, or how many photos, it takes to see a difference of a given size in 80 of 100 tries.

Ask it for a difference that matters, chosen beforehand. Asked for the one observed, it says nothing that the p-value
does not say (J. Hoenig, D. Heisey, 2001, https://doi.org/10.1198/000313001300339897). And the true spread may be half
or six times the one that three seeds show.

For seeds the power of the t test is computed from the noncentral t distribution (J. Cohen, 1988, chapter 2). For photos
the standard error of the difference, as the bootstrap gives it, falls with the root of their number, so that
n = n0 (se0 (z_(1 - alpha/2) + z_power) / difference)^2.
"""

from __future__ import annotations

import math

from herder.evaluation.not_computed import NotComputed
from herder.evaluation.significance.descriptive import check_level, scipy_stats

POWER = 0.8
"""The share of tries in which the difference is to be seen."""

MOST = 1_000_000
"""More than so many seeds or photos nobody has."""


def seeds_needed(
    difference: float, std: float, *, paired: bool = False, level: float = 0.95, power: float = POWER
) -> int | NotComputed:
    """Seeds a side (or pairs) with which a t test shows a ``difference`` of means, where seeds spread by ``std``.

    For pairs ``std`` is that of the differences.

    >>> seeds_needed(0.5, 1.0), seeds_needed(0.5, 1.0, paired=True)
    (64, 34)
    """
    check_level(level)
    if not math.isfinite(difference) or difference == 0:
        return NotComputed(f"no number of seeds shows a difference of {difference:g}")
    if not (math.isfinite(std) and std > 0):
        return NotComputed("the spread over seeds is not known")
    low, high = 1, 2
    while t_power(difference / std, high, paired=paired, level=level) < power:
        low, high = high, 2 * high
        if high > MOST:
            return NotComputed(f"more than {MOST:,}")
    while high - low > 1:
        middle = (low + high) // 2
        if t_power(difference / std, middle, paired=paired, level=level) < power:
            low = middle
        else:
            high = middle
    return high


def t_power(effect: float, n: int, *, paired: bool = False, level: float = 0.95) -> float:
    """The chance that a two-sided t test of ``n`` values a side (or pairs) shows an effect of size d."""
    if n < 2:
        return 0.0
    stats = scipy_stats()
    freedom, center = (n - 1, effect * math.sqrt(n)) if paired else (2 * n - 2, effect * math.sqrt(n / 2))
    edge = stats.t.ppf((1 + level) / 2, freedom)
    tails = stats.nct.sf(edge, freedom, center), stats.nct.cdf(-edge, freedom, center)
    # Far out scipy's noncentral t gives up with NaN; there the test misses nothing.
    known = [float(tail) for tail in tails if math.isfinite(tail)]
    return min(1.0, sum(known)) if known else 1.0


def photos_needed(
    difference: float, standard_error: float, photos: int, *, level: float = 0.95, power: float = POWER
) -> int | NotComputed:
    """Photos that show a ``difference``, where the difference on ``photos`` of them has this standard error.

    >>> photos_needed(0.02, 0.01, 100)
    197
    """
    check_level(level)
    if not math.isfinite(difference) or difference == 0:
        return NotComputed(f"no number of photos shows a difference of {difference:g}")
    if not (math.isfinite(standard_error) and standard_error > 0):
        return NotComputed("the spread over photos is not known")
    normal = scipy_stats().norm
    times = (standard_error * (normal.ppf((1 + level) / 2) + normal.ppf(power)) / difference) ** 2
    needed = math.ceil(photos * times)
    return max(2, needed) if needed <= MOST else NotComputed(f"more than {MOST:,}")
