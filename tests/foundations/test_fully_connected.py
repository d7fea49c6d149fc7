"""The fully connected network against torch autograd, numeric gradients, and 50 real digits."""

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits

from herder.foundations.fully_connected import FullyConnectedNet
from herder.foundations.gradient_check import eval_numerical_gradient, rel_error
from herder.foundations.optimizers import adam
from herder.foundations.solver import Solver

NORMALIZATIONS = pytest.mark.parametrize("normalization", [None, "batchnorm", "layernorm"])
X = np.random.default_rng(1).standard_normal((4, 2, 3))
Y = np.array([2, 0, 1, 2])


def small_net(**settings: Any) -> FullyConnectedNet:
    """Weights large enough that no gradient drowns in rounding; gamma, beta and biases off their start."""
    net = FullyConnectedNet([5, 4], 6, 3, **({"weight_scale": 0.4, "dtype": np.float64, "seed": 3} | settings))
    rng = np.random.default_rng(5)
    for name, value in net.params.items():
        if not name.startswith("W"):
            net.params[name] = value + 0.4 * rng.standard_normal(value.shape)
    return net


def torch_loss(net: FullyConnectedNet, params: dict[str, torch.Tensor], masks: list[Any]) -> torch.Tensor:
    hidden = torch.tensor(X).flatten(1)
    for i in range(1, net.num_layers):
        hidden = F.linear(hidden, params[f"W{i}"].T, params[f"b{i}"])
        if net.normalization == "batchnorm":
            hidden = F.batch_norm(hidden, None, None, params[f"gamma{i}"], params[f"beta{i}"], training=True)
        elif net.normalization == "layernorm":
            hidden = F.layer_norm(hidden, hidden.shape[1:], params[f"gamma{i}"], params[f"beta{i}"])
        hidden = F.relu(hidden) * torch.tensor(masks[i - 1])
    scores = F.linear(hidden, params[f"W{net.num_layers}"].T, params[f"b{net.num_layers}"])
    penalty = sum((params[f"W{i}"] ** 2).sum() for i in range(1, net.num_layers + 1))
    return F.cross_entropy(scores, torch.tensor(Y)) + 0.5 * net.reg * penalty


def masks_of(net: FullyConnectedNet, seed: int) -> list[Any]:
    p = net.dropout_param["p"]
    return [(np.random.default_rng(seed).random((4, units)) < p) / p for units in (5, 4)]


@NORMALIZATIONS
@pytest.mark.parametrize("keep_ratio", [1, 0.75, 0.5])
@pytest.mark.parametrize("reg", [0.0, 0.8])
def test_torch_agrees(normalization: str | None, keep_ratio: float, reg: float) -> None:
    net = small_net(normalization=normalization, dropout_keep_ratio=keep_ratio, reg=reg)
    params = {name: torch.tensor(value, requires_grad=True) for name, value in net.params.items()}
    wanted = torch_loss(net, params, masks_of(net, seed=3))
    wanted.backward()
    loss, grads = net.loss(X, Y)
    assert loss == pytest.approx(wanted.item(), rel=1e-12)
    assert grads.keys() == net.params.keys()
    for name, grad in grads.items():
        np.testing.assert_allclose(grad, params[name].grad, rtol=1e-8, atol=1e-12, err_msg=name)


@NORMALIZATIONS
@pytest.mark.parametrize("keep_ratio", [1, 0.75, 0.5])
@pytest.mark.parametrize("reg", [0.0, 0.8])
def test_gradients_equal_numeric_ones(normalization: str | None, keep_ratio: float, reg: float) -> None:
    net = small_net(normalization=normalization, dropout_keep_ratio=keep_ratio, reg=reg)
    _, grads = net.loss(X, Y)
    for name, grad in grads.items():
        numeric = eval_numerical_gradient(lambda _: net.loss(X, Y)[0], net.params[name])
        if normalization == "batchnorm" and name in ("b1", "b2"):
            # Batch normalization takes away what this bias adds: its gradient is zero, and the numeric one rounding.
            assert np.abs(grad).max() < 1e-15
            assert np.abs(numeric).max() < 1e-10
        else:
            assert rel_error(grad, numeric) <= 1e-7, name


@pytest.mark.parametrize("hidden_dims", [[], [7], [6, 5, 4, 3]], ids=str)
def test_any_depth_agrees_with_numeric_gradients(hidden_dims: list[int]) -> None:
    net = FullyConnectedNet(hidden_dims, 6, 3, weight_scale=0.9, dtype=np.float64, seed=4)
    assert net.num_layers == len(hidden_dims) + 1
    _, grads = net.loss(X, Y)
    for name, grad in grads.items():
        assert rel_error(grad, eval_numerical_gradient(lambda _: net.loss(X, Y)[0], net.params[name])) <= 1e-7, name


@NORMALIZATIONS
def test_the_loss_starts_at_the_log_of_the_classes(normalization: str | None) -> None:
    rng = np.random.default_rng(0)
    images, labels = rng.standard_normal((64, 3, 32, 32)), rng.integers(10, size=64)
    net = FullyConnectedNet([50, 50], normalization=normalization, weight_scale=1e-3, seed=0)
    assert net.loss(images, labels)[0] == pytest.approx(math.log(10), abs=0.01)


def test_scores_and_start() -> None:
    net = FullyConnectedNet([200], 30, 4, normalization="layernorm", weight_scale=0.5, seed=0)
    assert net.params["W1"].std() == pytest.approx(0.5, rel=0.05)
    assert not net.params["b1"].any()
    assert not net.params["beta1"].any()
    assert set(net.params["gamma1"]) == {1}
    assert "gamma2" not in net.params  # scores are not normalized
    assert net.loss(np.zeros((1, 30))).shape == (1, 4)
    other = FullyConnectedNet([200], 30, 4, normalization="layernorm", weight_scale=0.5, seed=0)
    assert all(np.array_equal(net.params[name], other.params[name]) for name in net.params)


@NORMALIZATIONS
def test_everything_is_of_one_dtype(normalization: str | None) -> None:
    net = FullyConnectedNet([5], 6, 3, normalization=normalization, dropout_keep_ratio=0.5, reg=0.1, seed=0)
    assert net.loss(X).dtype == np.float32
    _, grads = net.loss(X, Y)
    assert {a.dtype for a in [*grads.values(), *net.params.values()]} == {np.dtype(np.float32)}


def test_scores_use_running_statistics_and_no_dropout() -> None:
    net = small_net(normalization="batchnorm", dropout_keep_ratio=0.5)
    for _ in range(3):
        net.loss(X, Y)
    together = net.loss(X)
    np.testing.assert_allclose(together, np.concatenate([net.loss(X[i : i + 1]) for i in range(4)]), rtol=1e-12)

    hidden = torch.tensor(X).flatten(1)
    params = {name: torch.tensor(value) for name, value in net.params.items()}
    for i in (1, 2):
        mean, var = (torch.tensor(net.bn_params[i - 1][name]) for name in ("running_mean", "running_var"))
        hidden = F.linear(hidden, params[f"W{i}"].T, params[f"b{i}"])
        hidden = F.relu(F.batch_norm(hidden, mean, var, params[f"gamma{i}"], params[f"beta{i}"]))
    np.testing.assert_allclose(together, F.linear(hidden, params["W3"].T, params["b3"]), rtol=1e-10)


def test_a_seed_keeps_the_masks_and_a_generator_changes_them() -> None:
    seeded = small_net(dropout_keep_ratio=0.5)
    assert seeded.loss(X, Y)[0] == seeded.loss(X, Y)[0]

    def losses() -> list[float]:
        net = small_net(dropout_keep_ratio=0.5, seed=None, rng=np.random.default_rng(0))
        return [net.loss(X, Y)[0] for _ in range(4)]

    assert len(set(losses())) > 1
    assert losses() == losses()


@NORMALIZATIONS
def test_fifty_digits_are_learned_by_heart(normalization: str | None) -> None:
    images, labels = load_digits(return_X_y=True)
    data = {
        "X_train": images[:50] / 8 - 1,
        "y_train": labels[:50],
        "X_val": images[50:150] / 8 - 1,
        "y_val": labels[50:150],
    }
    net = FullyConnectedNet([60, 60], 64, normalization=normalization, weight_scale=0.1, seed=0)
    solver = Solver(
        net, data, update_rule="adam", optim_config={"learning_rate": 5e-3}, batch_size=25, num_epochs=25,
        verbose=False, seed=0,
    )  # fmt: skip
    solver.train()
    assert max(solver.train_acc_history) == 1.0
    assert solver.loss_history[-1] < 0.1


def test_dropout_learns_too() -> None:
    images, labels = load_digits(return_X_y=True)
    net = FullyConnectedNet([100], 64, dropout_keep_ratio=0.7, weight_scale=0.1, rng=np.random.default_rng(0))
    configs: dict[str, Any] = {name: {"learning_rate": 5e-3} for name in net.params}
    for _ in range(100):
        _, grads = net.loss(images[:50] / 8 - 1, labels[:50])
        for name, grad in grads.items():
            net.params[name], configs[name] = adam(net.params[name], grad, configs[name])
    assert np.mean(net.loss(images[:50] / 8 - 1).argmax(axis=1) == labels[:50]) == 1.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden_dims": [5, 0]}, r"hidden_dims\[1\]: found 0, wanted a whole number of at least 1"),
        ({"hidden_dims": 5}, r"hidden_dims: found shape \(\), wanted \(L - 1,\)"),
        ({"hidden_dims": [2.5]}, r"hidden_dims\[0\]: found 2.5"),
        ({"input_dim": 0}, "input_dim: found 0"),
        ({"num_classes": -1}, "num_classes: found -1"),
        ({"dropout_keep_ratio": 0}, "dropout_keep_ratio: found 0, wanted a finite number above 0"),
        ({"dropout_keep_ratio": 1.1}, "dropout_keep_ratio: found 1.1"),
        ({"normalization": "groupnorm"}, "normalization: found 'groupnorm', wanted None or 'batchnorm' or 'layernorm'"),
        ({"reg": -1}, "reg: found -1, wanted a finite number of at least 0"),
        ({"weight_scale": float("inf")}, "weight_scale: found inf"),
        ({"dtype": np.int64}, "dtype: found int64, wanted floating point"),
        ({"dtype": "half a dozen"}, "dtype: found 'half a dozen', wanted floating point"),
        ({"seed": -1}, "seed: found -1, wanted a whole number of at least 0"),
        ({"seed": 0, "rng": np.random.default_rng()}, "rng: found a generator beside a seed"),
    ],
)
def test_settings_that_do_not_fit_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FullyConnectedNet(**({"hidden_dims": [5]} | settings))


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((4, 5)), None, r"X: found shape \(4, 5\), wanted \(N, \.\.\.\) with 6 values a sample"),
        (np.zeros((0, 6)), None, r"X: found shape \(0, 6\), wanted \(N, \.\.\.\) with N of at least 1"),
        (np.zeros((4, 6), complex), None, "X: found dtype complex128, wanted real numbers"),
        (X, np.array([0, 1, 2, 3]), "y: found labels from 0 to 3, wanted 0 to 2"),
        (X, np.array([0, 1, -2, 0]), "y: found labels from -2 to 1, wanted 0 to 2"),
        (X, np.zeros(4), "y: found dtype float64, wanted whole numbers"),
        (X, np.zeros(3, int), r"y: found shape \(3,\), wanted \(4,\)"),
    ],
)
def test_samples_and_labels_that_do_not_fit_are_named(x: Any, y: Any, message: str) -> None:
    net = small_net(normalization="batchnorm")
    with pytest.raises(ValueError, match=message):
        net.loss(x, y)
    assert all("running_mean" not in param for param in net.bn_params)  # nothing was learned from them
