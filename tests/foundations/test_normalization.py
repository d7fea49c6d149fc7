"""Batch and layer normalization against published values, numeric gradients and torch."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from herder.foundations.gradient_check import eval_numerical_gradient_array, rel_error
from herder.foundations.normalization import (
    batchnorm_backward,
    batchnorm_backward_alt,
    batchnorm_forward,
    layernorm_backward,
    layernorm_forward,
)

BATCHNORM_BACKWARDS = pytest.mark.parametrize("backward", [batchnorm_backward, batchnorm_backward_alt])


def inputs(N: int, D: int, seed: int = 0) -> tuple[Any, Any, Any, Any]:
    rng = np.random.default_rng(seed)
    x = 5 * rng.standard_normal((N, D)) + 12
    return x, rng.standard_normal(D), rng.standard_normal(D), rng.standard_normal((N, D))


def running(D: int, seed: int = 3) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {"running_mean": rng.standard_normal(D) + 12, "running_var": rng.uniform(20, 30, D)}


def published_inputs(N: int) -> Any:
    """The output of a random network of two layers, as the published values describe it."""
    rng = np.random.RandomState(231)
    X, W1, W2 = rng.randn(N, 50), rng.randn(50, 60), rng.randn(60, 3)
    return np.maximum(0, X @ W1) @ W2


def published(shared_dir: Path, function: str) -> Any:
    checks = json.loads((shared_dir / "acceptance/foundations.json").read_text())["checks"]
    return next(check["expected"] for check in checks if check["function"] == function)


@pytest.mark.shared
def test_batchnorm_gives_the_published_values(shared_dir: Path) -> None:
    expected = published(shared_dir, "batchnorm_forward (train)")
    a = published_inputs(200)
    out, _ = batchnorm_forward(a, np.array([1.0, 2.0, 3.0]), np.array([11.0, 12.0, 13.0]), {"mode": "train"})
    np.testing.assert_allclose(a.mean(axis=0), expected["before_mean"], atol=1e-8)  # the inputs are the right ones
    np.testing.assert_allclose(a.std(axis=0), expected["before_std"], atol=1e-8)
    np.testing.assert_allclose(out.mean(axis=0), expected["after_mean"], atol=1e-8)
    np.testing.assert_allclose(out.std(axis=0), expected["after_std"], atol=2e-8)


@pytest.mark.shared
def test_layernorm_gives_the_published_values(shared_dir: Path) -> None:
    expected = published(shared_dir, "layernorm_forward")
    a = published_inputs(4)
    out, _ = layernorm_forward(a, np.full(3, 3.0), np.full(3, 5.0), {})
    np.testing.assert_allclose(a.mean(axis=1), expected["before_row_mean"], atol=1e-8)
    np.testing.assert_allclose(a.std(axis=1), expected["before_row_std"], atol=1e-8)
    np.testing.assert_allclose(out.mean(axis=1), expected["after_row_mean"], atol=1e-8)
    np.testing.assert_allclose(out.std(axis=1), expected["after_row_std"], atol=1e-8)


@BATCHNORM_BACKWARDS
@pytest.mark.parametrize("mode", ["train", "test"])
@pytest.mark.parametrize(("N", "D"), [(4, 5), (7, 1), (2, 3)])
def test_batchnorm_agrees_with_torch(backward: Callable[..., Any], mode: str, N: int, D: int) -> None:
    x, gamma, beta, dout = inputs(N, D)
    statistics = running(D)
    out, cache = batchnorm_forward(x, gamma, beta, {"mode": mode, **statistics})
    tensors = [torch.tensor(a, requires_grad=True) for a in (x, gamma, beta)]
    mean, var = (torch.tensor(a) for a in statistics.values())
    wanted = F.batch_norm(tensors[0], mean, var, tensors[1], tensors[2], training=mode == "train", eps=1e-5)
    np.testing.assert_allclose(out, wanted.detach(), rtol=1e-10, atol=1e-10)
    gradients = torch.autograd.grad(wanted, tensors, torch.tensor(dout))
    for ours, theirs in zip(backward(dout, cache), gradients, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-10)


@BATCHNORM_BACKWARDS
@pytest.mark.parametrize("mode", ["train", "test"])
def test_batchnorm_gradients_equal_numeric_ones(backward: Callable[..., Any], mode: str) -> None:
    x, gamma, beta, dout = inputs(4, 5)
    param = {"mode": mode, **running(5)}

    def forward(x: Any, gamma: Any, beta: Any) -> Any:
        return batchnorm_forward(x, gamma, beta, dict(param))

    ours = backward(dout, forward(x, gamma, beta)[1])
    numeric = (
        eval_numerical_gradient_array(lambda x: forward(x, gamma, beta)[0], x, dout),
        eval_numerical_gradient_array(lambda gamma: forward(x, gamma, beta)[0], gamma, dout),
        eval_numerical_gradient_array(lambda beta: forward(x, gamma, beta)[0], beta, dout),
    )
    assert max(map(rel_error, ours, numeric)) <= 1e-7


@pytest.mark.parametrize(("N", "D"), [(4, 5), (1, 6), (3, 2)])
def test_layernorm_agrees_with_torch(N: int, D: int) -> None:
    x, gamma, beta, dout = inputs(N, D)
    out, cache = layernorm_forward(x, gamma, beta, {"eps": 1e-3})
    tensors = [torch.tensor(a, requires_grad=True) for a in (x, gamma, beta)]
    wanted = F.layer_norm(tensors[0], (D,), tensors[1], tensors[2], eps=1e-3)
    np.testing.assert_allclose(out, wanted.detach(), rtol=1e-10, atol=1e-10)
    gradients = torch.autograd.grad(wanted, tensors, torch.tensor(dout))
    for ours, theirs in zip(layernorm_backward(dout, cache), gradients, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-10)


def test_layernorm_gradients_equal_numeric_ones() -> None:
    x, gamma, beta, dout = inputs(4, 5)
    ours = layernorm_backward(dout, layernorm_forward(x, gamma, beta, {})[1])
    numeric = (
        eval_numerical_gradient_array(lambda x: layernorm_forward(x, gamma, beta, {})[0], x, dout),
        eval_numerical_gradient_array(lambda gamma: layernorm_forward(x, gamma, beta, {})[0], gamma, dout),
        eval_numerical_gradient_array(lambda beta: layernorm_forward(x, gamma, beta, {})[0], beta, dout),
    )
    assert max(map(rel_error, ours, numeric)) <= 1e-7


@given(st.integers(1, 8), st.integers(1, 8), st.integers(0, 2**32 - 1), st.sampled_from(["train", "test"]))
def test_both_batchnorm_backwards_agree(N: int, D: int, seed: int, mode: str) -> None:
    x, gamma, beta, dout = inputs(N, D, seed)
    _, cache = batchnorm_forward(x, gamma, beta, {"mode": mode, **running(D)})
    for one, other in zip(batchnorm_backward(dout, cache), batchnorm_backward_alt(dout, cache), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-8)


def test_running_statistics_follow_the_course_not_torch() -> None:
    x, gamma, beta, _ = inputs(6, 3)
    param: dict[str, Any] = {"mode": "train"}
    batchnorm_forward(x, gamma, beta, param)
    np.testing.assert_allclose(param["running_mean"], 0.1 * x.mean(axis=0), rtol=1e-12)  # from zeros
    np.testing.assert_allclose(param["running_var"], 0.1 * x.var(axis=0), rtol=1e-12)  # biased
    batchnorm_forward(x + 1, gamma, beta, param)
    np.testing.assert_allclose(param["running_mean"], 0.19 * x.mean(axis=0) + 0.1, rtol=1e-12)

    mean, var = torch.zeros(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    F.batch_norm(torch.tensor(x), mean, var, training=True, momentum=0.3)
    param = {"mode": "train", "momentum": 0.7}
    batchnorm_forward(x, gamma, beta, param)
    np.testing.assert_allclose(param["running_mean"], mean, rtol=1e-12)
    np.testing.assert_allclose(param["running_var"], var * 5 / 6, rtol=1e-12)  # torch's divides by N - 1


def test_many_batches_lead_to_the_statistics_of_the_source() -> None:
    rng = np.random.default_rng(0)
    param: dict[str, Any] = {"mode": "train"}
    for _ in range(60):
        batchnorm_forward(3 * rng.standard_normal((400, 2)) + 7, np.ones(2), np.zeros(2), param)
    param["mode"] = "test"
    out, _ = batchnorm_forward(3 * rng.standard_normal((2000, 2)) + 7, np.ones(2), np.zeros(2), param)
    np.testing.assert_allclose(out.mean(axis=0), 0, atol=0.1)
    np.testing.assert_allclose(out.std(axis=0), 1, atol=0.1)


def test_test_mode_looks_at_each_sample_alone_and_learns_nothing() -> None:
    x, gamma, beta, _ = inputs(5, 3)
    param = {"mode": "test", **running(3)}
    before = {name: np.copy(value) for name, value in param.items()}
    together, _ = batchnorm_forward(x, gamma, beta, param)
    alone = [batchnorm_forward(x[i : i + 1], gamma, beta, param)[0][0] for i in range(5)]
    np.testing.assert_array_equal(together, alone)
    assert all(np.array_equal(param[name], before[name]) for name in before)


@BATCHNORM_BACKWARDS
def test_a_batch_of_one_sample_comes_out_as_beta(backward: Callable[..., Any]) -> None:
    x, gamma, beta, dout = inputs(1, 3)
    out, cache = batchnorm_forward(x, gamma, beta, {"mode": "train"})
    np.testing.assert_array_equal(out, [beta])
    dx, dgamma, dbeta = backward(dout, cache)
    assert not dx.any()
    assert not dgamma.any()
    np.testing.assert_array_equal(dbeta, dout[0])


def test_float32_stays_float32_and_arguments_are_left_alone() -> None:
    arrays = [a.astype(np.float32) for a in inputs(4, 3)]
    before = [a.copy() for a in arrays]
    x, gamma, beta, dout = arrays
    param: dict[str, Any] = {"mode": "train"}
    out, cache = batchnorm_forward(x, gamma, beta, param)
    results = [out, param["running_mean"], param["running_var"]]
    results += [*batchnorm_backward(dout, cache), *batchnorm_backward_alt(dout, cache)]
    out, layer_cache = layernorm_forward(x, gamma, beta, {})
    results += [out, *layernorm_backward(dout, layer_cache)]
    assert {a.dtype for a in results} == {np.dtype(np.float32)}
    assert all(np.array_equal(a, b) for a, b in zip(arrays, before, strict=True))


def test_unsigned_pixels_are_normalized_as_numbers() -> None:
    x = np.array([[0, 10], [255, 20]], np.uint8)
    ones, zeros = np.ones(2), np.zeros(2)
    wanted = batchnorm_forward(x.astype(float), ones, zeros, {"mode": "train"})[0]
    np.testing.assert_allclose(batchnorm_forward(x, ones, zeros, {"mode": "train"})[0], wanted, rtol=1e-12)
    wanted = layernorm_forward(x.astype(float), ones, zeros, {})[0]
    np.testing.assert_allclose(layernorm_forward(x, ones, zeros, {})[0], wanted, rtol=1e-12)


SHAPE_ERRORS = [
    ({"x": np.zeros(3)}, r"x: found shape \(3,\), wanted \(N, D\)"),
    ({"x": np.zeros((2, 3, 1))}, r"x: found shape \(2, 3, 1\), wanted \(N, D\)"),
    ({"x": np.zeros((0, 3))}, r"x: found shape \(0, 3\), wanted at least one value"),
    ({"x": np.zeros((3, 0))}, r"x: found shape \(3, 0\), wanted at least one value"),
    ({"x": np.zeros((2, 3), complex)}, "x: found dtype complex128, wanted real numbers"),
    ({"gamma": np.zeros(2)}, r"gamma: found shape \(2,\), wanted \(3,\)"),
    ({"beta": np.zeros((1, 3))}, r"beta: found shape \(1, 3\), wanted \(3,\)"),
    ({"beta": np.array(["a"] * 3)}, "beta: found dtype <U1, wanted real numbers"),
]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        *SHAPE_ERRORS,
        ({"bn_param": {"mode": "predict"}}, r"bn_param\['mode'\]: found 'predict', wanted 'train' or 'test'"),
        ({"bn_param": {}}, r"bn_param\['mode'\]: found None, wanted 'train' or 'test'"),
        ({"bn_param": {"mode": "train", "eps": 0}}, r"bn_param\['eps'\]: found 0, wanted a finite number above 0"),
        ({"bn_param": {"mode": "train", "momentum": 2}}, r"bn_param\['momentum'\]: found 2, wanted .* from 0 to 1"),
        (
            {"bn_param": {"mode": "test", "running_mean": np.zeros(4)}},
            r"bn_param\['running_mean'\]: found shape \(4,\), wanted \(3,\)",
        ),
        (
            {"bn_param": {"mode": "test", "running_var": np.zeros(4)}},
            r"bn_param\['running_var'\]: found shape \(4,\), wanted \(3,\)",
        ),
    ],
)
def test_batchnorm_names_what_does_not_fit(changes: dict[str, Any], message: str) -> None:
    x, gamma, beta, _ = inputs(2, 3)
    with pytest.raises(ValueError, match=message):
        batchnorm_forward(**({"x": x, "gamma": gamma, "beta": beta, "bn_param": {"mode": "train"}} | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [*SHAPE_ERRORS, ({"ln_param": {"eps": "small"}}, r"ln_param\['eps'\]: found 'small', wanted a finite number")],
)
def test_layernorm_names_what_does_not_fit(changes: dict[str, Any], message: str) -> None:
    x, gamma, beta, _ = inputs(2, 3)
    with pytest.raises(ValueError, match=message):
        layernorm_forward(**({"x": x, "gamma": gamma, "beta": beta, "ln_param": {}} | changes))


def test_backward_names_an_upstream_gradient_that_does_not_fit() -> None:
    x, gamma, beta, _ = inputs(2, 3)
    _, cache = batchnorm_forward(x, gamma, beta, {"mode": "train"})
    for backward in (batchnorm_backward, batchnorm_backward_alt):
        with pytest.raises(ValueError, match=r"dout: found shape \(3, 2\), wanted \(2, 3\)"):
            backward(np.zeros((3, 2)), cache)
    with pytest.raises(ValueError, match=r"dout: found shape \(3, 2\), wanted \(2, 3\)"):
        layernorm_backward(np.zeros((3, 2)), layernorm_forward(x, gamma, beta, {})[1])
