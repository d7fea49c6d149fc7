"""Convolution as one matrix product (im2col, Chellapilla et al., https://hal.science/inria-00112631).

Every window of the image becomes a column of a matrix, every filter a row of another, and their product holds all
outputs at once: (F, C * HH * WW) @ (C * HH * WW, N * H' * W').

Copying the windows costs as much as the product where filters are few and large, since neighbouring windows repeat
most of their pixels. So B output rows share one taller window of HB = (B - 1) * stride + HH rows, and each filter is
repeated B times, shifted down by ``stride`` and filled up with zeros:

    (F * B, C * HB * WW) @ (C * HB * WW, N * H'/B * W')

That copies B * HH / HB times less, for HB / HH times the multiplications. With B = 1 it is plain im2col.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from herder.foundations.arguments import Array, check_shape
from herder.foundations.convolution import check_convolution, output_size

FEW_FILTERS = 32
"""Up to here copying windows takes longer than the extra multiplications of taller ones (measured, float32)."""


@dataclass(frozen=True)
class FastConvCache:
    """What the forward pass leaves for the backward pass."""

    columns: Array
    """Windows as columns: (C * HB * WW, N * bands * W')."""
    banded: Array
    """Filters, repeated and shifted: (F * B, C * HB * WW)."""
    geometry: Geometry


@dataclass(frozen=True)
class Geometry:
    """All lengths of one convolution, in pixels or counts."""

    N: int
    C: int
    H: int
    W: int
    F: int
    HH: int
    WW: int
    stride: int
    pad: int

    @property
    def rows(self) -> int:
        """H', rows of the output."""
        return output_size(self.H + 2 * self.pad, self.HH, self.stride)

    @property
    def columns(self) -> int:
        """W', columns of the output."""
        return output_size(self.W + 2 * self.pad, self.WW, self.stride)

    @property
    def B(self) -> int:
        """Output rows that share a window."""
        large = self.HH >= 5 and self.stride < self.HH
        return min(4, self.rows) if self.F <= FEW_FILTERS and large else 1

    @property
    def HB(self) -> int:
        """Rows of a shared window."""
        return (self.B - 1) * self.stride + self.HH

    @property
    def bands(self) -> int:
        """Groups of B output rows; the last may reach past the image, into zeros."""
        return -(-self.rows // self.B)

    @property
    def padded(self) -> tuple[int, int, int, int]:
        """Shape of the padded images, with what the last band reads below them."""
        height = max(self.H + 2 * self.pad, (self.bands - 1) * self.B * self.stride + self.HB)
        return self.N, self.C, height, self.W + 2 * self.pad


def conv_forward_fast(x: Array, w: Array, b: Array, conv_param: Mapping[str, Any]) -> tuple[Array, FastConvCache]:
    """As ``conv_forward_naive``, with the same arguments, errors and out (N, F, H', W'), and a cache for the way back.

    The cache holds the windows: about HH * WW / stride^2 times the memory of x, a third of that for few large filters.
    """
    x, w, b, stride, pad = check_convolution(x, w, b, conv_param)
    (N, C, H, W), (F, _, HH, WW) = x.shape, w.shape
    g = Geometry(N, C, H, W, F, HH, WW, stride, pad)
    dtype = np.result_type(x, w, b)

    padded = np.zeros(g.padded, dtype)
    padded[:, :, pad : pad + H, pad : pad + W] = x
    columns = np.ascontiguousarray(_windows(padded, g)).reshape(g.C * g.HB * g.WW, -1)

    banded = np.zeros((g.F, g.B, g.C, g.HB, g.WW), dtype)
    for i in range(g.B):
        banded[:, i, :, i * stride : i * stride + g.HH] = w
    banded = banded.reshape(g.F * g.B, -1)

    out = (banded @ columns).reshape(g.F, g.B, g.N, g.bands, g.columns)
    out += b.reshape(-1, 1, 1, 1, 1)
    out = out.transpose(2, 0, 3, 1, 4).reshape(g.N, g.F, g.bands * g.B, g.columns)  # a copy, image by image
    return out[:, :, : g.rows], FastConvCache(columns, banded, g)


def conv_backward_fast(dout: Array, cache: FastConvCache) -> tuple[Array, Array, Array]:
    """The gradients dx (N, C, H, W), dw (F, C, HH, WW), db (F,) for the upstream gradient dout (N, F, H', W').

    The product's two factors get the gradient times the other one, transposed; then the ways into the factors are
    gone back: shifted filters are added up, and each window is added to where it was cut from (col2im).
    """
    g = cache.geometry
    dout = check_shape("dout", dout, g.N, g.F, g.rows, g.columns)
    db = dout.sum(axis=(0, 2, 3))
    if g.bands * g.B > g.rows:
        dout = np.pad(dout, ((0, 0), (0, 0), (0, g.bands * g.B - g.rows), (0, 0)))
    dout = dout.reshape(g.N, g.F, g.bands, g.B, g.columns).transpose(1, 3, 0, 2, 4).reshape(g.F * g.B, -1)

    dbanded = (dout @ cache.columns.T).reshape(g.F, g.B, g.C, g.HB, g.WW)
    dw = sum(dbanded[:, i, :, i * g.stride : i * g.stride + g.HH] for i in range(g.B))

    dcolumns = (cache.banded.T @ dout).reshape(g.C, g.HB, g.WW, g.N, g.bands, g.columns)
    dpadded = np.zeros((g.C, g.N, *g.padded[2:]), dcolumns.dtype)  # channels first, as dcolumns has them
    for p in range(g.HB):
        for q in range(g.WW):
            below = p + (g.bands - 1) * g.B * g.stride + 1
            right = q + (g.columns - 1) * g.stride + 1
            dpadded[:, :, p : below : g.B * g.stride, q : right : g.stride] += dcolumns[:, p, q]
    dx = dpadded[:, :, g.pad : g.pad + g.H, g.pad : g.pad + g.W].transpose(1, 0, 2, 3)
    return np.ascontiguousarray(dx), np.asarray(dw), db


def _windows(padded: Array, g: Geometry) -> Array:
    """A view (C, HB, WW, N, bands, W') of all windows: the value at p, q of the window of each image, band, column."""
    image, channel, row, pixel = padded.strides
    shape = (g.C, g.HB, g.WW, g.N, g.bands, g.columns)
    return as_strided(padded, shape, (channel, row, pixel, image, row * g.B * g.stride, pixel * g.stride))
