"""Euclidean distances between all rows of two arrays, by one matrix product and in bounded memory.

    |x - y|^2 = |x|^2 + |y|^2 - 2 x.y

The product does nearly all the work, and in float32 it takes half the time. What that costs in accuracy is known: the
error of x.y is up to 5e-7 |x| |y|, harmless where |x - y|^2 is of the size of |x|^2 + |y|^2 and ruinous where the two
cancel. So rows are first moved to a common centre, which makes them short and changes no distance; and pairs for which
|x - y|^2 is still under half of |x|^2 + |y|^2 are computed again from the rows themselves. Where these are many, as in
data of few dimensions or of clusters, the product is taken in float64, which leaves next to none.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from herder.foundations.arguments import Array, check_shape

BLOCK_VALUES = 2**22
"""Values of a block of rows of x: 32 MB in float64."""

CACHE_VALUES = 2**20
"""Values of a block of rows of y: 4 MB in float32, which stay in the processor's cache from one step to the next."""

MOST_ROWS = 1024
"""Rows of a block, however short they are: a million distances at a time."""

KEPT_VALUES = 2**24
"""Up to so many values a set is kept ready: 64 MB in float32."""

CLOSE_SHORT, CLOSE = 0.5, 1e-9
"""|x - y|^2 / (|x|^2 + |y|^2) up to which a product in float32, or in float64, has lost too many digits."""

SHORT_SUM = 128
"""Squares added up in float32 at a time."""

FEW = 0.02
"""Share of close pairs above which the product is taken in float64, where far fewer are close."""


def pairwise_distances(x: Array, y: Array | Points) -> NDArray[np.float64]:
    """Distances (M, N) between the rows of x (M, D) and those of y (N, D), right to 1e-6 relative.

    Besides the answer it needs a fixed amount of memory, whatever M and N. Where many x are measured from the same y,
    ``Points(y)`` prepares y once. Raises ValueError when the rows differ in length, hold NaN or infinity, or are no
    real numbers.

    >>> pairwise_distances(np.array([[0.0, 0.0]]), np.array([[3.0, 4.0], [0.0, 0.0]])).tolist()
    [[5.0, 0.0]]
    """
    x = check_shape("x", x, "M", "D")
    D = x.shape[1]
    points = y if isinstance(y, Points) else Points(check_shape("y", y, "N", D))
    if points.rows.shape[1] != D:
        raise ValueError(f"x: found shape {x.shape}, wanted (M, {points.rows.shape[1]})")
    out = np.zeros((len(x), len(points.rows)))
    if not out.size:
        return out
    length = min(MOST_ROWS, max(1, BLOCK_VALUES // max(1, D)))
    with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is found by its square
        short = _mostly_far(_Rows(_sample(x), points.centre), _Rows(_sample(points.rows), points.centre))
        for i in range(0, len(x), length):
            rows = _Rows(x[i : i + length], points.centre)
            for j, block in points.blocks():
                _fill(out[i : i + length, j : j + len(block.rows)], rows, block, short=short)
    return out


class Points:
    """Rows (N, D) to measure distances from: moved to their middle and rounded, which small sets keep ready.

    The array must not be changed afterwards. Raises ValueError for what is no array (N, D) of real numbers.
    """

    def __init__(self, rows: Array) -> None:
        self.rows = check_shape("y", rows, "N", "D")
        # Any point serves as the centre; this one is in the midst.
        self.centre = self.rows[:: max(1, len(self.rows) // 256)].mean(axis=0, dtype=np.float64) if len(rows) else 0
        self._kept: list[tuple[int, _Rows]] = []

    def blocks(self) -> Iterator[tuple[int, _Rows]]:
        """Where each block of rows starts, and the block, ready for use."""
        if self._kept:
            yield from self._kept
            return
        length = min(MOST_ROWS, max(1, CACHE_VALUES // max(1, self.rows.shape[1])))
        ready = []
        for start in range(0, len(self.rows), length):
            block = _Rows(self.rows[start : start + length], self.centre)
            if self.rows.size <= KEPT_VALUES:
                ready.append((start, block))
            yield start, block
        self._kept = ready


class _Rows:
    """A block of rows (n, D), moved to ``centre``: in float32 at once, in float64 where that is not enough."""

    def __init__(self, rows: Array, centre: Any) -> None:
        self.rows = rows
        self.centre = centre
        self.short = np.empty(rows.shape, np.float32)
        np.subtract(rows, centre, out=self.short, casting="same_kind")
        self.short_squares = _squares(self.short)  # (n,)

    @cached_property
    def values(self) -> NDArray[np.float64]:
        moved: NDArray[np.float64] = self.rows - self.centre
        return moved

    @cached_property
    def squares(self) -> NDArray[np.float64]:
        squares: NDArray[np.float64] = np.einsum("nd,nd->n", self.values, self.values)
        return squares

    def difference(self, i: NDArray[np.intp], other: _Rows, j: NDArray[np.intp]) -> NDArray[np.float64]:
        """Rows i less the other's rows j: (pairs, D)."""
        difference: NDArray[np.float64] = self.rows[i].astype(np.float64) - other.rows[j]
        return difference


def _squares(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """|x|^2 of each row (n, D): short sums in float32, which lose nothing, and their sum in float64."""
    whole = rows.shape[1] // SHORT_SUM * SHORT_SUM
    parts, rest = rows[:, :whole].reshape(len(rows), whole // SHORT_SUM, SHORT_SUM), rows[:, whole:]
    squares: NDArray[np.float64] = np.vecdot(parts, parts).sum(axis=1, dtype=np.float64)
    squares += np.vecdot(rest, rest)
    return squares


def _sample(rows: Array) -> Array:
    """About a hundred rows (n, D) from all over ``rows`` (N, D)."""
    return rows[:: max(1, len(rows) // 100)]


def _mostly_far(x: _Rows, y: _Rows) -> bool:
    """Whether so few pairs of a sample are close that float32 is worth trying."""
    out = np.zeros((len(x.rows), len(y.rows)))
    close = _expand(out, x.values @ y.values.T, x.squares, y.squares, CLOSE_SHORT)
    return len(close[0]) <= FEW * out.size


def _fill(out: NDArray[np.float64], x: _Rows, y: _Rows, *, short: bool) -> None:
    """Write the distances between the rows of two blocks to ``out`` (m, n)."""
    largest = max(x.short_squares.max(), y.short_squares.max())
    # Outside this range float32 has no digits for the values, or none for their squares.
    short = short and bool(1e-30 < largest < 1e30)
    if short:
        close = _expand(out, x.short @ y.short.T, x.short_squares, y.short_squares, CLOSE_SHORT)
    if not short or len(close[0]) > FEW * out.size:
        if not np.isfinite(max(x.squares.max(), y.squares.max())):
            raise ValueError("x or y: found NaN, infinity or a square above 1e308, wanted finite numbers")
        close = _expand(out, x.values @ y.values.T, x.squares, y.squares, CLOSE)
    at_once = max(1, CACHE_VALUES // max(1, x.rows.shape[1]))
    for start in range(0, len(close[0]), at_once):
        i, j = (index[start : start + at_once] for index in close)
        difference = x.difference(i, y, j)
        out[i, j] = np.einsum("pd,pd->p", difference, difference)
    np.sqrt(out, out=out)


def _expand(
    out: NDArray[np.float64],
    products: NDArray[Any],
    xx: NDArray[np.float64],
    yy: NDArray[np.float64],
    limit: float,
) -> tuple[NDArray[np.intp], ...]:
    """Write |x|^2 + |y|^2 - 2 x.y to ``out`` (m, n); return the places where at most ``limit`` of the sum is left.

    products: (m, n). xx: (m,). yy: (n,). Rounding may have left less than nothing, which has no root: it is clipped.
    """
    products *= -2
    sums = xx[:, None] + yy  # (m, n)
    np.add(products, sums, out=out)
    sums *= limit
    close = out <= sums
    if not close.any():
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    np.maximum(out, 0, out=out)
    return np.nonzero(close)
