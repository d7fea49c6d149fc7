"""Euclidean distances between all rows of two arrays, by one matrix product and in bounded memory.

    |x - y|^2 = |x|^2 + |y|^2 - 2 x.y

The product does nearly all the work, and in float32 it takes half the time. What that costs in accuracy is known: the
error of x.y is about 1e-7 |x| |y|, harmless where |x - y|^2 is of the size of |x|^2 + |y|^2 and ruinous where the two
cancel. So rows are first moved to a common centre, which makes them short and changes no distance; and pairs for which
|x - y|^2 is still under a tenth of |x|^2 + |y|^2 are computed again from the rows themselves. Where these are many, as
in data of tight clusters, the product is taken in float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from herder.foundations.arguments import Array, check_shape

BLOCK_VALUES = 2**22
"""Values of a block of rows of x: 32 MB in float64."""

CACHE_VALUES = 2**19
"""Values of a block of rows of y: 4 MB, which stay in the processor's cache from one step to the next."""

CLOSE = {np.dtype(np.float32): 0.1, np.dtype(np.float64): 1e-9}
"""|x - y|^2 / (|x|^2 + |y|^2) under which the product has lost too many digits."""

FEW = 0.02
"""Share of close pairs above which the product is taken in float64, where far fewer are close."""


def pairwise_distances(x: Array, y: Array) -> NDArray[np.float64]:
    """Distances (M, N) between the rows of x (M, D) and those of y (N, D), right to 1e-6 relative.

    Besides the answer it needs a fixed amount of memory, whatever M and N. Raises ValueError when the rows differ in
    length, hold NaN or infinity, or are no real numbers.

    >>> pairwise_distances(np.array([[0.0, 0.0]]), np.array([[3.0, 4.0], [0.0, 0.0]])).tolist()
    [[5.0, 0.0]]
    """
    x = check_shape("x", x, "M", "D")
    y = check_shape("y", y, "N", x.shape[1])
    out = np.zeros((len(x), len(y)))
    if not out.size:
        return out
    centre = y[:: max(1, len(y) // 256)].mean(axis=0, dtype=np.float64)  # any point serves; this one is in the midst
    m, n = (max(1, values // max(1, x.shape[1])) for values in (BLOCK_VALUES, CACHE_VALUES))
    with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is found by its square
        for i in range(0, len(x), m):
            rows = x[i : i + m] - centre
            for j in range(0, len(y), n):
                out[i : i + m, j : j + n] = _block(rows, y[j : j + n] - centre)
    return np.sqrt(out, out=out)


def _block(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared distances (m, n) between the rows of two blocks, both near the origin."""
    xx, yy = np.einsum("md,md->m", x, x), np.einsum("nd,nd->n", y, y)
    largest = max(xx.max(), yy.max())
    if not np.isfinite(largest):
        raise ValueError("x or y: found NaN, infinity or a square above 1e308, wanted finite numbers")
    # Outside this range float32 has no digits for the values, or none for their squares.
    small_range = 1e-30 < largest < 1e30
    squared, close = _by_product(x, y, xx, yy, np.float32 if small_range else np.float64)
    if len(close[0]) > FEW * squared.size:
        squared, close = _by_product(x, y, xx, yy, np.float64)
    _recompute(squared, x, y, close)
    return squared


def _by_product(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    xx: NDArray[np.float64],
    yy: NDArray[np.float64],
    dtype: DTypeLike,
) -> tuple[NDArray[np.float64], tuple[NDArray[np.intp], ...]]:
    """Squared distances (m, n) with the product in ``dtype``, and the places that are not accurate."""
    squared = (x.astype(dtype, copy=False) @ y.astype(dtype, copy=False).T).astype(np.float64, copy=False)  # (m, n)
    squared *= -2
    sums = xx[:, None] + yy  # (m, n)
    squared += sums
    sums *= CLOSE[np.dtype(dtype)]
    close = np.nonzero(squared <= sums)
    # Rounding can leave a little less than nothing, which has no root.
    return np.maximum(squared, 0, out=squared), close


def _recompute(
    squared: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64], places: tuple[NDArray[np.intp], ...]
) -> None:
    """Write squared distances at ``places`` (two index arrays) from the differences of the rows."""
    at_once = max(1, BLOCK_VALUES // max(1, x.shape[1]))
    for start in range(0, len(places[0]), at_once):
        i, j = (index[start : start + at_once] for index in places)
        difference: NDArray[Any] = x[i] - y[j]  # (pairs, D)
        squared[i, j] = np.einsum("pd,pd->p", difference, difference)
