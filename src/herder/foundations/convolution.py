"""Convolution as its definition says it, with loops; ``fast_convolution`` gives the same numbers sooner.

N images of C channels and H x W pixels, F filters of HH x WW; as in every network library it is the
cross-correlation, the filter is not flipped:

    out[n, f, i, j] = b[f] + sum over c, p, q of w[f, c, p, q] * padded[n, c, i * stride + p, j * stride + q]
    H' = 1 + (H + 2 * pad - HH) / stride,   W' = 1 + (W + 2 * pad - WW) / stride   (rounded down)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from herder.foundations.arguments import Array, check_shape, check_whole

ConvCache = tuple[Array, Array, Array, Mapping[str, Any]]
"""What a forward pass leaves for the backward pass: x, w, b, conv_param."""


def conv_forward_naive(x: Array, w: Array, b: Array, conv_param: Mapping[str, Any]) -> tuple[Array, ConvCache]:
    """Convolve images with filters, one output value at a time.

    x: (N, C, H, W). w: (F, C, HH, WW). b: (F,). conv_param: ``stride`` and ``pad``, whole pixels; the padding is of
    zeros, on every side. Returns out (N, F, H', W') and the cache for ``conv_backward_naive``.
    Raises ValueError when shapes do not fit or a filter is larger than the padded image.
    """
    x, w, b, stride, pad = check_convolution(x, w, b, conv_param)
    (N, _, H, W), (F, _, HH, WW) = x.shape, w.shape
    rows, columns = output_size(H + 2 * pad, HH, stride), output_size(W + 2 * pad, WW, stride)
    padded = pad_images(x, pad)  # (N, C, H + 2 pad, W + 2 pad)
    out = np.zeros((N, F, rows, columns), dtype=np.result_type(x, w, b))
    for n in range(N):
        for f in range(F):
            for i in range(rows):
                for j in range(columns):
                    top, left = i * stride, j * stride
                    window = padded[n, :, top : top + HH, left : left + WW]  # (C, HH, WW)
                    out[n, f, i, j] = np.sum(window * w[f]) + b[f]
    return out, (x, w, b, conv_param)


def conv_backward_naive(dout: Array, cache: ConvCache) -> tuple[Array, Array, Array]:
    """The gradients dx (N, C, H, W), dw (F, C, HH, WW), db (F,) for the upstream gradient dout (N, F, H', W').

    Each output value was a sum of products: it hands its gradient times the pixel to the weight, and times the weight
    to the pixel.
    """
    x, w, _, conv_param = cache
    stride, pad = conv_param["stride"], conv_param["pad"]
    (N, _, H, W), (F, _, HH, WW) = x.shape, w.shape
    rows, columns = output_size(H + 2 * pad, HH, stride), output_size(W + 2 * pad, WW, stride)
    dout = check_shape("dout", dout, N, F, rows, columns)
    padded = pad_images(x, pad)
    dtype = np.result_type(x, w, dout)
    dpadded, dw = np.zeros(padded.shape, dtype), np.zeros(w.shape, dtype)
    for n in range(N):
        for f in range(F):
            for i in range(rows):
                for j in range(columns):
                    top, left = i * stride, j * stride
                    window = padded[n, :, top : top + HH, left : left + WW]  # (C, HH, WW)
                    dw[f] += window * dout[n, f, i, j]
                    dpadded[n, :, top : top + HH, left : left + WW] += w[f] * dout[n, f, i, j]
    dx = dpadded[:, :, pad : pad + H, pad : pad + W]
    return dx, dw, dout.sum(axis=(0, 2, 3))


def check_convolution(
    x: object, w: object, b: object, conv_param: Mapping[str, Any]
) -> tuple[Array, Array, Array, int, int]:
    """Return x, w, b, stride and pad, or raise ValueError naming what does not fit."""
    x = check_shape("x", x, "N", "C", "H", "W")
    w = check_shape("w", w, "F", x.shape[1], "HH", "WW")
    b = check_shape("b", b, w.shape[0])
    for name in ("stride", "pad"):
        if name not in conv_param:
            raise ValueError(f"conv_param: found {sorted(conv_param)}, wanted 'stride' and 'pad'")
    stride = check_whole("conv_param['stride']", conv_param["stride"], 1)
    pad = check_whole("conv_param['pad']", conv_param["pad"], 0)
    padded = (x.shape[2] + 2 * pad, x.shape[3] + 2 * pad)
    if not all(0 < have <= wanted for have, wanted in zip(w.shape[2:], padded, strict=True)):
        raise ValueError(f"w: found filters of {w.shape[2:]}, wanted (1, 1) to {padded}, the padded image")
    return x, w, b, stride, pad


def output_size(padded: int, window: int, stride: int) -> int:
    """How many windows of a length fit along a padded axis.

    >>> output_size(7, 3, 2)
    3
    """
    return 1 + (padded - window) // stride


def pad_images(x: Array, pad: int) -> Array:
    """Put ``pad`` rows and columns of zeros around images: (N, C, H, W) to (N, C, H + 2 pad, W + 2 pad)."""
    return np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
