"""Do two measurements put the same things in the same order? Spearman's rank correlation with a bootstrap interval.

C. Spearman, "The proof and measurement of association between two things", 1904, https://doi.org/10.2307/1412159: the
correlation of the ranks, 1 for the same order and -1 for the reverse. What counts about a cheap stand-in for a long
training is that order (https://arxiv.org/abs/1902.08142 and https://arxiv.org/abs/2101.08134 report it for many).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from herder.evaluation.not_computed import NotComputed

FEWEST = 3
"""Two pairs are always in the same order or in the reverse."""

DRAWS = 5000


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's rho between pairs of values, with a 95 % percentile interval over pairs drawn anew."""

    rho: float
    low: float
    high: float
    pairs: int

    def __str__(self) -> str:
        return f"{self.rho:.2f} ({self.low:.2f} to {self.high:.2f}, {self.pairs} pairs)"


def rank_correlation(x: ArrayLike, y: ArrayLike, *, draws: int = DRAWS, seed: int = 0) -> RankCorrelation | NotComputed:
    """Spearman's rho between ``x`` and ``y``, both (n,); ties share the mean of their ranks.

    Draws in which one of both is constant say nothing and are left out of the interval, which few pairs make wide and
    rough. NotComputed with fewer than 3 pairs or where one of both is constant. Raises ValueError for other shapes and
    values that are not finite.

    >>> str(rank_correlation([1, 2, 3, 4], [10, 20, 30, 40]))
    '1.00 (1.00 to 1.00, 4 pairs)'
    """
    first, second = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if first.ndim != 1 or first.shape != second.shape or not np.isfinite([first, second]).all():
        raise ValueError(f"found shapes {first.shape} and {second.shape}, wanted the same number of finite values")
    count = len(first)
    if count < FEWEST:
        return NotComputed(f"{count} pairs, at least {FEWEST} are needed")
    rho = spearman(first, second)
    if not np.isfinite(rho):
        return NotComputed("all values of one side are equal")
    rng = np.random.default_rng(seed)
    drawn = np.array([spearman(first[i], second[i]) for i in rng.integers(0, count, (draws, count))])
    low, high = np.quantile(drawn[np.isfinite(drawn)], (0.025, 0.975))
    return RankCorrelation(rho, float(low), float(high), count)


def spearman(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Spearman's rho of ``x`` and ``y``, both (n,): Pearson's correlation of the ranks; NaN where one is constant."""
    a, b = ranks(x) - (len(x) + 1) / 2, ranks(y) - (len(y) + 1) / 2
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale else float("nan")


def ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The rank of each value (n,), 1 the least; equal values share the mean of theirs.

    >>> ranks(np.array([10.0, 30.0, 20.0, 20.0])).tolist()
    [1.0, 4.0, 2.5, 2.5]
    """
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2)[which], np.float64)
