"""Layers that usually come together, as one pair of functions: affine - ReLU, convolution - ReLU - pooling, and so on.

Forward calls the layers in order and keeps their caches; backward calls their backward functions in reverse, each
handing its dx to the layer before as the upstream gradient. Shapes and errors are those of the layers within.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from herder.foundations.arguments import Array, check_choice
from herder.foundations.fast_convolution import FastConvCache, conv_backward_fast, conv_forward_fast
from herder.foundations.layers import (
    AffineCache,
    affine_backward,
    affine_forward,
    relu_backward,
    relu_forward,
)
from herder.foundations.normalization import (
    BatchnormCache,
    LayernormCache,
    batchnorm_backward_alt,
    batchnorm_forward,
    layernorm_backward,
    layernorm_forward,
)
from herder.foundations.pooling import FastPoolCache, max_pool_backward_fast, max_pool_forward_fast
from herder.foundations.spatial_normalization import (
    SpatialBatchnormCache,
    spatial_batchnorm_backward,
    spatial_batchnorm_forward,
)

NORMALIZATIONS = ("batchnorm", "layernorm")

AffineReluCache = tuple[AffineCache, Array]
ConvReluCache = tuple[FastConvCache, Array]
ConvBnReluCache = tuple[FastConvCache, SpatialBatchnormCache, Array]
ConvReluPoolCache = tuple[FastConvCache, Array, FastPoolCache]


@dataclass(frozen=True)
class AffineNormReluCache:
    """What ``affine_norm_relu_forward`` leaves for the backward pass: the cache of each layer."""

    affine: AffineCache
    norm: BatchnormCache | LayernormCache
    relu: Array


def affine_relu_forward(x: Array, w: Array, b: Array) -> tuple[Array, AffineReluCache]:
    """Affine - ReLU: x (N, d_1, ..., d_k), w (D, M), b (M,) to out (N, M)."""
    scores, affine_cache = affine_forward(x, w, b)  # (N, M)
    out, relu_cache = relu_forward(scores)  # (N, M)
    return out, (affine_cache, relu_cache)


def affine_relu_backward(dout: Array, cache: AffineReluCache) -> tuple[Array, Array, Array]:
    """The gradients dx, dw, db for the upstream gradient dout (N, M)."""
    affine_cache, relu_cache = cache
    return affine_backward(relu_backward(dout, relu_cache), affine_cache)


def affine_norm_relu_forward(
    x: Array,
    w: Array,
    b: Array,
    gamma: Array,
    beta: Array,
    norm_param: MutableMapping[str, Any],
    normalization: str = "batchnorm",
) -> tuple[Array, AffineNormReluCache]:
    """Affine - normalization - ReLU: x (N, d_1, ..., d_k), w (D, M), b, gamma and beta (M,) to out (N, M).

    ``normalization`` is "batchnorm" or "layernorm", ``norm_param`` its settings.
    """
    check_choice("normalization", normalization, NORMALIZATIONS)
    scores, affine_cache = affine_forward(x, w, b)  # (N, M)
    norm_cache: BatchnormCache | LayernormCache
    if normalization == "batchnorm":
        normed, norm_cache = batchnorm_forward(scores, gamma, beta, norm_param)  # (N, M)
    else:
        normed, norm_cache = layernorm_forward(scores, gamma, beta, norm_param)  # (N, M)
    out, relu_cache = relu_forward(normed)  # (N, M)
    return out, AffineNormReluCache(affine_cache, norm_cache, relu_cache)


def affine_norm_relu_backward(dout: Array, cache: AffineNormReluCache) -> tuple[Array, Array, Array, Array, Array]:
    """The gradients dx, dw, db, dgamma, dbeta for the upstream gradient dout (N, M)."""
    dnormed = relu_backward(dout, cache.relu)
    if isinstance(cache.norm, BatchnormCache):
        dscores, dgamma, dbeta = batchnorm_backward_alt(dnormed, cache.norm)
    else:
        dscores, dgamma, dbeta = layernorm_backward(dnormed, cache.norm)
    dx, dw, db = affine_backward(dscores, cache.affine)
    return dx, dw, db, dgamma, dbeta


def conv_relu_forward(x: Array, w: Array, b: Array, conv_param: Mapping[str, Any]) -> tuple[Array, ConvReluCache]:
    """Convolution - ReLU: x (N, C, H, W), w (F, C, HH, WW), b (F,) to out (N, F, H', W')."""
    scores, conv_cache = conv_forward_fast(x, w, b, conv_param)  # (N, F, H', W')
    out, relu_cache = relu_forward(scores)
    return out, (conv_cache, relu_cache)


def conv_relu_backward(dout: Array, cache: ConvReluCache) -> tuple[Array, Array, Array]:
    """The gradients dx, dw, db for the upstream gradient dout (N, F, H', W')."""
    conv_cache, relu_cache = cache
    return conv_backward_fast(relu_backward(dout, relu_cache), conv_cache)


def conv_bn_relu_forward(
    x: Array,
    w: Array,
    b: Array,
    gamma: Array,
    beta: Array,
    conv_param: Mapping[str, Any],
    bn_param: MutableMapping[str, Any],
) -> tuple[Array, ConvBnReluCache]:
    """Convolution - spatial batch normalization - ReLU: as ``conv_relu_forward``, with gamma and beta (F,)."""
    scores, conv_cache = conv_forward_fast(x, w, b, conv_param)  # (N, F, H', W')
    normed, bn_cache = spatial_batchnorm_forward(scores, gamma, beta, bn_param)  # (N, F, H', W')
    out, relu_cache = relu_forward(normed)
    return out, (conv_cache, bn_cache, relu_cache)


def conv_bn_relu_backward(dout: Array, cache: ConvBnReluCache) -> tuple[Array, Array, Array, Array, Array]:
    """The gradients dx, dw, db, dgamma, dbeta for the upstream gradient dout (N, F, H', W')."""
    conv_cache, bn_cache, relu_cache = cache
    dnormed = relu_backward(dout, relu_cache)
    dscores, dgamma, dbeta = spatial_batchnorm_backward(dnormed, bn_cache)
    dx, dw, db = conv_backward_fast(dscores, conv_cache)
    return dx, dw, db, dgamma, dbeta


def conv_relu_pool_forward(
    x: Array, w: Array, b: Array, conv_param: Mapping[str, Any], pool_param: Mapping[str, Any]
) -> tuple[Array, ConvReluPoolCache]:
    """Convolution - ReLU - max pooling: x (N, C, H, W), w (F, C, HH, WW), b (F,) to out (N, F, H'', W'')."""
    scores, conv_cache = conv_forward_fast(x, w, b, conv_param)  # (N, F, H', W')
    active, relu_cache = relu_forward(scores)  # (N, F, H', W')
    out, pool_cache = max_pool_forward_fast(active, pool_param)  # (N, F, H'', W'')
    return out, (conv_cache, relu_cache, pool_cache)


def conv_relu_pool_backward(dout: Array, cache: ConvReluPoolCache) -> tuple[Array, Array, Array]:
    """The gradients dx, dw, db for the upstream gradient dout (N, F, H'', W'')."""
    conv_cache, relu_cache, pool_cache = cache
    dactive = max_pool_backward_fast(dout, pool_cache)  # (N, F, H', W')
    return conv_backward_fast(relu_backward(dactive, relu_cache), conv_cache)
