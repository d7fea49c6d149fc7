"""Which of several ways to run a model is faster: they take turns, so that a busy moment of the machine hits all."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WARMUP = 3
"""Rounds that are not counted: the first ones make plans and fill caches."""


@dataclass(frozen=True)
class Ratio:
    """How long one way takes for each millisecond of another, with a 95 % interval over the rounds."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def paired_milliseconds(
    runs: Sequence[Callable[[], object]], *, rounds: int = 30, warmup: int = WARMUP
) -> NDArray[np.float64]:
    """Milliseconds (rounds, len(runs)) of each run in each round; in odd rounds they run in reverse order.

    Changing the order keeps what one run leaves behind (a warm cache, a hot processor) from always helping the same
    one.
    """
    taken = np.empty((warmup + rounds, len(runs)))
    for turn in range(warmup + rounds):
        order = range(len(runs)) if turn % 2 == 0 else range(len(runs) - 1, -1, -1)
        for index in order:
            begun = time.perf_counter()
            runs[index]()
            taken[turn, index] = (time.perf_counter() - begun) * 1000
    return taken[warmup:]


def paired_ratio(times: NDArray[np.float64], base: NDArray[np.float64], *, draws: int = 2000, seed: int = 0) -> Ratio:
    """Median of the ratios ``times / base`` (rounds,) with a percentile bootstrap interval over the rounds.

    >>> str(paired_ratio(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 6.0])))
    '0.500 (0.500 to 0.500)'
    """
    ratios = np.asarray(times, np.float64) / np.asarray(base, np.float64)
    rng = np.random.default_rng(seed)
    medians = np.median(ratios[rng.integers(0, len(ratios), (draws, len(ratios)))], axis=1)
    low, high = np.quantile(medians, (0.025, 0.975))
    return Ratio(float(np.median(ratios)), float(low), float(high))
