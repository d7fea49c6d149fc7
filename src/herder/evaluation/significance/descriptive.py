"""What describes one sample: where it lies, how wide it is, and which shape it has.

Quartiles are linear interpolations between order statistics (R's type 7, NumPy's default): R. Hyndman, Y. Fan, "Sample
Quantiles in Statistical Packages", 1996, https://doi.org/10.2307/2684934. Skewness and kurtosis are the bias-corrected
G1 and G2 of D. Joanes, C. Gill, "Comparing measures of sample skewness and kurtosis", 1998,
https://doi.org/10.1111/1467-9884.00122; kurtosis is the excess over that of a normal distribution, which has 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from herder.errors import ConfigError, DataError, MissingExtraError
from herder.evaluation.not_computed import NotComputed

DoubleArray = NDArray[np.float64]

Value = float | NotComputed

FLAT = 1e-12
"""A spread below this share of the values' size is rounding: such a sample counts as constant."""

LARGEST = 5000
"""Shapiro and Wilk's p-value is known up to so many values (J. Royston, 1995, https://doi.org/10.2307/2986146)."""


@dataclass(frozen=True)
class Description:
    """One sample in numbers; what a small or constant sample does not have says why."""

    n: int
    mean: Value
    median: Value
    std: Value
    """With n - 1 in the denominator."""
    minimum: Value
    quartile_1: Value
    quartile_3: Value
    maximum: Value
    skewness: Value
    kurtosis: Value

    def rows(self) -> list[tuple[str, Value]]:
        """Name and value of each number, for tables."""
        return [(f.name.replace("_", " "), getattr(self, f.name)) for f in fields(self)]


@dataclass(frozen=True)
class Normality:
    """The test of Shapiro and Wilk, 1965, https://doi.org/10.1093/biomet/52.3-4.591: a small p speaks against a normal
    distribution. A large one proves nothing, with a handful of values least of all.
    """

    statistic: float
    p_value: float


def as_sample(values: Sequence[float] | DoubleArray, name: str = "sample") -> DoubleArray:
    """The values (n,) in float64. Raises DataError for one that is not finite, ValueError for another shape."""
    sample = np.asarray(values, np.float64)
    if sample.ndim != 1:
        raise ValueError(f"{name}: found shape {sample.shape}, wanted one dimension")
    if not np.isfinite(sample).all():
        raise DataError(f"{name}: {sample[~np.isfinite(sample)][0]} is not a finite number", hint="leave that run out")
    return sample


def is_constant(sample: DoubleArray) -> bool:
    """Whether all values are equal, but for rounding."""
    return bool(np.ptp(sample) <= FLAT * np.abs(sample).max(initial=0))


def describe(values: Sequence[float] | DoubleArray) -> Description:
    """Describe a sample (n,). Raises DataError for a value that is not finite.

    >>> d = describe([2.0, 4.0, 4.0, 5.0, 10.0])
    >>> d.mean, d.median, d.std, d.quartile_1, d.quartile_3
    (5.0, 4.0, 3.0, 4.0, 5.0)
    >>> str(describe([1.0]).std)
    'not computed: 1 value, wanted 2 or more'
    """
    sample = as_sample(values)
    n = len(sample)
    if not n:
        nothing = NotComputed("no values")
        return Description(0, *[nothing] * 9)
    quartiles = [float(q) for q in np.quantile(sample, (0, 0.25, 0.5, 0.75, 1))]
    skewness, kurtosis = _shape(sample)
    return Description(
        n,
        float(sample.mean()),
        quartiles[2],
        float(sample.std(ddof=1)) if n > 1 else too_few(n, 2),
        quartiles[0],
        quartiles[1],
        quartiles[3],
        quartiles[4],
        skewness,
        kurtosis,
    )


def _shape(sample: DoubleArray) -> tuple[Value, Value]:
    n = len(sample)
    if n >= 3 and is_constant(sample):
        flat = NotComputed("all values are equal")
        return flat, flat
    stats = scipy_stats()
    skewness = float(stats.skew(sample, bias=False)) if n >= 3 else too_few(n, 3)
    return skewness, float(stats.kurtosis(sample, bias=False)) if n >= 4 else too_few(n, 4)


def shapiro_wilk(values: Sequence[float] | DoubleArray) -> Normality | NotComputed:
    """Test a sample (n,) for a normal distribution; it needs 3 to 5,000 values that are not all equal."""
    sample = as_sample(values)
    if len(sample) < 3:
        return too_few(len(sample), 3)
    if len(sample) > LARGEST:
        return NotComputed(f"{len(sample):,} values, and the test is known for up to {LARGEST:,}")
    if is_constant(sample):
        return NotComputed("all values are equal")
    # Centred and scaled: scipy warns of ranges that are tiny beside the values themselves.
    scaled = (sample - sample.mean()) / sample.std()
    statistic, p_value = scipy_stats().shapiro(scaled)
    return Normality(float(statistic), float(p_value))


def too_few(n: int, wanted: int) -> NotComputed:
    """The value of what so few values do not have."""
    return NotComputed(f"{n} value{'' if n == 1 else 's'}, wanted {wanted} or more")


def check_level(level: float) -> None:
    """Raise ConfigError unless ``level`` lies between 0 and 1."""
    if not 0 < level < 1:
        raise ConfigError(f"level {level:g} is not between 0 and 1", hint="use 0.95 for 95 %")


def scipy_stats() -> Any:
    """``scipy.stats``. Raises MissingExtraError where scipy is not installed."""
    try:
        from scipy import stats
    except ImportError:
        raise MissingExtraError("statistics", "lab") from None
    return stats
