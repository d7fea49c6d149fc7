"""Batch and layer normalization of features (N, D): shift and scale to mean 0 and variance 1, then to a learned range.

    x_hat = (x - mean) / sqrt(var + eps),   out = gamma * x_hat + beta

mean and var (biased: divided by the count, not the count less one) are taken

- by batch normalization of each feature over the batch (Ioffe and Szegedy, https://arxiv.org/abs/1502.03167);
- by layer normalization of each sample over its features (Ba, Kiros and Hinton, https://arxiv.org/abs/1607.06450).

Notation: N samples, D features; gamma and beta (D,). Every function raises ValueError for shapes, dtypes and settings
that do not fit.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from herder.foundations.arguments import Array, check_choice, check_shape
from herder.foundations.hyperparameters import check_real

EPS = 1e-5
"""Added to a variance before its root where the settings name no ``eps``: a constant feature is not divided by zero."""


@dataclass(frozen=True)
class BatchnormCache:
    """What ``batchnorm_forward`` leaves for the backward pass."""

    centred: Array
    """x - mean: (N, D)."""
    x_hat: Array
    """(N, D)."""
    std: Array
    """sqrt(var + eps): (D,)."""
    gamma: Array
    """(D,)."""
    of_batch: bool
    """Whether mean and var are this batch's own (train mode), and so depend on x."""


@dataclass(frozen=True)
class LayernormCache:
    """What ``layernorm_forward`` leaves for the backward pass."""

    x_hat: Array
    """(N, D)."""
    std: Array
    """sqrt(var + eps): (N, 1)."""
    gamma: Array
    """(D,)."""


def batchnorm_forward(
    x: Array, gamma: Array, beta: Array, bn_param: MutableMapping[str, Any]
) -> tuple[Array, BatchnormCache]:
    """Normalize each feature of x (N, D); gamma and beta (D,). Returns out (N, D) and the cache.

    bn_param: ``mode``, "train" or "test"; ``eps``, 1e-5; ``momentum``, 0.9; ``running_mean`` and ``running_var`` (D,),
    zeros at first. In train mode the statistics are the batch's, and bn_param gets

        running <- momentum * running + (1 - momentum) * the batch's

    (``torch.nn.BatchNorm1d`` calls 1 - momentum its momentum, and keeps the unbiased variance). In test mode the
    running statistics take their place, so that a sample's output does not depend on its neighbours.

    >>> bn_param = {"mode": "train"}
    >>> out, cache = batchnorm_forward(np.array([[1.0], [3.0]]), np.ones(1), np.zeros(1), bn_param)
    >>> out.round(4).tolist(), bn_param["running_mean"].round(4).tolist()
    ([[-1.0], [1.0]], [0.2])
    """
    x, gamma, beta = check_normalization(x, gamma, beta)
    D = x.shape[1]
    mode = bn_param.get("mode")
    check_choice("bn_param['mode']", mode, ("train", "test"))
    eps = check_eps("bn_param", bn_param)
    momentum = check_real("bn_param['momentum']", bn_param.get("momentum", 0.9), 0, 1)
    dtype = np.result_type(x, np.float32)
    running_mean = check_shape("bn_param['running_mean']", bn_param.get("running_mean", np.zeros(D, dtype)), D)
    running_var = check_shape("bn_param['running_var']", bn_param.get("running_var", np.zeros(D, dtype)), D)

    if mode == "train":
        mean = x.mean(axis=0)  # (D,)
        centred = x - mean  # (N, D)
        var = (centred**2).mean(axis=0)  # (D,)
        bn_param["running_mean"] = momentum * running_mean + (1 - momentum) * mean
        bn_param["running_var"] = momentum * running_var + (1 - momentum) * var
    else:
        centred, var = x - running_mean, running_var
    std = np.sqrt(var + eps)  # (D,)
    x_hat = centred / std  # (N, D)
    return gamma * x_hat + beta, BatchnormCache(centred, x_hat, std, gamma, mode == "train")


def batchnorm_backward(dout: Array, cache: BatchnormCache) -> tuple[Array, Array, Array]:
    """The gradients dx (N, D), dgamma (D,), dbeta (D,) for the upstream gradient dout (N, D).

    Goes back through the graph of the forward pass node by node; ``batchnorm_backward_alt`` has done the algebra.
    """
    centred, x_hat, std, gamma = cache.centred, cache.x_hat, cache.std, cache.gamma
    N = len(x_hat)
    dout = check_shape("dout", dout, *x_hat.shape)

    # out = gamma * x_hat + beta
    dbeta = dout.sum(axis=0)  # (D,)
    dgamma = (dout * x_hat).sum(axis=0)  # (D,)
    dx_hat = dout * gamma  # (N, D)
    # x_hat = centred / std
    dcentred = dx_hat / std  # (N, D)
    if not cache.of_batch:
        return dcentred, dgamma, dbeta  # centred = x - a constant
    dstd = -(dx_hat * centred).sum(axis=0) / std**2  # (D,)
    # std = sqrt(var + eps)
    dvar = dstd / (2 * std)  # (D,)
    # var = mean of squares;  square = centred^2
    dsquare = np.broadcast_to(dvar / N, x_hat.shape)  # (N, D)
    dcentred = dcentred + 2 * centred * dsquare  # (N, D)
    # centred = x - mean
    dmean = -dcentred.sum(axis=0)  # (D,)
    # mean = sum of x / N
    return dcentred + dmean / N, dgamma, dbeta


def batchnorm_backward_alt(dout: Array, cache: BatchnormCache) -> tuple[Array, Array, Array]:
    """The same gradients as ``batchnorm_backward``, by one formula, in fewer passes over the batch.

    dx = gamma / std * (dout - dbeta / N - x_hat * dgamma / N)

    The mean takes out of dout what would move the whole batch, the variance what would stretch it: neither changes out.
    """
    x_hat, scale = cache.x_hat, cache.gamma / cache.std
    N = len(x_hat)
    dout = check_shape("dout", dout, *x_hat.shape)
    dbeta = dout.sum(axis=0)  # (D,)
    dgamma = np.einsum("nd,nd->d", dout, x_hat)  # (D,): sum of dout * x_hat, without an array of the products
    if not cache.of_batch:
        return dout * scale, dgamma, dbeta
    dx = x_hat * (-dgamma / N)  # (N, D)
    dx += dout
    dx -= dbeta / N
    dx *= scale
    return dx, dgamma, dbeta


def layernorm_forward(x: Array, gamma: Array, beta: Array, ln_param: Mapping[str, Any]) -> tuple[Array, LayernormCache]:
    """Normalize each sample of x (N, D); gamma and beta (D,). Returns out (N, D) and the cache.

    ln_param: ``eps``, 1e-5. There is no mode: a sample meets no other, in training or after it.

    >>> out, cache = layernorm_forward(np.array([[1.0, 3.0], [10.0, 30.0]]), np.ones(2), np.zeros(2), {})
    >>> out.round(4).tolist()
    [[-1.0, 1.0], [-1.0, 1.0]]
    """
    x, gamma, beta = check_normalization(x, gamma, beta)
    x_hat, std = standardize(x, check_eps("ln_param", ln_param))  # (N, D), (N, 1)
    return gamma * x_hat + beta, LayernormCache(x_hat, std, gamma)


def layernorm_backward(dout: Array, cache: LayernormCache) -> tuple[Array, Array, Array]:
    """The gradients dx (N, D), dgamma (D,), dbeta (D,) for the upstream gradient dout (N, D)."""
    dout = check_shape("dout", dout, *cache.x_hat.shape)
    dbeta = dout.sum(axis=0)  # (D,)
    dgamma = (dout * cache.x_hat).sum(axis=0)  # (D,)
    dx = standardize_backward(dout * cache.gamma, cache.x_hat, cache.std)  # (N, D)
    return dx, dgamma, dbeta


def standardize(x: Array, eps: float) -> tuple[Array, Array]:
    """Bring the last axis of x (..., K) to mean 0 and variance 1: x_hat (..., K), and std (..., 1), sqrt(var + eps)."""
    centred = x - x.mean(axis=-1, keepdims=True)
    std = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + eps)
    return centred / std, std


def standardize_backward(dx_hat: Array, x_hat: Array, std: Array) -> Array:
    """The gradient through ``standardize``: dx = (dx_hat - mean(dx_hat) - x_hat * mean(dx_hat * x_hat)) / std."""
    along = (dx_hat * x_hat).mean(axis=-1, keepdims=True)
    dx: Array = (dx_hat - dx_hat.mean(axis=-1, keepdims=True) - x_hat * along) / std
    return dx


def check_normalization(x: Array, gamma: Array, beta: Array) -> tuple[Array, Array, Array]:
    """Return x (N, D), gamma (D,) and beta (D,) as arrays, or raise ValueError naming what does not fit."""
    x = check_values(check_shape("x", x, "N", "D"))
    return x, check_shape("gamma", gamma, x.shape[1]), check_shape("beta", beta, x.shape[1])


def check_values(x: Array) -> Array:
    """Return x, or raise ValueError when it has no values: there is no mean of nothing."""
    if not x.size:
        raise ValueError(f"x: found shape {x.shape}, wanted at least one value")
    return x


def check_eps(name: str, param: Mapping[str, Any]) -> float:
    """The ``eps`` of a dict of settings called ``name``, or raise ValueError."""
    return check_real(f"{name}['eps']", param.get("eps", EPS), 0, open_low=True)
