"""Affine, ReLU and the two losses against published values, numeric gradients and torch."""

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

from herder.foundations.gradient_check import eval_numerical_gradient, eval_numerical_gradient_array, rel_error
from herder.foundations.layers import (
    affine_backward,
    affine_forward,
    relu_backward,
    relu_forward,
    softmax_loss,
    svm_loss,
)

LOSSES = pytest.mark.parametrize("loss_function", [softmax_loss, svm_loss])


def torch_cross_entropy(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(x, y)


def torch_hinge(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return F.multi_margin_loss(x, y) * x.shape[1]  # torch divides by the number of classes, the course does not


BOTH_LOSSES = pytest.mark.parametrize(
    ("loss_function", "reference"), [(softmax_loss, torch_cross_entropy), (svm_loss, torch_hinge)]
)


def published(shared_dir: Path, function: str) -> Any:
    checks = json.loads((shared_dir / "acceptance/foundations.json").read_text())["checks"]
    return next(check["expected"] for check in checks if check["function"] == function)


def affine_inputs(*axes: int) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((3, *axes)), rng.standard_normal((int(np.prod(axes)), 5)), rng.standard_normal(5)


@pytest.mark.shared
def test_affine_gives_the_published_values(shared_dir: Path) -> None:
    x = np.linspace(-0.1, 0.5, 240).reshape(2, 4, 5, 6)
    w = np.linspace(-0.2, 0.3, 360).reshape(120, 3)
    out, _ = affine_forward(x, w, np.linspace(-0.3, 0.1, 3))
    assert rel_error(out, np.array(published(shared_dir, "affine_forward"))) < 5e-9  # printed with eight decimals


@pytest.mark.shared
@pytest.mark.parametrize("loss_function", [softmax_loss, svm_loss], ids=["softmax_loss", "svm_loss"])
def test_losses_give_the_published_values(shared_dir: Path, loss_function: Callable[..., Any]) -> None:
    rng = np.random.RandomState(231)  # the generator that the published inputs name
    x, y = 0.001 * rng.randn(50, 10), rng.randint(10, size=50)
    loss, _ = loss_function(x, y)
    assert abs(loss - published(shared_dir, loss_function.__name__)) < 1e-12


@pytest.mark.parametrize("axes", [(4,), (2, 3), (2, 1, 2), ()], ids=str)
def test_affine_agrees_with_torch_and_numeric_gradients(axes: tuple[int, ...]) -> None:
    x, w, b = affine_inputs(*axes)
    dout = np.random.default_rng(1).standard_normal((3, 5))
    out, cache = affine_forward(x, w, b)
    ours = affine_backward(dout, cache)

    tensors = [torch.tensor(a, requires_grad=True) for a in (x, w, b)]
    wanted = F.linear(tensors[0].reshape(3, -1), tensors[1].T, tensors[2])
    np.testing.assert_allclose(out, wanted.detach(), rtol=1e-12)
    for gradient, theirs in zip(ours, torch.autograd.grad(wanted, tensors, torch.tensor(dout)), strict=True):
        np.testing.assert_allclose(gradient, theirs, rtol=1e-12, atol=1e-14)

    numeric = (
        eval_numerical_gradient_array(lambda x: affine_forward(x, w, b)[0], x, dout),
        eval_numerical_gradient_array(lambda w: affine_forward(x, w, b)[0], w, dout),
        eval_numerical_gradient_array(lambda b: affine_forward(x, w, b)[0], b, dout),
    )
    assert max(map(rel_error, ours, numeric)) <= 1e-7


def test_relu_agrees_with_torch_and_numeric_gradients() -> None:
    rng = np.random.default_rng(0)
    x, dout = rng.standard_normal((4, 3, 2)), rng.standard_normal((4, 3, 2))
    out, cache = relu_forward(x)
    dx = relu_backward(dout, cache)
    tensor = torch.tensor(x, requires_grad=True)
    F.relu(tensor).backward(torch.tensor(dout))
    np.testing.assert_array_equal(out, F.relu(tensor).detach())
    np.testing.assert_array_equal(dx, tensor.grad)
    assert rel_error(dx, eval_numerical_gradient_array(lambda x: relu_forward(x)[0], x, dout)) <= 1e-7


def test_relu_at_zero_lets_no_gradient_through_as_torch_does() -> None:
    tensor = torch.zeros(1, requires_grad=True)
    F.relu(tensor).backward(torch.ones(1))
    assert relu_backward(np.ones(1), relu_forward(np.zeros(1))[1]).tolist() == tensor.grad.tolist() == [0.0]


@BOTH_LOSSES
@pytest.mark.parametrize(("N", "C"), [(1, 1), (1, 3), (4, 1), (5, 4)])
def test_losses_agree_with_torch_and_numeric_gradients(
    loss_function: Callable[..., Any], reference: Callable[..., torch.Tensor], N: int, C: int
) -> None:
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((N, C)), rng.integers(C, size=N)
    loss, dx = loss_function(x, y)
    assert type(loss) is float

    tensor = torch.tensor(x, requires_grad=True)
    wanted = reference(tensor, torch.tensor(y))
    assert loss == pytest.approx(wanted.item(), rel=1e-12, abs=1e-15)
    np.testing.assert_allclose(dx, torch.autograd.grad(wanted, tensor)[0], rtol=1e-12, atol=1e-15)
    assert rel_error(dx, eval_numerical_gradient(lambda x: loss_function(x, y)[0], x)) <= 1e-7


@LOSSES
@given(seed=st.integers(0, 2**32 - 1), shift=st.floats(-100, 100))
def test_losses_do_not_change_when_all_scores_of_a_sample_move_together(
    loss_function: Callable[..., Any], seed: int, shift: float
) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((3, 4)), rng.integers(4, size=3)
    loss, dx = loss_function(x, y)
    moved, dmoved = loss_function(x + shift, y)
    assert moved == pytest.approx(loss, abs=1e-10)
    np.testing.assert_allclose(dmoved, dx, atol=1e-10)
    np.testing.assert_allclose(dx.sum(axis=1), 0, atol=1e-12)


def test_softmax_stays_finite_where_exp_would_overflow() -> None:
    loss, dx = softmax_loss(np.array([[1e4, 0.0, -1e4]]), np.array([1]))
    assert loss == 1e4
    assert dx.tolist() == [[1.0, -1.0, 0.0]]


@BOTH_LOSSES
def test_unsigned_scores_do_not_wrap_around(
    loss_function: Callable[..., Any], reference: Callable[..., torch.Tensor]
) -> None:
    x, y = np.array([[3, 250, 7]], np.uint8), np.array([2])
    loss, _ = loss_function(x, y)
    assert loss == pytest.approx(reference(torch.tensor(x, dtype=torch.float64), torch.tensor(y)).item())


@LOSSES
def test_float32_stays_float32_and_arguments_are_left_alone(loss_function: Callable[..., Any]) -> None:
    x, y = np.array([[1.0, 2.0], [0.5, -1.0]], np.float32), np.array([0, 1])
    before = x.copy()
    assert loss_function(x, y)[1].dtype == np.float32
    np.testing.assert_array_equal(x, before)
    out, cache = affine_forward(x, x, x[0])
    assert {a.dtype for a in (out, *affine_backward(out, cache), relu_backward(x, relu_forward(x)[1]))} == {x.dtype}
    np.testing.assert_array_equal(x, before)


def test_relu_takes_an_array_without_values() -> None:
    out, cache = relu_forward(np.zeros((0, 3)))
    assert out.shape == relu_backward(out, cache).shape == (0, 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": np.zeros((0, 4))}, r"x: found shape \(0, 4\), wanted \(N, \.\.\.\) with N of at least 1"),
        ({"x": np.float64(1)}, r"x: found shape \(\), wanted \(N, \.\.\.\)"),
        ({"x": np.zeros((3, 4), complex)}, "x: found dtype complex128, wanted real numbers"),
        ({"x": np.array(["a"])}, "x: found dtype <U1, wanted real numbers"),
        ({"w": np.zeros((5, 4))}, r"w: found shape \(5, 4\), wanted \(4, M\)"),
        ({"w": np.zeros(4)}, r"w: found shape \(4,\), wanted \(4, M\)"),
        ({"b": np.zeros(4)}, r"b: found shape \(4,\), wanted \(5,\)"),
        ({"b": np.array([None] * 5)}, "b: found dtype object, wanted real numbers"),
    ],
)
def test_affine_names_what_does_not_fit(changes: dict[str, Any], message: str) -> None:
    x, w, b = affine_inputs(4)
    with pytest.raises(ValueError, match=message):
        affine_forward(**({"x": x, "w": w, "b": b} | changes))


def test_backward_names_an_upstream_gradient_that_does_not_fit() -> None:
    _, affine_cache = affine_forward(*affine_inputs(4))
    with pytest.raises(ValueError, match=r"dout: found shape \(5, 3\), wanted \(3, 5\)"):
        affine_backward(np.zeros((5, 3)), affine_cache)
    with pytest.raises(ValueError, match=r"dout: found shape \(2,\), wanted \(3,\)"):
        relu_backward(np.zeros(2), relu_forward(np.zeros(3))[1])
    with pytest.raises(ValueError, match="x: found dtype <U1, wanted real numbers"):
        relu_forward(np.array(["a"]))


@LOSSES
@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((0, 3)), np.zeros(0, int), r"x: found shape \(0, 3\), wanted \(N, \.\.\.\) with N of at least 1"),
        (np.zeros(3), np.zeros(3, int), r"x: found shape \(3,\), wanted \(N, C\)"),
        (np.zeros((2, 3), complex), np.zeros(2, int), "x: found dtype complex128, wanted real numbers"),
        (np.zeros((2, 3)), np.zeros(3, int), r"y: found shape \(3,\), wanted \(2,\)"),
        (np.zeros((2, 3)), np.zeros((2, 1), int), r"y: found shape \(2, 1\), wanted \(2,\)"),
        (np.zeros((2, 3)), np.zeros(2), "y: found dtype float64, wanted whole numbers"),
        (np.zeros((2, 3)), np.array([0, 3]), "y: found labels from 0 to 3, wanted 0 to 2"),
        (np.zeros((2, 3)), np.array([-1, 2]), "y: found labels from -1 to 2, wanted 0 to 2"),
        (np.zeros((2, 0)), np.array([0, 0]), "y: found labels from 0 to 0"),
    ],
)
def test_losses_name_what_does_not_fit(loss_function: Callable[..., Any], x: Any, y: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        loss_function(x, y)
