"""Naive and fast max pooling against published values, numeric gradients, torch, and each other."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from herder.foundations.gradient_check import eval_numerical_gradient_array, rel_error
from herder.foundations.pooling import (
    max_pool_backward_fast,
    max_pool_backward_naive,
    max_pool_forward_fast,
    max_pool_forward_naive,
)

BOTH = pytest.mark.parametrize(
    ("forward", "backward"),
    [(max_pool_forward_naive, max_pool_backward_naive), (max_pool_forward_fast, max_pool_backward_fast)],
    ids=["naive", "fast"],
)
SHAPES = [
    ((2, 3, 4, 4), (2, 2, 2)),
    ((1, 1, 1, 1), (1, 1, 1)),
    ((2, 2, 7, 5), (3, 2, 2)),  # windows that overlap, and a last row that none reaches
    ((1, 2, 5, 5), (2, 2, 3)),  # pixels between the windows
    ((3, 1, 4, 6), (4, 6, 1)),  # one window
]


def parameters(sizes: tuple[int, int, int]) -> dict[str, int]:
    return dict(zip(("pool_height", "pool_width", "stride"), sizes, strict=True))


@pytest.mark.shared
@BOTH
def test_published_values(shared_dir: Path, forward: Any, backward: Any) -> None:
    checks = json.loads((shared_dir / "acceptance/foundations.json").read_text())["checks"]
    expected = next(c["expected"] for c in checks if c["function"] == "max_pool_forward_naive")
    out, _ = forward(np.linspace(-0.3, 0.4, 96).reshape(2, 3, 4, 4), parameters((2, 2, 2)))
    assert rel_error(out, np.array(expected)) < 1e-6  # published with eight decimals, of values down to 0.005


@BOTH
@pytest.mark.parametrize(("shape", "sizes"), SHAPES)
def test_equals_torch_and_the_numeric_gradient(
    shape: tuple[int, ...], sizes: tuple[int, int, int], forward: Any, backward: Any
) -> None:
    x = np.random.default_rng(0).standard_normal(shape)
    tensor = torch.from_numpy(x.copy()).requires_grad_()
    wanted = torch.nn.functional.max_pool2d(tensor, sizes[:2], sizes[2])
    out, cache = forward(x, parameters(sizes))
    assert np.array_equal(out, wanted.detach().numpy())
    dout = np.random.default_rng(1).standard_normal(out.shape)
    dx = backward(dout, cache)
    assert np.allclose(dx, torch.autograd.grad(wanted, tensor, torch.from_numpy(dout))[0].numpy(), rtol=0, atol=1e-15)
    assert rel_error(dx, eval_numerical_gradient_array(lambda x: forward(x, parameters(sizes))[0], x, dout)) < 1e-7


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4), st.integers(1, 4), st.integers(1, 3))
def test_fast_equals_naive_with_ties(H: int, W: int, height: int, width: int, stride: int) -> None:
    x = np.random.default_rng(0).integers(0, 3, (2, 2, H, W)).astype(np.float64)  # few values: many ties
    param = parameters((min(height, H), min(width, W), stride))
    (naive, naive_cache), (fast, fast_cache) = max_pool_forward_naive(x, param), max_pool_forward_fast(x, param)
    assert np.array_equal(naive, fast)
    dout = np.random.default_rng(1).standard_normal(naive.shape)
    one, other = max_pool_backward_naive(dout, naive_cache), max_pool_backward_fast(dout, fast_cache)
    assert np.allclose(one, other, rtol=0, atol=1e-14)  # the order of sums differs where windows overlap


@BOTH
def test_of_equal_values_the_first_takes_the_gradient(forward: Any, backward: Any) -> None:
    _, cache = forward(np.ones((1, 1, 2, 2)), parameters((2, 2, 2)))
    assert backward(np.full((1, 1, 1, 1), 3.0), cache).tolist() == [[[[3, 0], [0, 0]]]]


@BOTH
def test_no_image_gives_no_output(forward: Any, backward: Any) -> None:
    out, cache = forward(np.zeros((0, 2, 4, 4)), parameters((2, 2, 2)))
    assert out.shape == (0, 2, 2, 2)
    assert backward(out, cache).shape == (0, 2, 4, 4)


@BOTH
@pytest.mark.parametrize(
    ("x", "param", "message"),
    [
        (np.zeros((4, 4)), parameters((2, 2, 2)), r"x: found shape \(4, 4\), wanted \(N, C, H, W\)"),
        (np.zeros((1, 1, 4, 4)), parameters((5, 2, 2)), r"pool_param: found windows of \(5, 2\), wanted .*\(4, 4\)"),
        (np.zeros((1, 1, 4, 4)), parameters((2, 2, 0)), r"pool_param\['stride'\]: found 0"),
        (np.zeros((1, 1, 4, 4)), {"stride": 2}, r"pool_param: found \['stride'\], wanted 'pool_height'"),
    ],
)
def test_what_does_not_fit_is_named(x: Any, param: dict[str, int], message: str, forward: Any, backward: Any) -> None:
    with pytest.raises(ValueError, match=message):
        forward(x, param)


@BOTH
def test_an_upstream_gradient_of_another_shape_is_named(forward: Any, backward: Any) -> None:
    _, cache = forward(np.zeros((1, 1, 4, 4)), parameters((2, 2, 2)))
    with pytest.raises(ValueError, match=r"dout: found shape \(1, 1, 3, 3\), wanted \(1, 1, 2, 2\)"):
        backward(np.zeros((1, 1, 3, 3)), cache)
