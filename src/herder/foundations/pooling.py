"""Max pooling: the largest value of each window, channel by channel; its gradient goes to where that value stood.

out[n, c, i, j] = max over p, q of x[n, c, i * stride + p, j * stride + q]

Where several values of a window are equally large, the first in reading order takes the whole gradient.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from herder.foundations.arguments import Array, check_shape, check_whole
from herder.foundations.convolution import output_size

PoolCache = tuple[Array, Mapping[str, Any]]
"""What the naive forward pass leaves for the backward pass: x, pool_param."""


def max_pool_forward_naive(x: Array, pool_param: Mapping[str, Any]) -> tuple[Array, PoolCache]:
    """Pool images (N, C, H, W) to (N, C, H', W'), one output value at a time.

    pool_param: ``pool_height``, ``pool_width`` and ``stride``, whole pixels. H' = 1 + (H - pool_height) / stride,
    rounded down, and W' likewise. Raises ValueError when a window is larger than the image.
    """
    x, height, width, stride = check_pooling(x, pool_param)
    N, C, H, W = x.shape
    rows, columns = output_size(H, height, stride), output_size(W, width, stride)
    out = np.zeros((N, C, rows, columns), dtype=x.dtype)
    for i in range(rows):
        for j in range(columns):
            window = x[:, :, i * stride : i * stride + height, j * stride : j * stride + width]
            out[:, :, i, j] = window.max(axis=(2, 3))  # (N, C)
    return out, (x, pool_param)


def max_pool_backward_naive(dout: Array, cache: PoolCache) -> Array:
    """The gradient dx (N, C, H, W) for the upstream gradient dout (N, C, H', W')."""
    x, pool_param = cache
    x, height, width, stride = check_pooling(x, pool_param)
    N, C, H, W = x.shape
    rows, columns = output_size(H, height, stride), output_size(W, width, stride)
    dout = check_shape("dout", dout, N, C, rows, columns)
    dx = np.zeros(x.shape, dtype=dout.dtype)
    for n in range(N):
        for c in range(C):
            for i in range(rows):
                for j in range(columns):
                    top, left = i * stride, j * stride
                    window = x[n, c, top : top + height, left : left + width]
                    p, q = np.unravel_index(window.argmax(), window.shape)
                    dx[n, c, top + p, left + q] += dout[n, c, i, j]
    return dx


FastPoolCache = tuple[Array, tuple[int, int, int, int], tuple[int, int, int]]
"""Which value of its window was taken (N, C, H', W'), the shape of x, and (pool_height, pool_width, stride)."""


def max_pool_forward_fast(x: Array, pool_param: Mapping[str, Any]) -> tuple[Array, FastPoolCache]:
    """As ``max_pool_forward_naive``, with one step for each place in the window and not for each window."""
    x, height, width, stride = check_pooling(x, pool_param)
    N, C, H, W = x.shape
    rows, columns = output_size(H, height, stride), output_size(W, width, stride)
    out = _places(x, 0, 0, rows, columns, stride).copy()  # (N, C, H', W')
    taken = np.zeros(out.shape, dtype=np.intp)
    for k in range(1, height * width):
        p, q = divmod(k, width)
        value = _places(x, p, q, rows, columns, stride)
        larger = value > out
        taken[larger] = k
        np.maximum(out, value, out=out)
    return out, (taken, (N, C, H, W), (height, width, stride))


def max_pool_backward_fast(dout: Array, cache: FastPoolCache) -> Array:
    """The gradient dx (N, C, H, W) for the upstream gradient dout (N, C, H', W')."""
    taken, shape, (height, width, stride) = cache
    dout = check_shape("dout", dout, *taken.shape)
    rows, columns = taken.shape[2:]
    dx = np.zeros(shape, dtype=dout.dtype)
    for k in range(height * width):
        p, q = divmod(k, width)
        # Places of one k never meet, so that adding in place loses nothing even where windows overlap.
        _places(dx, p, q, rows, columns, stride)[...] += np.where(taken == k, dout, 0)
    return dx


def check_pooling(x: object, pool_param: Mapping[str, Any]) -> tuple[Array, int, int, int]:
    """Return x, pool_height, pool_width and stride, or raise ValueError naming what does not fit."""
    x = check_shape("x", x, "N", "C", "H", "W")
    names = ("pool_height", "pool_width", "stride")
    if not set(names) <= pool_param.keys():
        raise ValueError(f"pool_param: found {sorted(pool_param)}, wanted 'pool_height', 'pool_width' and 'stride'")
    height, width, stride = (check_whole(f"pool_param[{name!r}]", pool_param[name], 1) for name in names)
    if height > x.shape[2] or width > x.shape[3]:
        raise ValueError(f"pool_param: found windows of {(height, width)}, wanted (1, 1) to {x.shape[2:]}, the image")
    return x, height, width, stride


def _places(x: Array, p: int, q: int, rows: int, columns: int, stride: int) -> Array:
    """A view (N, C, rows, columns) of the value at place p, q of every window."""
    return x[:, :, p : p + (rows - 1) * stride + 1 : stride, q : q + (columns - 1) * stride + 1 : stride]
