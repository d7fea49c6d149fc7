"""Which of several ways to run a model is faster: they take turns, so that a busy moment of the machine hits all.

A turn is long enough for the others' threads to come to rest, since they would slow down this one's.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WARMUP = 3
"""Calls of each run before the first round: they make plans and fill caches."""

SETTLE_SECONDS = 0.05
"""A run is called so long, at least once, before its turn counts. Threads of the one before it, when they have nothing
left to do, wait actively for more: ONNX Runtime's take half of the processor from its follower for 35 ms."""

BLOCK = 4
"""Calls in a turn that count; the turn's time is their median."""


@dataclass(frozen=True)
class Ratio:
    """How long one way takes for each millisecond of another, with a 95 % interval over the rounds."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def paired_milliseconds(
    runs: Sequence[Callable[[], object]],
    *,
    rounds: int = 12,
    warmup: int = WARMUP,
    block: int = BLOCK,
    middle: Callable[[list[float]], float] = statistics.median,
) -> NDArray[np.float64]:
    """Milliseconds (rounds, len(runs)) of each run in each round; in odd rounds they run in reverse order.

    In its turn a run is called until the others' threads have come to rest, and then ``block`` times for ``middle`` to
    make one time of. Changing the order keeps what one run leaves behind (a hot processor) from always helping the
    same one.
    """
    for run in runs:
        for _ in range(warmup):
            run()
    taken = np.empty((rounds, len(runs)))
    last = -1
    for turn in range(rounds):
        order = range(len(runs)) if turn % 2 == 0 else range(len(runs) - 1, -1, -1)
        for index in order:
            if index != last:
                _settle(runs[index])
            taken[turn, index] = middle([_milliseconds(runs[index]) for _ in range(block)])
            last = index
    return taken


def _settle(run: Callable[[], object]) -> None:
    begun = time.perf_counter()
    while True:
        run()
        if time.perf_counter() - begun >= SETTLE_SECONDS:
            return


def _milliseconds(run: Callable[[], object]) -> float:
    begun = time.perf_counter()
    run()
    return 1000 * (time.perf_counter() - begun)


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
