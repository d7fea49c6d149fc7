"""Naive and fast convolution against published values, numeric gradients, torch, and each other."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from herder.foundations.convolution import conv_backward_naive, conv_forward_naive
from herder.foundations.fast_convolution import conv_backward_fast, conv_forward_fast
from herder.foundations.gradient_check import eval_numerical_gradient_array, rel_error

BOTH = pytest.mark.parametrize(
    ("forward", "backward"),
    [(conv_forward_naive, conv_backward_naive), (conv_forward_fast, conv_backward_fast)],
    ids=["naive", "fast"],
)

# N, C, H, W, F, HH, WW, stride, pad
SHAPES = [
    (2, 3, 5, 5, 2, 3, 3, 1, 1),
    (1, 1, 1, 1, 1, 1, 1, 1, 0),  # a single pixel
    (2, 2, 7, 6, 3, 3, 2, 2, 1),  # a last row that no window reaches
    (1, 2, 9, 8, 2, 5, 5, 1, 2),  # tall filters: four rows share a window, nine rows leave one over
    (2, 1, 11, 9, 2, 7, 3, 2, 3),
    (1, 2, 4, 4, 2, 4, 4, 1, 0),  # one window
    (1, 1, 6, 6, 2, 2, 2, 3, 0),  # a stride longer than the filter
    (1, 1, 8, 5, 1, 5, 5, 6, 2),
]


def inputs(shape: tuple[int, ...], seed: int = 0) -> tuple[Any, Any, Any, dict[str, int]]:
    N, C, H, W, F, HH, WW, stride, pad = shape
    rng = np.random.default_rng(seed)
    x, w, b = rng.standard_normal((N, C, H, W)), rng.standard_normal((F, C, HH, WW)), rng.standard_normal(F)
    return x, w, b, {"stride": stride, "pad": pad}


@pytest.mark.shared
@BOTH
def test_published_values(shared_dir: Path, forward: Any, backward: Any) -> None:
    checks = json.loads((shared_dir / "acceptance/foundations.json").read_text())["checks"]
    expected = next(c["expected"] for c in checks if c["function"] == "conv_forward_naive")
    x = np.linspace(-0.1, 0.5, 96).reshape(2, 3, 4, 4)
    w = np.linspace(-0.2, 0.3, 144).reshape(3, 3, 4, 4)
    out, _ = forward(x, w, np.linspace(-0.1, 0.2, 3), {"stride": 2, "pad": 1})
    assert rel_error(out, np.array(expected)) < 1e-7  # published with eight digits


@BOTH
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_torch(shape: tuple[int, ...], forward: Any, backward: Any) -> None:
    x, w, b, param = inputs(shape)
    tensors = [torch.from_numpy(a).requires_grad_() for a in (x, w, b)]
    wanted = torch.nn.functional.conv2d(*tensors, stride=param["stride"], padding=param["pad"])
    out, cache = forward(x, w, b, param)
    assert np.allclose(out, wanted.detach().numpy(), rtol=1e-12, atol=1e-12)
    dout = np.random.default_rng(1).standard_normal(out.shape)
    for ours, theirs in zip(
        backward(dout, cache), torch.autograd.grad(wanted, tensors, torch.from_numpy(dout)), strict=True
    ):
        assert np.allclose(ours, theirs.numpy(), rtol=1e-12, atol=1e-12)


@BOTH
@pytest.mark.parametrize("shape", SHAPES[:5])
def test_gradients_equal_numeric_ones(shape: tuple[int, ...], forward: Any, backward: Any) -> None:
    x, w, b, param = inputs(shape)
    out, cache = forward(x, w, b, param)
    dout = np.random.default_rng(1).standard_normal(out.shape)
    dx, dw, db = backward(dout, cache)
    assert rel_error(dx, eval_numerical_gradient_array(lambda x: forward(x, w, b, param)[0], x, dout)) < 1e-7
    assert rel_error(dw, eval_numerical_gradient_array(lambda w: forward(x, w, b, param)[0], w, dout)) < 1e-7
    assert rel_error(db, eval_numerical_gradient_array(lambda b: forward(x, w, b, param)[0], b, dout)) < 1e-7


@given(
    st.tuples(*[st.integers(1, 3)] * 2, *[st.integers(1, 9)] * 2, st.integers(1, 3), *[st.integers(1, 6)] * 2),
    st.integers(1, 3),
    st.integers(0, 3),
)
def test_fast_equals_naive(sizes: tuple[int, ...], stride: int, pad: int) -> None:
    N, C, H, W, F, HH, WW = sizes
    shape = (N, C, H, W, F, min(HH, H + 2 * pad), min(WW, W + 2 * pad), stride, pad)
    x, w, b, param = inputs(shape)
    (naive, naive_cache), (fast, fast_cache) = conv_forward_naive(x, w, b, param), conv_forward_fast(x, w, b, param)
    assert np.allclose(naive, fast, rtol=1e-10, atol=1e-12)
    for one, other in zip(conv_backward_naive(naive, naive_cache), conv_backward_fast(naive, fast_cache), strict=True):
        assert np.allclose(one, other, rtol=1e-10, atol=1e-10)


@BOTH
def test_float32_stays_float32(forward: Any, backward: Any) -> None:
    x, w, b, param = inputs(SHAPES[3])
    out, cache = forward(*(a.astype(np.float32) for a in (x, w, b)), param)
    assert [a.dtype for a in (out, *backward(out, cache))] == [np.float32] * 4


@BOTH
def test_whole_numbers_with_a_fractional_bias(forward: Any, backward: Any) -> None:
    out, _ = forward(np.ones((1, 1, 2, 2), int), np.ones((1, 1, 2, 2), int), np.array([0.5]), {"stride": 1, "pad": 0})
    assert out.tolist() == [[[[4.5]]]]


@BOTH
def test_no_image_gives_no_output(forward: Any, backward: Any) -> None:
    out, cache = forward(np.zeros((0, 3, 8, 8)), np.ones((2, 3, 5, 5)), np.zeros(2), {"stride": 1, "pad": 2})
    assert out.shape == (0, 2, 8, 8)
    dx, dw, db = backward(out, cache)
    assert dx.shape == (0, 3, 8, 8)
    assert not dw.any()
    assert not db.any()


@BOTH
def test_the_arguments_are_left_alone(forward: Any, backward: Any) -> None:
    x, w, b, param = inputs(SHAPES[0])
    before = [a.copy() for a in (x, w, b)]
    out, cache = forward(x, w, b, param)
    backward(out, cache)
    assert all(np.array_equal(a, c) for a, c in zip((x, w, b), before, strict=True))


@BOTH
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": np.zeros((3, 5, 5))}, r"x: found shape \(3, 5, 5\), wanted \(N, C, H, W\)"),
        ({"x": np.zeros((1, 3, 5, 5), complex)}, "x: found dtype complex128, wanted real numbers"),
        ({"w": np.zeros((2, 4, 3, 3))}, r"w: found shape \(2, 4, 3, 3\), wanted \(F, 3, HH, WW\)"),
        ({"w": np.zeros((2, 3, 8, 3))}, r"w: found filters of \(8, 3\), wanted \(1, 1\) to \(7, 7\)"),
        ({"w": np.zeros((2, 3, 0, 3))}, r"w: found filters of \(0, 3\)"),
        ({"b": np.zeros(3)}, r"b: found shape \(3,\), wanted \(2,\)"),
        ({"conv_param": {"stride": 1}}, "conv_param: found .*wanted 'stride' and 'pad'"),
        ({"conv_param": {"stride": 0, "pad": 1}}, r"conv_param\['stride'\]: found 0, wanted a whole number of at le"),
        ({"conv_param": {"stride": 1, "pad": -1}}, r"conv_param\['pad'\]: found -1"),
        ({"conv_param": {"stride": 1, "pad": 0.5}}, r"conv_param\['pad'\]: found 0.5"),
    ],
)
def test_what_does_not_fit_is_named(changes: dict[str, Any], message: str, forward: Any, backward: Any) -> None:
    x, w, b, param = inputs(SHAPES[0])
    arguments = {"x": x, "w": w, "b": b, "conv_param": param} | changes
    with pytest.raises(ValueError, match=message):
        forward(**arguments)


@BOTH
def test_an_upstream_gradient_of_another_shape_is_named(forward: Any, backward: Any) -> None:
    _, cache = forward(*inputs(SHAPES[0]))
    with pytest.raises(ValueError, match=r"dout: found shape \(2, 2, 4, 4\), wanted \(2, 2, 5, 5\)"):
        backward(np.zeros((2, 2, 4, 4)), cache)
