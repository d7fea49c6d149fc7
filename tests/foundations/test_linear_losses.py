"""The linear losses against torch autograd, centred differences and published values."""

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

from herder.foundations.gradient_check import eval_numerical_gradient, rel_error
from herder.foundations.linear_losses import (
    softmax_loss_naive,
    softmax_loss_vectorized,
    svm_loss_naive,
    svm_loss_vectorized,
)

Loss = Callable[[Any, Any, Any, Any], tuple[float, Any]]
SOFTMAX: list[Loss] = [softmax_loss_naive, softmax_loss_vectorized]
SVM: list[Loss] = [svm_loss_naive, svm_loss_vectorized]


def problem(n: int = 7, d: int = 5, c: int = 4, seed: int = 0) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((d, c)), rng.standard_normal((n, d)), rng.integers(c, size=n)


def torch_loss(kind: list[Loss], W: Any, X: Any, y: Any, reg: float) -> tuple[float, Any]:
    weights = torch.tensor(W, requires_grad=True)
    scores = torch.tensor(X) @ weights
    labels = torch.tensor(y)
    # torch divides the hinge loss by the number of classes
    data = F.cross_entropy(scores, labels) if kind is SOFTMAX else F.multi_margin_loss(scores, labels) * W.shape[1]
    loss = data + reg * (weights**2).sum()
    loss.backward()
    assert weights.grad is not None
    return loss.item(), weights.grad.numpy()


CASES = [(kind, loss) for kind in (SOFTMAX, SVM) for loss in kind]
IDS = [loss.__name__ for _, loss in CASES]


@pytest.mark.parametrize(("kind", "loss"), CASES, ids=IDS)
@pytest.mark.parametrize("reg", [0.0, 0.3])
@pytest.mark.parametrize("shape", [(7, 5, 4), (1, 5, 4), (7, 1, 2), (3, 2, 1)])
def test_torch_agrees(kind: list[Loss], loss: Loss, reg: float, shape: tuple[int, int, int]) -> None:
    W, X, y = problem(*shape)
    wanted, wanted_gradient = torch_loss(kind, W, X, y, reg)
    found, gradient = loss(W, X, y, reg)
    assert isinstance(found, float)
    assert found == pytest.approx(wanted, rel=1e-12, abs=1e-14)
    np.testing.assert_allclose(gradient, wanted_gradient, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize(("kind", "loss"), CASES, ids=IDS)
def test_the_numeric_gradient_agrees(kind: list[Loss], loss: Loss) -> None:
    W, X, y = problem()
    _, gradient = loss(W, X, y, 0.1)
    numeric = eval_numerical_gradient(lambda w: loss(w, X, y, 0.1)[0], W)
    assert rel_error(numeric, gradient) < 1e-7


@given(st.integers(1, 8), st.integers(1, 6), st.integers(1, 5), st.floats(0, 10), st.integers(0, 99))
def test_loops_and_matrices_agree(n: int, d: int, c: int, reg: float, seed: int) -> None:
    W, X, y = problem(n, d, c, seed)
    for naive, vectorized in (SOFTMAX, SVM):
        wanted, wanted_gradient = naive(W, X, y, reg)
        found, gradient = vectorized(W, X, y, reg)
        assert found == pytest.approx(wanted, rel=1e-11, abs=1e-13)
        np.testing.assert_allclose(gradient, wanted_gradient, rtol=1e-9, atol=1e-12)


@pytest.mark.shared
@pytest.mark.parametrize(("kind", "loss"), CASES, ids=IDS)
def test_published_values(kind: list[Loss], loss: Loss, shared_dir: Path) -> None:
    checks = json.loads((shared_dir / "acceptance" / "foundations.json").read_text())["checks"]
    name = "softmax_loss" if kind is SOFTMAX else "svm_loss"
    (expected,) = (check["expected"] for check in checks if check["function"] == name)
    random = np.random.RandomState(231)
    scores = 0.001 * random.randn(50, 10)
    y = random.randint(10, size=50)
    found, _ = loss(np.eye(10), scores, y, 0.0)  # with W = 1 the rows of X are the scores
    assert abs(found - expected) < 1e-12


@pytest.mark.parametrize("loss", SOFTMAX)
def test_enormous_scores_do_not_overflow(loss: Loss) -> None:
    found, gradient = loss(np.eye(2) * 1e6, np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([0, 1]), 0.0)
    assert found == pytest.approx(5e5)  # one sample costs nothing, the other a million
    np.testing.assert_allclose(gradient, [[0.5, -0.5], [0, 0]])


@pytest.mark.parametrize("loss", SVM)
def test_the_margin_itself_costs_nothing(loss: Loss) -> None:
    found, gradient = loss(np.eye(2), np.array([[1.0, 0.0]]), np.array([0]), 0.0)
    assert found == 0
    assert not gradient.any()


@pytest.mark.parametrize("loss", SOFTMAX + SVM)
def test_arguments_are_left_alone_and_types_kept(loss: Loss) -> None:
    W, X, y = problem()
    before = W.copy(), X.copy(), y.copy()
    loss(W, X, y, 0.1)
    for argument, copy in zip((W, X, y), before, strict=True):
        np.testing.assert_array_equal(argument, copy)
    assert loss(W.astype(np.float32), X.astype(np.float32), y, 0.1)[1].dtype == np.float32
    pixels = np.abs(X * 100).astype(np.uint8)
    found, gradient = loss(W, pixels, y.astype(np.uint8), 0.0)
    wanted, wanted_gradient = loss(W, pixels.astype(np.float64), y, 0.0)
    assert found == wanted
    np.testing.assert_array_equal(gradient, wanted_gradient)


W, X, Y = np.zeros((5, 4)), np.zeros((7, 5)), np.zeros(7, np.int64)


@pytest.mark.parametrize("loss", SOFTMAX + SVM)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros(5), X, Y, 0.0), r"W: found shape \(5,\), wanted \(D, C\)"),
        ((np.zeros((5, 4), int), X, Y, 0.0), "W: found dtype int64, wanted floating"),
        ((np.zeros((5, 4), complex), X, Y, 0.0), "W: found dtype complex128"),
        ((W, np.zeros((7, 6)), Y, 0.0), r"X: found shape \(7, 6\), wanted \(N, 5\)"),
        ((W, np.zeros((0, 5)), Y[:0], 0.0), r"X: found shape \(0, 5\)"),
        ((W, np.full((7, 5), "a"), Y, 0.0), "X: found dtype <U1"),
        ((W, X, Y[:6], 0.0), r"y: found shape \(6,\), wanted \(7,\)"),
        ((W, X, Y + 0.5, 0.0), "y: found dtype float64, wanted whole numbers"),
        ((W, X, Y + 4, 0.0), "y: found labels from 4 to 4, wanted 0 to 3"),
        ((W, X, Y - 1, 0.0), "y: found labels from -1 to -1"),
        ((W, X, Y, -1.0), "reg: found -1.0, wanted a finite number of at least 0"),
        ((W, X, Y, np.nan), "reg: found nan"),
    ],
)
def test_what_does_not_fit_is_named(loss: Loss, arguments: tuple[Any, Any, Any, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        loss(*arguments)
