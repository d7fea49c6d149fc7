"""The convolutional network against torch autograd, numeric gradients, and 50 real digits."""

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits

from herder.foundations.conv_net import ThreeLayerConvNet
from herder.foundations.gradient_check import eval_numerical_gradient, rel_error
from herder.foundations.solver import Solver

X = np.random.default_rng(1).standard_normal((3, 2, 6, 5))
Y = np.array([2, 0, 3])


def small_net(**settings: Any) -> ThreeLayerConvNet:
    """Weights large enough that no gradient drowns in rounding; biases off their start."""
    wanted = {"input_dim": (2, 6, 5), "num_filters": 3, "filter_size": 3, "hidden_dim": 6, "num_classes": 4}
    net = ThreeLayerConvNet(**(wanted | {"weight_scale": 0.4, "dtype": np.float64, "seed": 0} | settings))
    rng = np.random.default_rng(5)
    for name in ("b1", "b2", "b3"):
        net.params[name] = 0.3 * rng.standard_normal(net.params[name].shape)
    return net


@pytest.mark.parametrize("filter_size", [1, 3, 4, 5])
@pytest.mark.parametrize("reg", [0.0, 0.5])
def test_torch_agrees(filter_size: int, reg: float) -> None:
    net = small_net(filter_size=filter_size, reg=reg)
    p = {name: torch.tensor(value, requires_grad=True) for name, value in net.params.items()}
    hidden = F.max_pool2d(F.relu(F.conv2d(torch.tensor(X), p["W1"], p["b1"], padding=(filter_size - 1) // 2)), 2)
    hidden = F.relu(F.linear(hidden.flatten(1), p["W2"].T, p["b2"]))
    scores = F.linear(hidden, p["W3"].T, p["b3"])
    np.testing.assert_allclose(net.loss(X), scores.detach(), rtol=1e-10)
    wanted = F.cross_entropy(scores, torch.tensor(Y)) + 0.5 * reg * sum(
        (p[name] ** 2).sum() for name in ("W1", "W2", "W3")
    )
    wanted.backward()
    loss, grads = net.loss(X, Y)
    assert loss == pytest.approx(wanted.item(), rel=1e-12)
    assert grads.keys() == net.params.keys()
    for name, grad in grads.items():
        np.testing.assert_allclose(grad, p[name].grad, rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("reg", [0.0, 0.5])
def test_gradients_equal_numeric_ones(reg: float) -> None:
    net = small_net(reg=reg)
    _, grads = net.loss(X, Y)
    for name, grad in grads.items():
        assert rel_error(grad, eval_numerical_gradient(lambda _: net.loss(X, Y)[0], net.params[name])) <= 1e-7, name


def test_the_loss_starts_at_the_log_of_the_classes_and_grows_with_reg() -> None:
    rng = np.random.default_rng(0)
    images, labels = rng.standard_normal((20, 3, 32, 32)), rng.integers(10, size=20)
    net = ThreeLayerConvNet(seed=0)
    loss = net.loss(images, labels)[0]
    assert loss == pytest.approx(math.log(10), abs=0.01)
    net.reg = 0.5
    penalty = 0.25 * sum(float((net.params[name].astype(np.float64) ** 2).sum()) for name in ("W1", "W2", "W3"))
    assert net.loss(images, labels)[0] == pytest.approx(loss + penalty, rel=1e-5)


def test_start_and_dtype() -> None:
    net = ThreeLayerConvNet(num_filters=4, weight_scale=0.01, reg=0.1, seed=0)
    assert net.params["W1"].shape == (4, 3, 7, 7)
    assert net.params["W2"].shape == (4 * 16 * 16, 100)
    assert net.params["W2"].std() == pytest.approx(0.01, rel=0.02)
    assert not any(net.params[name].any() for name in ("b1", "b2", "b3"))
    images = np.zeros((1, 3, 32, 32), np.uint8)
    _, grads = net.loss(images, np.array([9]))
    assert {a.dtype for a in [net.loss(images), *grads.values(), *net.params.values()]} == {np.dtype(np.float32)}
    again = ThreeLayerConvNet(num_filters=4, weight_scale=0.01, seed=0)
    assert all(np.array_equal(net.params[name], again.params[name]) for name in net.params)


def test_fifty_digits_are_learned_by_heart() -> None:
    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 1, 8, 8) / 8 - 1
    data = {"X_train": images[:50], "y_train": labels[:50], "X_val": images[50:150], "y_val": labels[50:150]}
    net = ThreeLayerConvNet((1, 8, 8), num_filters=8, filter_size=3, hidden_dim=50, weight_scale=0.1, seed=0)
    solver = Solver(
        net, data, update_rule="adam", optim_config={"learning_rate": 5e-3}, batch_size=25, num_epochs=50,
        verbose=False, seed=0,
    )  # fmt: skip
    solver.train()
    assert max(solver.train_acc_history) == 1.0
    assert solver.loss_history[-1] < 0.1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"input_dim": (32, 32)}, r"input_dim: found \(32, 32\), wanted \(C, H, W\)"),
        ({"input_dim": 32}, r"input_dim: found 32, wanted \(C, H, W\)"),
        ({"input_dim": (3, 32, 0)}, r"input_dim\[2\]: found 0, wanted a whole number of at least 1"),
        ({"input_dim": (3, 1, 8)}, r"input_dim: found \(3, 1, 8\), wanted H and W of at least 2"),
        ({"input_dim": (3, 8, 2), "filter_size": 4}, "wanted H and W of at least 3"),
        ({"num_filters": 0}, "num_filters: found 0"),
        ({"filter_size": 2.5}, "filter_size: found 2.5"),
        ({"hidden_dim": 0}, "hidden_dim: found 0"),
        ({"num_classes": 0}, "num_classes: found 0"),
        ({"weight_scale": -1}, "weight_scale: found -1, wanted a finite number of at least 0"),
        ({"reg": "much"}, "reg: found 'much'"),
        ({"dtype": bool}, "dtype: found bool, wanted floating point"),
        ({"seed": -1}, "seed: found -1"),
    ],
)
def test_settings_that_do_not_fit_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ThreeLayerConvNet(**settings)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((3, 2, 5, 6)), None, r"X: found shape \(3, 2, 5, 6\), wanted \(N, 2, 6, 5\)"),
        (np.zeros((3, 60)), None, r"X: found shape \(3, 60\), wanted \(N, 2, 6, 5\)"),
        (np.zeros((0, 2, 6, 5)), None, r"X: found shape \(0, 2, 6, 5\), wanted \(N, \.\.\.\) with N of at least 1"),
        (X.astype(complex), None, "X: found dtype complex128, wanted real numbers"),
        (X, np.array([0, 1, 4]), "y: found labels from 0 to 4, wanted 0 to 3"),
        (X, np.array([0.0, 1.0, 2.0]), "y: found dtype float64, wanted whole numbers"),
        (X, np.array([[0, 1, 2]]), r"y: found shape \(1, 3\), wanted \(3,\)"),
    ],
)
def test_samples_and_labels_that_do_not_fit_are_named(x: Any, y: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small_net().loss(x, y)
