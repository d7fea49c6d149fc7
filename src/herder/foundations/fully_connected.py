"""A fully connected network of any depth, with batch or layer normalization and dropout where asked for.

    { affine - [batch or layer normalization] - ReLU - [dropout] } x (L - 1) - affine - softmax

    loss = softmax_loss(scores, y) + 1/2 reg (sum(W1^2) + ... + sum(WL^2))

The penalty carries a half, so that its gradient is plainly reg * W; biases, gamma and beta are not penalised.

Notation: N samples, D features (``input_dim``), H_i units of hidden layer i, C classes, L layers with weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import DTypeLike

from herder.foundations.arguments import Array, check_batch, check_choice, check_labels, check_shape, check_whole
from herder.foundations.dropout import DropoutCache, dropout_backward, dropout_forward
from herder.foundations.hyperparameters import check_real
from herder.foundations.layer_sandwiches import (
    NORMALIZATIONS,
    AffineNormReluCache,
    AffineReluCache,
    affine_norm_relu_backward,
    affine_norm_relu_forward,
    affine_relu_backward,
    affine_relu_forward,
)
from herder.foundations.layers import AffineCache, affine_backward, affine_forward, softmax_loss


@dataclass(frozen=True)
class HiddenCache:
    """What the forward pass leaves of one hidden layer."""

    layer: AffineReluCache | AffineNormReluCache
    dropout: DropoutCache | None


class FullyConnectedNet:
    """Weights ``params["W1"]`` (D, H_1), ``["b1"]`` (H_1,), ... ``["WL"]`` (H_L-1, C), ``["bL"]`` (C,), and the loss.

    ``hidden_dims`` are H_1 to H_L-1; an empty list makes a linear classifier. With ``normalization`` "batchnorm" or
    "layernorm" each hidden layer also has ``["gamma1"]``, ``["beta1"]`` (H_1,), ... and its settings and running
    statistics in ``bn_params``. ``dropout_keep_ratio`` is the probability of keeping a unit; 1 is no dropout.

    Weights start normal with standard deviation ``weight_scale``, biases and beta at zero, gamma at one; all are of
    ``dtype``, and so are the scores. The same ``seed`` gives the same weights, and the same dropout masks in every
    call: that is for gradient checks. To train with dropout, and be able to repeat it, give ``rng`` in its place:
    weights and ever new masks are drawn from it. Raises ValueError for shapes, dtypes, labels and settings that do not
    fit.

    >>> net = FullyConnectedNet([20, 10], input_dim=4, num_classes=3, normalization="batchnorm", seed=0)
    >>> net.loss(np.ones((5, 2, 2))).shape  # scores
    (5, 3)
    >>> loss, grads = net.loss(np.eye(4), np.array([0, 1, 2, 0]))
    >>> round(loss, 1), sorted(grads)  # log(3): the network knows nothing yet
    (1.1, ['W1', 'W2', 'W3', 'b1', 'b2', 'b3', 'beta1', 'beta2', 'gamma1', 'gamma2'])
    """

    def __init__(
        self,
        hidden_dims: Sequence[int],
        input_dim: int = 3 * 32 * 32,
        num_classes: int = 10,
        dropout_keep_ratio: float = 1,
        normalization: str | None = None,
        reg: float = 0.0,
        weight_scale: float = 1e-2,
        dtype: DTypeLike = np.float32,
        seed: int | None = None,
        *,
        rng: np.random.Generator | None = None,
    ) -> None:
        check_shape("hidden_dims", hidden_dims, "L - 1")
        for i, size in enumerate(hidden_dims):
            check_whole(f"hidden_dims[{i}]", size, 1)
        check_choice("normalization", normalization, (None, *NORMALIZATIONS))
        if seed is not None and rng is not None:
            raise ValueError("rng: found a generator beside a seed, wanted one of the two")
        self.input_dim = check_whole("input_dim", input_dim, 1)
        self.num_classes = check_whole("num_classes", num_classes, 1)
        self.normalization = normalization
        self.reg = check_real("reg", reg, 0)
        self.dtype = floating_dtype(dtype)
        self.num_layers = 1 + len(hidden_dims)
        keep_ratio = check_real("dropout_keep_ratio", dropout_keep_ratio, 0, 1, open_low=True)
        self.use_dropout = keep_ratio < 1
        self.dropout_param: dict[str, Any] = {"mode": "train", "p": keep_ratio}
        self.bn_params: list[dict[str, Any]] = []
        check_real("weight_scale", weight_scale, 0)

        if rng is None:
            rng = np.random.default_rng(None if seed is None else check_whole("seed", seed, 0))
        self.dropout_param.update({"rng": rng} if seed is None else {"seed": seed})
        self.params: dict[str, Array] = {}
        sizes = [self.input_dim, *hidden_dims, self.num_classes]
        for i in range(1, self.num_layers + 1):
            weights = weight_scale * rng.standard_normal((sizes[i - 1], sizes[i]))
            self.params[f"W{i}"] = weights.astype(self.dtype)
            self.params[f"b{i}"] = np.zeros(sizes[i], self.dtype)
            if normalization is not None and i < self.num_layers:
                self.params[f"gamma{i}"] = np.ones(sizes[i], self.dtype)
                self.params[f"beta{i}"] = np.zeros(sizes[i], self.dtype)
                self.bn_params.append({"mode": "train"} if normalization == "batchnorm" else {})

    @overload
    def loss(self, X: Array, y: None = None) -> Array: ...
    @overload
    def loss(self, X: Array, y: Array) -> tuple[float, dict[str, Array]]: ...
    def loss(self, X: Array, y: Array | None = None) -> Array | tuple[float, dict[str, Array]]:
        """Without labels, scores (N, C) of X (N, d_1, ..., d_k), in test mode: running statistics, no dropout.

        With labels y (N,), the loss in train mode and a dict of gradients like ``params``.
        """
        X = check_batch("X", X)
        if X[0].size != self.input_dim:
            raise ValueError(f"X: found shape {X.shape}, wanted (N, ...) with {self.input_dim} values a sample")
        if y is not None:
            check_labels("y", y, len(X), self.num_classes)
        self._set_mode("test" if y is None else "train")
        hidden, caches = X.astype(self.dtype), []
        for i in range(1, self.num_layers):
            hidden, cache = self._hidden_forward(i, hidden)  # (N, H_i)
            caches.append(cache)
        scores, last_cache = self._scores(hidden)  # (N, C)
        if y is None:
            return scores

        loss, dscores = softmax_loss(scores, y)
        grads: dict[str, Array] = {}
        last = self.num_layers
        dhidden, grads[f"W{last}"], grads[f"b{last}"] = affine_backward(dscores, last_cache)
        for i in range(last - 1, 0, -1):
            dhidden = self._hidden_backward(i, dhidden, caches[i - 1], grads)  # (N, H_i-1)
        for i in range(1, last + 1):
            weights = self.params[f"W{i}"]
            loss += 0.5 * self.reg * float(np.sum(weights**2))
            grads[f"W{i}"] += self.reg * weights
        return loss, grads

    def _set_mode(self, mode: str) -> None:
        self.dropout_param["mode"] = mode
        if self.normalization == "batchnorm":
            for bn_param in self.bn_params:
                bn_param["mode"] = mode

    def _scores(self, hidden: Array) -> tuple[Array, AffineCache]:
        return affine_forward(hidden, self.params[f"W{self.num_layers}"], self.params[f"b{self.num_layers}"])

    def _hidden_forward(self, i: int, x: Array) -> tuple[Array, HiddenCache]:
        """Hidden layer i, from 1: x (N, H_i-1) to (N, H_i)."""
        w, b = self.params[f"W{i}"], self.params[f"b{i}"]
        cache: AffineReluCache | AffineNormReluCache
        if self.normalization is None:
            out, cache = affine_relu_forward(x, w, b)
        else:
            gamma, beta = self.params[f"gamma{i}"], self.params[f"beta{i}"]
            norm_param = self.bn_params[i - 1]
            out, cache = affine_norm_relu_forward(x, w, b, gamma, beta, norm_param, self.normalization)
        if not self.use_dropout:
            return out, HiddenCache(cache, None)
        out, dropout_cache = dropout_forward(out, self.dropout_param)
        return out, HiddenCache(cache, dropout_cache)

    def _hidden_backward(self, i: int, dout: Array, cache: HiddenCache, grads: dict[str, Array]) -> Array:
        """The gradient dx (N, H_i-1) for dout (N, H_i); those of the layer's parameters go into ``grads``."""
        if cache.dropout is not None:
            dout = dropout_backward(dout, cache.dropout)
        if isinstance(cache.layer, AffineNormReluCache):
            dx, grads[f"W{i}"], grads[f"b{i}"], grads[f"gamma{i}"], grads[f"beta{i}"] = affine_norm_relu_backward(
                dout, cache.layer
            )
        else:
            dx, grads[f"W{i}"], grads[f"b{i}"] = affine_relu_backward(dout, cache.layer)
        return dx


def floating_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    """``dtype`` as NumPy knows it, or ValueError where it is none of floating point.

    >>> floating_dtype(np.int64)
    Traceback (most recent call last):
    ValueError: dtype: found int64, wanted floating point, such as float64
    """
    try:
        known = np.dtype(dtype)
    except TypeError:
        raise ValueError(f"dtype: found {dtype!r}, wanted floating point, such as float64") from None
    if known.kind != "f":
        raise ValueError(f"dtype: found {known}, wanted floating point, such as float64")
    return known
