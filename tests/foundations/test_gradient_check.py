from typing import Any

import numpy as np
import pytest

from herder.foundations.gradient_check import (
    eval_numerical_gradient,
    eval_numerical_gradient_array,
    grad_check_sparse,
    rel_error,
)


def test_rel_error_is_the_largest_difference_over_the_sum() -> None:
    assert rel_error([1.0, 2.0], [1.0, 3.0]) == pytest.approx(0.2)  # |2 - 3| / (2 + 3)
    assert rel_error([0.0], [1e-9]) == pytest.approx(0.1)  # the floor of 1e-8
    assert rel_error(np.zeros((0, 3)), np.zeros((0, 3))) == 0


def test_rel_error_refuses_shapes_that_would_broadcast() -> None:
    with pytest.raises(ValueError, match=r"y: found shape \(2, 1\), wanted \(2,\)"):
        rel_error(np.zeros(2), np.zeros((2, 1)))


def test_the_gradient_of_a_known_function() -> None:
    x = np.random.default_rng(0).standard_normal((3, 4))
    before = x.copy()
    gradient = eval_numerical_gradient(lambda x: float(np.sin(x).sum()), x)
    assert rel_error(gradient, np.cos(x)) < 1e-8
    assert np.array_equal(x, before)


def test_the_gradient_of_a_layer_sums_over_its_outputs() -> None:
    rng = np.random.default_rng(1)
    A, x, df = rng.standard_normal((4, 3)), rng.standard_normal(3), rng.standard_normal(4)
    assert rel_error(eval_numerical_gradient_array(lambda x: A @ x, x, df), A.T @ df) < 1e-8
    assert rel_error(eval_numerical_gradient_array(lambda x: x, x, np.ones(3)), np.ones(3)) < 1e-8


def test_a_function_that_reads_the_array_from_elsewhere_sees_the_step() -> None:
    weights = {"W": np.array([2.0, 3.0])}
    gradient = eval_numerical_gradient(lambda _: float(np.prod(weights["W"])), weights["W"])
    assert gradient == pytest.approx([3.0, 2.0])


def test_a_function_that_fails_leaves_the_array_as_it_was() -> None:
    def fail(x: Any) -> float:
        raise KeyError("no")

    x = np.array([1.0, 2.0])
    with pytest.raises(KeyError):
        eval_numerical_gradient(fail, x)
    assert x.tolist() == [1.0, 2.0]


def test_a_wrong_gradient_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    x = np.arange(1.0, 7.0).reshape(2, 3)
    assert grad_check_sparse(lambda x: float((x**2).sum()), x, 2 * x) < 1e-8
    assert grad_check_sparse(lambda x: float((x**2).sum()), x, 3 * x) > 0.1
    assert capsys.readouterr().out.count("relative error") == 20


@pytest.mark.parametrize("x", [np.zeros(2, np.float32), np.zeros(2, np.int64), [0.0]])
def test_only_float64_has_enough_digits(x: Any) -> None:
    with pytest.raises(ValueError, match=r"x: found .*, wanted a float64 array"):
        eval_numerical_gradient(lambda x: 0.0, x)


def test_an_upstream_gradient_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"df: found shape \(3,\), wanted \(2,\)"):
        eval_numerical_gradient_array(lambda x: x, np.zeros(2), np.zeros(3))


def test_the_step_must_be_positive() -> None:
    with pytest.raises(ValueError, match="h: found 0"):
        eval_numerical_gradient(lambda x: 0.0, np.zeros(2), h=0)
