"""The same convolution by loops and by a matrix product: seconds, and how far the results are apart."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from herder.foundations.convolution import conv_backward_naive, conv_forward_naive
from herder.foundations.fast_convolution import conv_backward_fast, conv_forward_fast
from herder.foundations.pooling import (
    max_pool_backward_fast,
    max_pool_backward_naive,
    max_pool_forward_fast,
    max_pool_forward_naive,
)
from herder.lessons.datasets import Floats
from herder.lessons.lesson import NumberTable

IMAGES, QUICK_IMAGES = 16, 2
SHAPE, FILTERS, SIDE = (3, 32, 32), 16, 7
"""Images (C, H, W), filters, and their height and width in pixels."""

REPEATS = 5
"""The fast versions are timed so often, and the shortest time counts: the first also fetches memory."""


def time_convolution(seed: int, *, quick: bool = False) -> NumberTable:
    """Time convolution and 2 x 2 pooling, forward and backward, by loops and fast, on the same random images."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((QUICK_IMAGES if quick else IMAGES, *SHAPE))  # (N, 3, 32, 32)
    w, b = rng.standard_normal((FILTERS, SHAPE[0], SIDE, SIDE)), rng.standard_normal(FILTERS)
    conv, pool = {"stride": 1, "pad": SIDE // 2}, {"pool_height": 2, "pool_width": 2, "stride": 2}
    out, cache = conv_forward_naive(x, w, b, conv)  # (N, 16, 32, 32)
    _, fast_cache = conv_forward_fast(x, w, b, conv)
    pooled, pool_cache = max_pool_forward_naive(out, pool)  # (N, 16, 16, 16)
    _, fast_pool_cache = max_pool_forward_fast(out, pool)
    dout, dpooled = rng.standard_normal(out.shape), rng.standard_normal(pooled.shape)
    pairs: tuple[tuple[str, Callable[[], Any], Callable[[], Any]], ...] = (
        ("convolution forward", lambda: conv_forward_naive(x, w, b, conv), lambda: conv_forward_fast(x, w, b, conv)),
        (
            "convolution backward",
            lambda: conv_backward_naive(dout, cache),
            lambda: conv_backward_fast(dout, fast_cache),
        ),
        ("pooling forward", lambda: max_pool_forward_naive(out, pool), lambda: max_pool_forward_fast(out, pool)),
        (
            "pooling backward",
            lambda: max_pool_backward_naive(dpooled, pool_cache),
            lambda: max_pool_backward_fast(dpooled, fast_pool_cache),
        ),
    )
    rows = []
    for name, naive, fast in pairs:
        slow_seconds, slow_result = _timed(naive, 1)
        fast_seconds, fast_result = _timed(fast, REPEATS)
        apart = float(np.abs(slow_result - fast_result).max())
        rows.append((name, slow_seconds, fast_seconds, slow_seconds / fast_seconds, apart))
    return NumberTable(
        f"{len(x)} images of {' x '.join(map(str, SHAPE))}, {FILTERS} filters of {SIDE} x {SIDE}",
        ("what", "seconds by loops", "seconds fast", "times faster", "largest difference"),
        tuple(rows),
        timing=True,
    )


def _timed(work: Callable[[], Any], repeats: int) -> tuple[float, Floats]:
    """The shortest of some times in seconds, and the first array that the work returns."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - start)
    return min(seconds), np.asarray(result[0] if isinstance(result, tuple) else result)
