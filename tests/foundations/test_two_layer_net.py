"""The two-layer net against torch autograd, centred differences, published values and real digits."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits

from herder.foundations.gradient_check import eval_numerical_gradient, rel_error
from herder.foundations.two_layer_net import TwoLayerNet


def course_net() -> tuple[TwoLayerNet, Any]:
    """The net and the samples of the course's check."""
    net = TwoLayerNet(5, 50, 7)
    net.params["W1"] = np.linspace(-0.7, 0.3, 250).reshape(5, 50)
    net.params["b1"] = np.linspace(-0.1, 0.9, 50)
    net.params["W2"] = np.linspace(-0.3, 0.4, 350).reshape(50, 7)
    net.params["b2"] = np.linspace(-0.9, 0.1, 7)
    return net, np.linspace(-5.5, 4.5, 15).reshape(5, 3).T


@pytest.mark.shared
def test_published_values(shared_dir: Path) -> None:
    checks = json.loads((shared_dir / "acceptance" / "foundations.json").read_text())["checks"]
    expected = {check["function"]: check["expected"] for check in checks}
    net, X = course_net()
    assert np.abs(net.loss(X) - np.array(expected["TwoLayerNet.scores"])).sum() < 1e-6
    loss, _ = net.loss(X, np.array([0, 5, 1]))
    assert abs(loss - expected["TwoLayerNet.loss"]) < 1e-10


def test_the_penalty_carries_a_half() -> None:
    net, X = course_net()
    loss, _ = net.loss(X, np.array([0, 5, 1]), reg=1.0)
    assert abs(loss - 26.5948426952) < 1e-10  # the course's own value for reg = 1


def small_problem() -> tuple[TwoLayerNet, Any, Any]:
    net = TwoLayerNet(4, 10, 3, std=1.0, seed=0)
    rng = np.random.default_rng(1)
    net.params["b1"], net.params["b2"] = rng.standard_normal(10), rng.standard_normal(3)
    return net, rng.standard_normal((5, 4)), np.array([0, 1, 2, 2, 1])


@pytest.mark.parametrize("reg", [0.0, 0.7])
@pytest.mark.parametrize("count", [1, 5])
def test_torch_agrees(reg: float, count: int) -> None:
    net, X, y = small_problem()
    X, y = X[:count], y[:count]
    params = {name: torch.tensor(value, requires_grad=True) for name, value in net.params.items()}
    hidden = F.relu(torch.tensor(X) @ params["W1"] + params["b1"])
    scores = hidden @ params["W2"] + params["b2"]
    penalty = 0.5 * reg * ((params["W1"] ** 2).sum() + (params["W2"] ** 2).sum())
    wanted = F.cross_entropy(scores, torch.tensor(y)) + penalty
    wanted.backward()

    np.testing.assert_allclose(net.loss(X), scores.detach().numpy(), rtol=1e-12)
    loss, grads = net.loss(X, y, reg)
    assert loss == pytest.approx(wanted.item(), rel=1e-12)
    assert list(grads) == list(net.params)
    for name, grad in grads.items():
        np.testing.assert_allclose(grad, params[name].grad.numpy(), rtol=1e-9, atol=1e-14, err_msg=name)


def test_the_numeric_gradient_agrees() -> None:
    net, X, y = small_problem()
    _, grads = net.loss(X, y, reg=0.05)
    for name, grad in grads.items():
        numeric = eval_numerical_gradient(lambda _: net.loss(X, y, reg=0.05)[0], net.params[name])
        assert rel_error(numeric, grad) < 1e-7, name


def test_enormous_scores_do_not_overflow() -> None:
    net = TwoLayerNet(1, 1, 2)
    net.params.update(W1=np.ones((1, 1)), W2=np.array([[1e4, 0.0]]))
    loss, grads = net.loss(np.array([[1.0]]), np.array([1]))
    assert loss == pytest.approx(1e4)
    assert all(np.isfinite(grad).all() for grad in grads.values())


def test_how_it_starts() -> None:
    net = TwoLayerNet(input_size=300, hidden_size=200, output_size=10, std=0.01, seed=4)
    assert {name: value.shape for name, value in net.params.items()} == {
        "W1": (300, 200), "b1": (200,), "W2": (200, 10), "b2": (10,),
    }  # fmt: skip
    assert net.params["W1"].std() == pytest.approx(0.01, rel=0.02)
    assert not net.params["b1"].any()
    assert not net.params["b2"].any()
    again = TwoLayerNet(300, 200, 10, 0.01, seed=4)
    np.testing.assert_array_equal(net.params["W2"], again.params["W2"])
    assert not np.array_equal(net.params["W1"], TwoLayerNet(300, 200, 10, 0.01).params["W1"])


def test_real_digits_are_learned() -> None:
    images, labels = load_digits(return_X_y=True)
    X, y = images / 16 - 0.5, labels.astype(np.int64)
    net = TwoLayerNet(64, 50, 10, std=0.1, seed=0)
    history = net.train(
        X[:1400], y[:1400], X[1400:], y[1400:], learning_rate=0.5, reg=1e-4, num_iters=420, batch_size=100
    )
    assert len(history["loss_history"]) == 420
    assert len(history["train_acc_history"]) == len(history["val_acc_history"]) == 30  # 14 steps an epoch
    assert history["val_acc_history"][0] < 0.5
    assert np.mean(net.predict(X[1400:]) == y[1400:]) > 0.9


def test_training_step_by_step_like_torch() -> None:
    """One sample, so that every batch is known; two epochs, so that the rate decays once a step."""
    net, X, y = small_problem()
    params = {name: torch.tensor(value, requires_grad=True) for name, value in net.params.items()}
    rate = 0.1
    for _ in range(3):
        scores = F.relu(torch.tensor(X[:1]) @ params["W1"] + params["b1"]) @ params["W2"] + params["b2"]
        penalty = 0.5 * 0.2 * ((params["W1"] ** 2).sum() + (params["W2"] ** 2).sum())
        (F.cross_entropy(scores, torch.tensor(y[:1])) + penalty).backward()
        with torch.no_grad():
            for value in params.values():
                value -= rate * value.grad
                value.grad = None
        rate *= 0.5
    history = net.train(X[:1], y[:1], X, y, 0.1, 0.5, 0.2, num_iters=3, batch_size=1)
    for name, value in net.params.items():
        np.testing.assert_allclose(value, params[name].detach().numpy(), rtol=1e-10, err_msg=name)
    assert len(history["val_acc_history"]) == 3


def test_verbose_talks(capsys: pytest.CaptureFixture[str]) -> None:
    net, X, y = small_problem()
    net.train(X, y, X, y, num_iters=101, verbose=True)
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == [
        "iteration 0 / 101", "iteration 100 / 101",
    ]  # fmt: skip
    assert net.train(X, y, X, y, num_iters=0) == {"loss_history": [], "train_acc_history": [], "val_acc_history": []}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 2, 2), "input_size: found 0, wanted a whole number of at least 1"),
        ((2, 2.5, 2), "hidden_size: found 2.5"),
        ((2, 2, -1), "output_size: found -1"),
        ((2, 2, 2, -1.0), "std: found -1.0"),
    ],
)
def test_sizes_that_do_not_fit(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        TwoLayerNet(*arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros((5, 3)),), r"X: found shape \(5, 3\), wanted \(N, 4\)"),
        ((np.zeros((0, 4)),), r"X: found shape \(0, 4\)"),
        ((np.zeros((5, 4), complex),), "X: found dtype complex128"),
        ((np.zeros((5, 4)), np.zeros(4, int)), r"y: found shape \(4,\), wanted \(5,\)"),
        ((np.zeros((5, 4)), np.full(5, 3)), "y: found labels from 3 to 3, wanted 0 to 2"),
        ((np.zeros((5, 4)), np.zeros(5)), "y: found dtype float64"),
        ((np.zeros((5, 4)), np.zeros(5, int), -1), "reg: found -1"),
    ],
)
def test_samples_that_do_not_fit(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        small_problem()[0].loss(*arguments)


def test_weights_that_do_not_fit() -> None:
    net, X, _ = small_problem()
    net.params["b1"] = np.zeros(9)
    with pytest.raises(ValueError, match=r"^params\['b1'\]: found shape \(9,\), wanted \(10,\)"):
        net.loss(X)
    del net.params["b1"], net.params["W2"]
    with pytest.raises(ValueError, match=r"^params: found no b1, W2, wanted W1, b1, W2 and b2"):
        net.predict(X)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X": np.zeros((5, 3))}, r"X: found shape \(5, 3\)"),
        ({"X_val": np.zeros((2, 3))}, r"X_val: found shape \(2, 3\), wanted \(N, 4\)"),
        ({"y_val": np.zeros(4, int)}, r"y_val: found shape \(4,\), wanted \(5,\)"),
        ({"y": np.full(5, 3)}, "y: found labels"),
        ({"learning_rate": "fast"}, "learning_rate: found 'fast'"),
        ({"learning_rate_decay": 0}, "learning_rate_decay: found 0"),
        ({"num_iters": -1}, "num_iters: found -1"),
        ({"batch_size": 0}, "batch_size: found 0"),
    ],
)
def test_training_that_does_not_fit(change: dict[str, Any], message: str) -> None:
    net, X, y = small_problem()
    with pytest.raises(ValueError, match=f"^{message}"):
        net.train(**{"X": X, "y": y, "X_val": X, "y_val": y, **change})
