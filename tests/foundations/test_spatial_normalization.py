"""Spatial batch and group normalization against numeric gradients and torch."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from herder.foundations.gradient_check import eval_numerical_gradient_array, rel_error
from herder.foundations.spatial_normalization import (
    spatial_batchnorm_backward,
    spatial_batchnorm_forward,
    spatial_groupnorm_backward,
    spatial_groupnorm_forward,
)

SHAPE = (2, 6, 3, 2)
RUNNING = {"running_mean": np.linspace(10, 14, 6), "running_var": np.linspace(9, 20, 6)}


def inputs(shape: tuple[int, int, int, int] = SHAPE) -> tuple[Any, Any, Any, Any]:
    rng = np.random.default_rng(0)
    x = 4 * rng.standard_normal(shape) + 12
    return x, rng.standard_normal(shape[1]), rng.standard_normal(shape[1]), rng.standard_normal(shape)


def group_inputs(shape: tuple[int, int, int, int] = SHAPE) -> tuple[Any, Any, Any, Any]:
    x, gamma, beta, dout = inputs(shape)
    return x, gamma.reshape(1, -1, 1, 1), beta.reshape(1, -1, 1, 1), dout


def assert_gradients_equal(ours: tuple[Any, ...], wanted: torch.Tensor, tensors: list[torch.Tensor], dout: Any) -> None:
    for gradient, theirs in zip(ours, torch.autograd.grad(wanted, tensors, torch.tensor(dout)), strict=True):
        np.testing.assert_allclose(gradient, theirs.reshape(gradient.shape), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("mode", ["train", "test"])
@pytest.mark.parametrize("shape", [SHAPE, (5, 6, 1, 1), (1, 6, 4, 3)])
def test_spatial_batchnorm_agrees_with_torch(mode: str, shape: tuple[int, int, int, int]) -> None:
    x, gamma, beta, dout = inputs(shape)
    param = {"mode": mode, **RUNNING}
    out, cache = spatial_batchnorm_forward(x, gamma, beta, param)
    tensors = [torch.tensor(a, requires_grad=True) for a in (x, gamma, beta)]
    mean, var = (torch.tensor(a) for a in RUNNING.values())
    wanted = F.batch_norm(tensors[0], mean, var, tensors[1], tensors[2], training=mode == "train")
    np.testing.assert_allclose(out, wanted.detach(), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(param["running_mean"], mean, rtol=1e-12)
    assert_gradients_equal(spatial_batchnorm_backward(dout, cache), wanted, tensors, dout)


@pytest.mark.parametrize("mode", ["train", "test"])
def test_spatial_batchnorm_gradients_equal_numeric_ones(mode: str) -> None:
    x, gamma, beta, dout = inputs()

    def forward(x: Any, gamma: Any, beta: Any) -> Any:
        return spatial_batchnorm_forward(x, gamma, beta, {"mode": mode, **RUNNING})

    ours = spatial_batchnorm_backward(dout, forward(x, gamma, beta)[1])
    numeric = (
        eval_numerical_gradient_array(lambda x: forward(x, gamma, beta)[0], x, dout),
        eval_numerical_gradient_array(lambda gamma: forward(x, gamma, beta)[0], gamma, dout),
        eval_numerical_gradient_array(lambda beta: forward(x, gamma, beta)[0], beta, dout),
    )
    assert max(map(rel_error, ours, numeric)) <= 1e-7


@pytest.mark.parametrize("G", [1, 2, 3, 6])
@pytest.mark.parametrize("shape", [SHAPE, (1, 6, 2, 2)])
def test_groupnorm_agrees_with_torch(G: int, shape: tuple[int, int, int, int]) -> None:
    x, gamma, beta, dout = group_inputs(shape)
    out, cache = spatial_groupnorm_forward(x, gamma, beta, G, {})
    tensors = [torch.tensor(a, requires_grad=True) for a in (x, gamma.ravel(), beta.ravel())]
    wanted = F.group_norm(tensors[0], G, tensors[1], tensors[2])
    np.testing.assert_allclose(out, wanted.detach(), rtol=1e-10, atol=1e-10)
    ours = spatial_groupnorm_backward(dout, cache)
    assert [a.shape for a in ours] == [x.shape, (1, 6, 1, 1), (1, 6, 1, 1)]
    assert_gradients_equal(ours, wanted, tensors, dout)


@pytest.mark.parametrize("G", [1, 2, 6])
def test_groupnorm_gradients_equal_numeric_ones(G: int) -> None:
    x, gamma, beta, dout = group_inputs()

    def forward(x: Any, gamma: Any, beta: Any) -> Any:
        return spatial_groupnorm_forward(x, gamma, beta, G, {})

    ours = spatial_groupnorm_backward(dout, forward(x, gamma, beta)[1])
    numeric = (
        eval_numerical_gradient_array(lambda x: forward(x, gamma, beta)[0], x, dout),
        eval_numerical_gradient_array(lambda gamma: forward(x, gamma, beta)[0], gamma, dout),
        eval_numerical_gradient_array(lambda beta: forward(x, gamma, beta)[0], beta, dout),
    )
    assert max(map(rel_error, ours, numeric)) <= 1e-7


def test_float32_stays_float32_and_arguments_are_left_alone() -> None:
    x, gamma, beta, dout = (a.astype(np.float32) for a in inputs())
    before = x.copy()
    out, cache = spatial_batchnorm_forward(x, gamma, beta, {"mode": "train"})
    results = [out, *spatial_batchnorm_backward(dout, cache)]
    gamma, beta = gamma.reshape(1, -1, 1, 1), beta.reshape(1, -1, 1, 1)
    out, group_cache = spatial_groupnorm_forward(x, gamma, beta, 2, {})
    results += [out, *spatial_groupnorm_backward(dout, group_cache)]
    assert {a.dtype for a in results} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": np.zeros((2, 6))}, r"x: found shape \(2, 6\), wanted \(N, C, H, W\)"),
        ({"x": np.zeros((0, 6, 3, 2))}, r"x: found shape \(0, 6, 3, 2\), wanted at least one value"),
        ({"x": np.zeros(SHAPE, complex)}, "x: found dtype complex128, wanted real numbers"),
        ({"gamma": np.zeros(3)}, r"gamma: found shape \(3,\), wanted \(6,\)"),
        ({"beta": np.zeros((1, 6, 1, 1))}, r"beta: found shape \(1, 6, 1, 1\), wanted \(6,\)"),
        ({"bn_param": {"mode": "fit"}}, r"bn_param\['mode'\]: found 'fit', wanted 'train' or 'test'"),
    ],
)
def test_spatial_batchnorm_names_what_does_not_fit(changes: dict[str, Any], message: str) -> None:
    x, gamma, beta, _ = inputs()
    with pytest.raises(ValueError, match=message):
        spatial_batchnorm_forward(**({"x": x, "gamma": gamma, "beta": beta, "bn_param": {"mode": "train"}} | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": np.zeros((2, 6))}, r"x: found shape \(2, 6\), wanted \(N, C, H, W\)"),
        ({"x": np.zeros((2, 6, 0, 2))}, r"x: found shape \(2, 6, 0, 2\), wanted at least one value"),
        ({"gamma": np.zeros(6)}, r"gamma: found shape \(6,\), wanted \(1, 6, 1, 1\)"),
        ({"beta": np.zeros((1, 2, 1, 1))}, r"beta: found shape \(1, 2, 1, 1\), wanted \(1, 6, 1, 1\)"),
        ({"G": 4}, "G: found 4, wanted a divisor of 6"),
        ({"G": 0}, "G: found 0, wanted a whole number from 1 to 6"),
        ({"G": 2.0}, "G: found 2.0, wanted a whole number from 1 to 6"),
        ({"gn_param": {"eps": -1}}, r"gn_param\['eps'\]: found -1, wanted a finite number above 0"),
    ],
)
def test_groupnorm_names_what_does_not_fit(changes: dict[str, Any], message: str) -> None:
    x, gamma, beta, _ = group_inputs()
    with pytest.raises(ValueError, match=message):
        spatial_groupnorm_forward(**({"x": x, "gamma": gamma, "beta": beta, "G": 2, "gn_param": {}} | changes))


def test_backward_names_an_upstream_gradient_that_does_not_fit() -> None:
    x, gamma, beta, _ = inputs()
    _, cache = spatial_batchnorm_forward(x, gamma, beta, {"mode": "train"})
    with pytest.raises(ValueError, match=r"dout: found shape \(2, 6, 6\), wanted \(2, 6, 3, 2\)"):
        spatial_batchnorm_backward(np.zeros((2, 6, 6)), cache)
    x, gamma, beta, _ = group_inputs()
    _, group_cache = spatial_groupnorm_forward(x, gamma, beta, 2, {})
    with pytest.raises(ValueError, match=r"dout: found shape \(2, 6, 6\), wanted \(2, 6, 3, 2\)"):
        spatial_groupnorm_backward(np.zeros((2, 6, 6)), group_cache)
