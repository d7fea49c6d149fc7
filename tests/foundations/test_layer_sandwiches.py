"""Sandwiches of layers against numeric gradients and the same layers in torch."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from herder.foundations.gradient_check import eval_numerical_gradient_array, rel_error
from herder.foundations.layer_sandwiches import (
    affine_norm_relu_backward,
    affine_norm_relu_forward,
    affine_relu_backward,
    affine_relu_forward,
    conv_bn_relu_backward,
    conv_bn_relu_forward,
    conv_relu_backward,
    conv_relu_forward,
    conv_relu_pool_backward,
    conv_relu_pool_forward,
)

CONV = {"stride": 1, "pad": 1}
POOL = {"pool_height": 2, "pool_width": 2, "stride": 2}
RUNNING = {"running_mean": np.array([0.2, -0.1, 0.3]), "running_var": np.array([4.0, 5.0, 6.0])}


def affine_arrays() -> list[Any]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape) for shape in ((5, 2, 2), (4, 3), (3,), (3,), (3,))]  # x, w, b, gamma, beta


def image_arrays() -> list[Any]:
    rng = np.random.default_rng(1)
    return [rng.standard_normal(shape) for shape in ((2, 2, 6, 4), (3, 2, 3, 3), (3,), (3,), (3,))]


def assert_right(
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    reference: Callable[..., torch.Tensor],
    arrays: list[Any],
    rounding: float = 0.0,
) -> None:
    """The output and every gradient equal those of ``reference`` in torch, and the gradients numeric ones.

    ``rounding`` is how far from zero a numeric gradient may be where the true one is zero.
    """
    out, cache = forward(*arrays)
    dout = np.random.default_rng(2).standard_normal(out.shape)
    ours = backward(dout, cache)

    tensors = [torch.tensor(a, requires_grad=True) for a in arrays]
    wanted = reference(*tensors)
    np.testing.assert_allclose(out, wanted.detach(), rtol=1e-10, atol=1e-10)
    for gradient, theirs in zip(ours, torch.autograd.grad(wanted, tensors, torch.tensor(dout)), strict=True):
        np.testing.assert_allclose(gradient, theirs, rtol=1e-9, atol=1e-10)

    for i, (array, gradient) in enumerate(zip(arrays, ours, strict=True)):
        numeric = eval_numerical_gradient_array(
            lambda a, i=i: forward(*arrays[:i], a, *arrays[i + 1 :])[0], array, dout
        )
        if np.abs(gradient).max() < rounding:
            assert np.abs(numeric).max() < rounding
        else:
            assert rel_error(gradient, numeric) <= 1e-7


def test_affine_relu() -> None:
    assert_right(
        affine_relu_forward,
        affine_relu_backward,
        lambda x, w, b: F.relu(F.linear(x.flatten(1), w.T, b)),
        affine_arrays()[:3],
    )


def test_affine_batchnorm_relu() -> None:
    # The bias moves a whole feature, and batch normalization moves it back: its gradient is zero.
    assert_right(
        lambda *arrays: affine_norm_relu_forward(*arrays, {"mode": "train"}, "batchnorm"),
        affine_norm_relu_backward,
        lambda x, w, b, g, h: F.relu(F.batch_norm(F.linear(x.flatten(1), w.T, b), None, None, g, h, training=True)),
        affine_arrays(),
        rounding=1e-9,
    )


def test_affine_batchnorm_relu_in_test_mode() -> None:
    mean, var = (torch.tensor(a) for a in RUNNING.values())
    assert_right(
        lambda *arrays: affine_norm_relu_forward(*arrays, {"mode": "test", **RUNNING}, "batchnorm"),
        affine_norm_relu_backward,
        lambda x, w, b, g, h: F.relu(F.batch_norm(F.linear(x.flatten(1), w.T, b), mean, var, g, h)),
        affine_arrays(),
    )


def test_affine_layernorm_relu() -> None:
    assert_right(
        lambda *arrays: affine_norm_relu_forward(*arrays, {}, "layernorm"),
        affine_norm_relu_backward,
        lambda x, w, b, g, h: F.relu(F.layer_norm(F.linear(x.flatten(1), w.T, b), (3,), g, h)),
        affine_arrays(),
    )


def test_conv_relu() -> None:
    assert_right(
        lambda *arrays: conv_relu_forward(*arrays, CONV),
        conv_relu_backward,
        lambda x, w, b: F.relu(F.conv2d(x, w, b, padding=1)),
        image_arrays()[:3],
    )


def test_conv_bn_relu() -> None:
    assert_right(
        lambda *arrays: conv_bn_relu_forward(*arrays, CONV, {"mode": "train"}),
        conv_bn_relu_backward,
        lambda x, w, b, g, h: F.relu(F.batch_norm(F.conv2d(x, w, b, padding=1), None, None, g, h, training=True)),
        image_arrays(),
        rounding=1e-9,
    )


def test_conv_relu_pool() -> None:
    assert_right(
        lambda *arrays: conv_relu_pool_forward(*arrays, CONV, POOL),
        conv_relu_pool_backward,
        lambda x, w, b: F.max_pool2d(F.relu(F.conv2d(x, w, b, padding=1)), 2),
        image_arrays()[:3],
    )


def test_batchnorm_settings_get_the_running_statistics() -> None:
    param: dict[str, Any] = {"mode": "train"}
    affine_norm_relu_forward(*affine_arrays(), param, "batchnorm")
    assert param["running_mean"].shape == param["running_var"].shape == (3,)


def test_what_does_not_fit_is_named() -> None:
    arrays = affine_arrays()
    with pytest.raises(ValueError, match="normalization: found 'groupnorm', wanted 'batchnorm' or 'layernorm'"):
        affine_norm_relu_forward(*arrays, {"mode": "train"}, "groupnorm")
    with pytest.raises(ValueError, match=r"w: found shape \(5, 3\), wanted \(4, M\)"):
        affine_relu_forward(arrays[0], np.zeros((5, 3)), arrays[2])
    _, cache = affine_relu_forward(*arrays[:3])
    with pytest.raises(ValueError, match=r"dout: found shape \(3, 5\), wanted \(5, 3\)"):
        affine_relu_backward(np.zeros((3, 5)), cache)
    x, w, b = image_arrays()[:3]
    with pytest.raises(ValueError, match="pool_param: found windows"):
        conv_relu_pool_forward(x, w, b, CONV, {"pool_height": 9, "pool_width": 2, "stride": 2})
    with pytest.raises(ValueError, match="x: found shape"):
        conv_relu_forward(x[0], w, b, CONV)
