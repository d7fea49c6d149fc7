"""The gradient of every layer of herder.foundations, against the centred numeric one and against torch autograd."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from herder.foundations import (
    convolution,
    dropout,
    fast_convolution,
    layers,
    linear_losses,
    normalization,
    pooling,
    spatial_normalization,
)
from herder.foundations.gradient_check import eval_numerical_gradient_array, rel_error

Forward = Callable[..., tuple[Any, Any]]
Backward = Callable[[Any, Any], Any]


def gradient_checks() -> dict[str, tuple[float, float]]:
    """The largest relative error of each layer's gradients: against the numeric ones, and against autograd."""
    x, images, y = values(6, 5), values(2, 4, 6, 6), np.array([0, 3, 1, 4, 2, 2])
    gamma, beta = values(5), values(5)
    channel_gamma, channel_beta = values(4), values(4)
    group_gamma, group_beta = values(1, 4, 1, 1), values(1, 4, 1, 1)
    w, b, filters, bias = values(5, 3), values(3), values(3, 4, 3, 3), values(3)
    conv, pool = {"stride": 2, "pad": 1}, {"pool_height": 2, "pool_width": 2, "stride": 2}
    drop = {"mode": "train", "p": 0.6, "seed": 7}
    mask = torch.from_numpy(dropout.dropout_forward(np.ones_like(x), drop)[0])
    running = {"running_mean": values(5), "running_var": np.abs(values(5)) + 0.5}
    test = {"mode": "test", **running}

    def batchnorm(x: Any, g: Any, b: Any) -> Any:
        return F.batch_norm(x, None, None, g, b, training=True)

    def batchnorm_test(x: Any, g: Any, b: Any) -> Any:
        return F.batch_norm(x, *map(torch.from_numpy, running.values()), g, b)

    return {
        "affine": pair(layers.affine_forward, layers.affine_backward, lambda x, w, b: x @ w + b, x, w, b),
        "relu": pair(layers.relu_forward, layers.relu_backward, F.relu, x),
        "batchnorm": pair(
            lambda *a: normalization.batchnorm_forward(*a, {"mode": "train"}),
            normalization.batchnorm_backward, batchnorm, x, gamma, beta,
        ),
        "batchnorm, alternative": pair(
            lambda *a: normalization.batchnorm_forward(*a, {"mode": "train"}),
            normalization.batchnorm_backward_alt, batchnorm, x, gamma, beta,
        ),
        "batchnorm, test mode": pair(
            lambda *a: normalization.batchnorm_forward(*a, dict(test)),
            normalization.batchnorm_backward, batchnorm_test, x, gamma, beta,
        ),
        "layernorm": pair(
            lambda *a: normalization.layernorm_forward(*a, {}),
            normalization.layernorm_backward, lambda x, g, b: F.layer_norm(x, (5,), g, b), x, gamma, beta,
        ),
        "spatial batchnorm": pair(
            lambda *a: spatial_normalization.spatial_batchnorm_forward(*a, {"mode": "train"}),
            spatial_normalization.spatial_batchnorm_backward, batchnorm, images, channel_gamma, channel_beta,
        ),
        "spatial groupnorm": pair(
            lambda *a: spatial_normalization.spatial_groupnorm_forward(*a, 2, {}),
            spatial_normalization.spatial_groupnorm_backward,
            lambda x, g, b: F.group_norm(x, 2, g.flatten(), b.flatten()), images, group_gamma, group_beta,
        ),
        "dropout": pair(
            lambda x: dropout.dropout_forward(x, drop), dropout.dropout_backward, lambda x: x * mask, x
        ),
        "convolution, naive": pair(
            lambda *a: convolution.conv_forward_naive(*a, conv),
            convolution.conv_backward_naive, lambda *a: F.conv2d(*a, stride=2, padding=1), images, filters, bias,
        ),
        "convolution, fast": pair(
            lambda *a: fast_convolution.conv_forward_fast(*a, conv),
            fast_convolution.conv_backward_fast, lambda *a: F.conv2d(*a, stride=2, padding=1), images, filters, bias,
        ),
        "max pooling, naive": pair(
            lambda x: pooling.max_pool_forward_naive(x, pool),
            pooling.max_pool_backward_naive, lambda x: F.max_pool2d(x, 2), images,
        ),
        "max pooling, fast": pair(
            lambda x: pooling.max_pool_forward_fast(x, pool),
            pooling.max_pool_backward_fast, lambda x: F.max_pool2d(x, 2), images,
        ),
        "softmax loss": loss(lambda x: layers.softmax_loss(x, y), lambda x, y: F.cross_entropy(x, y), x, y),
        "svm loss": loss(lambda x: layers.svm_loss(x, y), lambda x, y: 5 * F.multi_margin_loss(x, y), x, y),
        **{
            f"linear {name}": loss(
                lambda W, f=ours: f(W, x, y, 0.3),
                lambda W, y, f=theirs: f(torch.from_numpy(x) @ W, y) + 0.3 * (W**2).sum(), values(5, 5), y,
            )
            for name, ours, theirs in (
                ("softmax, naive", linear_losses.softmax_loss_naive, F.cross_entropy),
                ("softmax, vectorized", linear_losses.softmax_loss_vectorized, F.cross_entropy),
                ("svm, naive", linear_losses.svm_loss_naive, lambda s, y: 5 * F.multi_margin_loss(s, y)),
                ("svm, vectorized", linear_losses.svm_loss_vectorized, lambda s, y: 5 * F.multi_margin_loss(s, y)),
            )
        },
    }  # fmt: skip


def values(*shape: int) -> Any:
    """Normal values that follow from the shape; none near a kink of relu, the hinge or a maximum."""
    return np.random.default_rng(sum(shape) + 3).standard_normal(shape)


def pair(forward: Forward, backward: Backward, reference: Callable[..., Any], *inputs: Any) -> tuple[float, float]:
    """Check one forward and backward pair for all its inputs."""
    out, cache = forward(*inputs)
    dout = np.random.default_rng(1).standard_normal(out.shape)
    found = backward(dout, cache)
    gradients: Sequence[Any] = found if isinstance(found, tuple) else (found,)
    numeric = [
        eval_numerical_gradient_array(lambda v, i=i: forward(*inputs[:i], v, *inputs[i + 1 :])[0], inputs[i], dout)
        for i in range(len(inputs))
    ]
    tensors = [torch.from_numpy(value.copy()).requires_grad_() for value in inputs]
    exact = torch.autograd.grad(reference(*tensors), tensors, torch.from_numpy(dout))
    return worst(gradients, numeric), worst(gradients, [g.numpy() for g in exact])


def loss(
    function: Callable[[Any], tuple[float, Any]], reference: Callable[..., Any], x: Any, y: Any
) -> tuple[float, float]:
    """Check a loss that gives its value and its gradient at once."""
    numeric = eval_numerical_gradient_array(lambda v: np.array(function(v)[0]), x, np.array(1.0))
    tensor = torch.from_numpy(x.copy()).requires_grad_()
    exact = torch.autograd.grad(reference(tensor, torch.from_numpy(y)), tensor)[0].numpy()
    gradient = function(x)[1]
    return worst([gradient], [numeric]), worst([gradient], [exact])


def worst(found: Sequence[Any], wanted: Sequence[Any]) -> float:
    """The largest relative error of several gradients."""
    return max(rel_error(f, w) for f, w in zip(found, wanted, strict=True))
