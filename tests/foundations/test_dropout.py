"""Dropout: its statistics, its gradients (numeric, and torch with the same mask), its settings."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from herder.foundations.dropout import dropout_backward, dropout_forward
from herder.foundations.gradient_check import eval_numerical_gradient_array, rel_error


@pytest.mark.parametrize("p", [0.25, 0.4, 0.7, 1.0])
def test_the_share_kept_is_p_and_the_mean_stays(p: float) -> None:
    x = np.random.default_rng(0).standard_normal((500, 500)) + 10
    out, _ = dropout_forward(x, {"mode": "train", "p": p, "seed": 1})
    assert np.mean(out != 0) == pytest.approx(p, abs=0.005)  # five standard deviations of 250,000 draws
    assert out.mean() == pytest.approx(10, abs=0.2)
    np.testing.assert_allclose(out[out != 0], x[out != 0] / p, rtol=1e-12)


def test_test_mode_changes_nothing() -> None:
    x = np.random.default_rng(0).standard_normal((4, 3))
    out, cache = dropout_forward(x, {"mode": "test", "p": 0.3})
    np.testing.assert_array_equal(out, x)
    np.testing.assert_array_equal(dropout_backward(x + 1, cache), x + 1)


def test_gradients_equal_numeric_ones_and_those_of_torch() -> None:
    rng = np.random.default_rng(0)
    x, dout = rng.standard_normal((6, 5)) + 3, rng.standard_normal((6, 5))
    param = {"mode": "train", "p": 0.6, "seed": 123}
    out, cache = dropout_forward(x, param)
    dx = dropout_backward(dout, cache)
    assert rel_error(dx, eval_numerical_gradient_array(lambda x: dropout_forward(x, param)[0], x, dout)) <= 1e-7

    tensor = torch.tensor(x, requires_grad=True)
    wanted = torch.where(torch.tensor(out != 0), tensor, 0) / 0.6  # torch draws other masks: it gets this one
    wanted.backward(torch.tensor(dout))
    np.testing.assert_allclose(out, wanted.detach(), rtol=1e-12)
    np.testing.assert_allclose(dx, tensor.grad, rtol=1e-12)


@given(st.integers(0, 2**63 - 1), st.floats(0.01, 1))
def test_a_seed_gives_the_same_mask_again(seed: int, p: float) -> None:
    param = {"mode": "train", "p": p, "seed": seed}
    x = np.ones((5, 4))
    np.testing.assert_array_equal(dropout_forward(x, param)[0], dropout_forward(x, param)[0])


def test_a_generator_gives_new_masks_that_can_be_repeated() -> None:
    def two_masks() -> list[Any]:
        param = {"mode": "train", "p": 0.5, "rng": np.random.default_rng(7)}
        return [dropout_forward(np.ones(200), param)[0] for _ in range(2)]

    first, again = two_masks(), two_masks()
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(*first)


def test_without_a_seed_masks_differ() -> None:
    param = {"mode": "train", "p": 0.5}
    assert not np.array_equal(dropout_forward(np.ones(200), param)[0], dropout_forward(np.ones(200), param)[0])


@pytest.mark.parametrize("shape", [(), (1,), (0, 3), (2, 3, 4, 5)])
def test_any_shape(shape: tuple[int, ...]) -> None:
    out, cache = dropout_forward(np.ones(shape), {"mode": "train", "p": 0.5, "seed": 0})
    assert out.shape == dropout_backward(np.ones(shape), cache).shape == shape


def test_float32_stays_float32_and_arguments_are_left_alone() -> None:
    x = np.ones((3, 4), np.float32)
    out, cache = dropout_forward(x, {"mode": "train", "p": 0.5, "seed": 0})
    assert out.dtype == dropout_backward(x, cache).dtype == np.float32
    assert x.min() == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": "eval"}, r"dropout_param\['mode'\]: found 'eval', wanted 'train' or 'test'"),
        ({"mode": None}, r"dropout_param\['mode'\]: found None"),
        ({"p": 0}, r"dropout_param\['p'\]: found 0, wanted a finite number above 0"),
        ({"p": 1.5}, r"dropout_param\['p'\]: found 1.5"),
        ({"p": None}, r"dropout_param\['p'\]: found None"),
        ({"p": float("nan")}, r"dropout_param\['p'\]: found nan"),
        ({"seed": -1}, r"dropout_param\['seed'\]: found -1, wanted a whole number of at least 0"),
        ({"seed": 1.5}, r"dropout_param\['seed'\]: found 1.5"),
        ({"rng": 3}, r"dropout_param\['rng'\]: found int, wanted a numpy.random.Generator"),
    ],
)
def test_settings_that_do_not_fit_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dropout_forward(np.ones(3), {"mode": "train", "p": 0.5} | changes)


def test_arrays_that_do_not_fit_are_named() -> None:
    with pytest.raises(ValueError, match="x: found dtype <U1, wanted real numbers"):
        dropout_forward(np.array(["a"]), {"mode": "train", "p": 0.5})
    for mode in ("train", "test"):
        _, cache = dropout_forward(np.ones(3), {"mode": mode, "p": 0.5})
        with pytest.raises(ValueError, match=r"dout: found shape \(4,\), wanted \(3,\)"):
            dropout_backward(np.ones(4), cache)
