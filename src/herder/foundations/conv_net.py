"""A convolutional network of three layers with weights, for images.

    convolution - ReLU - 2 x 2 max pooling - affine - ReLU - affine - softmax

    loss = softmax_loss(scores, y) + 1/2 reg (sum(W1^2) + sum(W2^2) + sum(W3^2))

The convolution has stride 1 and padding (filter_size - 1) / 2, so that odd filters keep height and width (even ones
take one pixel off); pooling halves both. The penalty carries a half, as in ``FullyConnectedNet``; biases are not
penalised.

Notation: N images of C channels and H x W pixels, F filters, P = F * H' * W' values after pooling, M hidden units
(``hidden_dim``), K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import numpy as np
from numpy.typing import DTypeLike

from herder.foundations.arguments import Array, check_batch, check_labels, check_shape, check_whole
from herder.foundations.convolution import output_size
from herder.foundations.fully_connected import floating_dtype
from herder.foundations.hyperparameters import check_real
from herder.foundations.layer_sandwiches import (
    affine_relu_backward,
    affine_relu_forward,
    conv_relu_pool_backward,
    conv_relu_pool_forward,
)
from herder.foundations.layers import affine_backward, affine_forward, softmax_loss

POOL_PARAM = {"pool_height": 2, "pool_width": 2, "stride": 2}


class ThreeLayerConvNet:
    """Weights ``params["W1"]`` (F, C, HH, WW), ``["b1"]`` (F,), ``["W2"]`` (P, M), ``["b2"]`` (M,), ``["W3"]`` (M, K),
    ``["b3"]`` (K,), and the loss.

    ``input_dim`` is (C, H, W) in pixels, ``filter_size`` HH and WW in pixels. Weights start normal with standard
    deviation ``weight_scale``, biases at zero; all are of ``dtype``, and so are the scores. The same ``seed`` gives the
    same weights; None draws anew. Raises ValueError for shapes, dtypes, labels and settings that do not fit.

    >>> net = ThreeLayerConvNet(input_dim=(1, 8, 8), num_filters=4, filter_size=3, hidden_dim=16, seed=0)
    >>> net.loss(np.zeros((5, 1, 8, 8))).shape  # scores
    (5, 10)
    >>> loss, grads = net.loss(np.zeros((5, 1, 8, 8)), np.arange(5))
    >>> round(loss, 4), grads["W2"].shape  # log(10): the network knows nothing yet
    (2.3026, (64, 16))
    """

    def __init__(
        self,
        input_dim: Sequence[int] = (3, 32, 32),
        num_filters: int = 32,
        filter_size: int = 7,
        hidden_dim: int = 100,
        num_classes: int = 10,
        weight_scale: float = 1e-3,
        reg: float = 0.0,
        dtype: DTypeLike = np.float32,
        seed: int | None = None,
    ) -> None:
        if np.shape(input_dim) != (3,):
            raise ValueError(f"input_dim: found {input_dim!r}, wanted (C, H, W)")
        C, H, W = (check_whole(f"input_dim[{i}]", length, 1) for i, length in enumerate(input_dim))
        counts = {
            "num_filters": num_filters,
            "filter_size": filter_size,
            "hidden_dim": hidden_dim,
            "num_classes": num_classes,
        }
        for name, count in counts.items():
            check_whole(name, count, 1)
        self.input_dim = (C, H, W)
        self.num_classes = num_classes
        self.reg = check_real("reg", reg, 0)
        self.dtype = floating_dtype(dtype)
        check_real("weight_scale", weight_scale, 0)

        pad = (filter_size - 1) // 2
        self.conv_param = {"stride": 1, "pad": pad}
        rows, columns = (output_size(length + 2 * pad, filter_size, 1) // 2 for length in (H, W))  # H', W'
        if not rows or not columns:
            least = 3 - filter_size % 2  # pooling needs two rows and columns
            raise ValueError(f"input_dim: found {self.input_dim}, wanted H and W of at least {least}")
        rng = np.random.default_rng(None if seed is None else check_whole("seed", seed, 0))
        shapes = {
            "1": (num_filters, C, filter_size, filter_size),
            "2": (num_filters * rows * columns, hidden_dim),
            "3": (hidden_dim, num_classes),
        }
        biases = {"1": num_filters, "2": hidden_dim, "3": num_classes}
        self.params: dict[str, Array] = {}
        for layer, shape in shapes.items():
            self.params[f"W{layer}"] = (weight_scale * rng.standard_normal(shape)).astype(self.dtype)
            self.params[f"b{layer}"] = np.zeros(biases[layer], self.dtype)

    @overload
    def loss(self, X: Array, y: None = None) -> Array: ...
    @overload
    def loss(self, X: Array, y: Array) -> tuple[float, dict[str, Array]]: ...
    def loss(self, X: Array, y: Array | None = None) -> Array | tuple[float, dict[str, Array]]:
        """Scores (N, K) of X (N, C, H, W) without labels; with labels y (N,), the loss and a dict of gradients."""
        X = check_shape("X", check_batch("X", X), "N", *self.input_dim).astype(self.dtype)
        if y is not None:
            check_labels("y", y, len(X), self.num_classes)
        params = self.params

        # Forward.
        pooled, conv_cache = conv_relu_pool_forward(X, params["W1"], params["b1"], self.conv_param, POOL_PARAM)
        hidden, hidden_cache = affine_relu_forward(pooled, params["W2"], params["b2"])  # (N, F, H', W') -> (N, M)
        scores, scores_cache = affine_forward(hidden, params["W3"], params["b3"])  # (N, K)
        if y is None:
            return scores

        # Backward: the same layers from last to first.
        loss, dscores = softmax_loss(scores, y)
        grads: dict[str, Array] = {}
        dhidden, grads["W3"], grads["b3"] = affine_backward(dscores, scores_cache)
        dpooled, grads["W2"], grads["b2"] = affine_relu_backward(dhidden, hidden_cache)
        _, grads["W1"], grads["b1"] = conv_relu_pool_backward(dpooled, conv_cache)
        for name in ("W1", "W2", "W3"):
            loss += 0.5 * self.reg * float(np.sum(params[name] ** 2))
            grads[name] += self.reg * params[name]
        return loss, grads
