"""Batch and group normalization of images (N, C, H, W), built from the ones for features.

A convolution treats every pixel alike, so normalization does too. Mean and variance are taken

- by spatial batch normalization of each channel over all images and pixels (https://arxiv.org/abs/1502.03167, 3.2);
- by group normalization of each image over the pixels of a group of C / G channels (Wu and He,
  https://arxiv.org/abs/1803.08494): G = 1 is layer normalization, G = C is instance normalization.

Notation: N images, C channels, H x W pixels, G groups. Every function raises ValueError for shapes, dtypes and settings
that do not fit.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from herder.foundations.arguments import Array, check_shape, check_whole
from herder.foundations.normalization import (
    BatchnormCache,
    batchnorm_backward_alt,
    batchnorm_forward,
    check_eps,
    check_values,
    standardize,
    standardize_backward,
)


@dataclass(frozen=True)
class GroupnormCache:
    """What ``spatial_groupnorm_forward`` leaves for the backward pass."""

    x_hat: Array
    """(N, C, H, W)."""
    std: Array
    """sqrt(var + eps): (N, G, 1)."""
    gamma: Array
    """(1, C, 1, 1)."""


SpatialBatchnormCache = tuple[BatchnormCache, tuple[int, ...]]
"""What ``spatial_batchnorm_forward`` leaves for the backward pass: the inner cache, and the shape of x."""


def spatial_batchnorm_forward(
    x: Array, gamma: Array, beta: Array, bn_param: MutableMapping[str, Any]
) -> tuple[Array, SpatialBatchnormCache]:
    """Normalize each channel of x (N, C, H, W); gamma and beta (C,). Returns out (N, C, H, W) and the cache.

    bn_param as for ``batchnorm_forward``, the running statistics (C,): every pixel counts as a sample, every channel as
    a feature.

    >>> x = np.arange(4.0).reshape(1, 1, 2, 2)
    >>> out, cache = spatial_batchnorm_forward(x, np.ones(1), np.zeros(1), {"mode": "train"})
    >>> out.round(4).tolist()
    [[[[-1.3416, -0.4472], [0.4472, 1.3416]]]]
    """
    x = check_values(check_shape("x", x, "N", "C", "H", "W"))
    out, cache = batchnorm_forward(_pixels_first(x), gamma, beta, bn_param)  # (N * H * W, C)
    return _images(out, x.shape), (cache, x.shape)


def spatial_batchnorm_backward(dout: Array, cache: SpatialBatchnormCache) -> tuple[Array, Array, Array]:
    """The gradients dx (N, C, H, W), dgamma (C,), dbeta (C,) for the upstream gradient dout (N, C, H, W)."""
    inner, shape = cache
    dout = check_shape("dout", dout, *shape)
    dx, dgamma, dbeta = batchnorm_backward_alt(_pixels_first(dout), inner)  # (N * H * W, C), (C,), (C,)
    return _images(dx, shape), dgamma, dbeta


def spatial_groupnorm_forward(
    x: Array, gamma: Array, beta: Array, G: int, gn_param: Mapping[str, Any]
) -> tuple[Array, GroupnormCache]:
    """Normalize each image of x (N, C, H, W) group by group; gamma and beta (1, C, 1, 1), G a divisor of C.

    gn_param: ``eps``, 1e-5. Returns out (N, C, H, W) and the cache.

    >>> x = np.array([1.0, 3.0, 10.0, 30.0]).reshape(1, 4, 1, 1)  # four channels of one pixel
    >>> gamma, beta = np.ones((1, 4, 1, 1)), np.zeros((1, 4, 1, 1))
    >>> spatial_groupnorm_forward(x, gamma, beta, 2, {})[0].ravel().round(4).tolist()
    [-1.0, 1.0, -1.0, 1.0]
    """
    x = check_values(check_shape("x", x, "N", "C", "H", "W"))
    N, C = x.shape[:2]
    gamma, beta = check_shape("gamma", gamma, 1, C, 1, 1), check_shape("beta", beta, 1, C, 1, 1)
    if C % check_whole("G", G, 1, C):
        raise ValueError(f"G: found {G}, wanted a divisor of {C}, the channels of x")
    groups = x.reshape(N, G, -1)  # (N, G, C / G * H * W)
    standard, std = standardize(groups, check_eps("gn_param", gn_param))
    x_hat = standard.reshape(x.shape)  # (N, C, H, W)
    return gamma * x_hat + beta, GroupnormCache(x_hat, std, gamma)


def spatial_groupnorm_backward(dout: Array, cache: GroupnormCache) -> tuple[Array, Array, Array]:
    """The gradients dx (N, C, H, W), dgamma and dbeta (1, C, 1, 1) for the upstream gradient dout (N, C, H, W)."""
    x_hat, (N, G, _) = cache.x_hat, cache.std.shape
    dout = check_shape("dout", dout, *x_hat.shape)
    dbeta = dout.sum(axis=(0, 2, 3), keepdims=True)  # (1, C, 1, 1)
    dgamma = (dout * x_hat).sum(axis=(0, 2, 3), keepdims=True)  # (1, C, 1, 1)
    dgroups = (dout * cache.gamma).reshape(N, G, -1)  # (N, G, C / G * H * W)
    dx = standardize_backward(dgroups, x_hat.reshape(N, G, -1), cache.std)
    return dx.reshape(x_hat.shape), dgamma, dbeta


def _pixels_first(images: Array) -> Array:
    """(N, C, H, W) to (N * H * W, C): a row for each pixel."""
    return images.transpose(0, 2, 3, 1).reshape(-1, images.shape[1])


def _images(pixels: Array, shape: tuple[int, ...]) -> Array:
    """(N * H * W, C) back to ``shape``, (N, C, H, W)."""
    N, C, H, W = shape
    return np.ascontiguousarray(pixels.reshape(N, H, W, C).transpose(0, 3, 1, 2))
