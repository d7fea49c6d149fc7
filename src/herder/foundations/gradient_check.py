"""Is a gradient right? Compare it with a centred difference, which needs nothing but the function itself.

f'(x) = (f(x + h) - f(x - h)) / 2h + O(h^2). In float64 with h = 1e-5 the error of the formula (about h^2 = 1e-10) and
that of rounding (about 1e-16 / h = 1e-11) are both far below the 1e-7 that a right gradient must reach.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from herder.foundations.arguments import Array, check_shape, check_whole


def rel_error(x: object, y: object) -> float:
    """The largest relative difference of two arrays of one shape: max |x - y| / max(1e-8, |x| + |y|).

    Zero for two empty arrays. Raises ValueError when the shapes differ.

    >>> rel_error(np.array([1.0, 2.0]), np.array([1.0, 2.0]))
    0.0
    """
    first, second = np.asarray(x), np.asarray(y)
    if first.shape != second.shape:
        raise ValueError(f"y: found shape {second.shape}, wanted {first.shape}, the shape of x")
    difference = np.abs(first - second) / np.maximum(1e-8, np.abs(first) + np.abs(second))
    return float(difference.max(initial=0.0))


def eval_numerical_gradient(f: Callable[[Array], float], x: Array, verbose: bool = False, h: float = 1e-5) -> Array:
    """The gradient of a function that gives one number, at ``x``: an array of its shape.

    ``x`` must be float64 and is changed in place while ``f`` is called, so that a function which reads it from
    elsewhere (a network's own weights) sees the step; afterwards it is as before.

    >>> eval_numerical_gradient(lambda x: float((x**2).sum()), np.array([1.0, -3.0])).round(6).tolist()
    [2.0, -6.0]
    """
    _check_double(x, h)
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        above, below = _around(f, x, index, h)
        gradient[index] = (above - below) / (2 * h)
        if verbose:
            print(index, gradient[index])
    return gradient


def eval_numerical_gradient_array(f: Callable[[Array], Array], x: Array, df: Array, h: float = 1e-5) -> Array:
    """The gradient of sum(f(x) * df) at ``x``: what a layer's backward pass gives for the upstream gradient ``df``.

    ``df`` has the shape of f(x). The difference is taken before the sum, so that large outputs which do not depend on
    an input cost no digits. ``x`` is changed in place as in ``eval_numerical_gradient``.

    >>> x, df = np.array([1.0, 2.0]), np.array([1.0, 10.0])
    >>> eval_numerical_gradient_array(lambda x: x**2, x, df).round(6).tolist()
    [2.0, 40.0]
    """
    _check_double(x, h)
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        above, below = _around(f, x, index, h)
        check_shape("df", df, *above.shape)
        gradient[index] = ((above - below) * df).sum() / (2 * h)
    return gradient


def grad_check_sparse(
    f: Callable[[Array], float], x: Array, analytic_grad: Array, num_checks: int = 10, h: float = 1e-5, seed: int = 0
) -> float:
    """Compare a gradient with the numeric one at a few random places, print both, return the largest relative error.

    For weights of many thousand values, where every one would take minutes.
    """
    _check_double(x, h)
    check_shape("analytic_grad", analytic_grad, *x.shape)
    check_whole("num_checks", num_checks, 1)
    rng = np.random.default_rng(seed)
    worst = 0.0
    for _ in range(num_checks):
        index = tuple(int(rng.integers(length)) for length in x.shape)
        above, below = _around(f, x, index, h)
        numeric, analytic = float(above - below) / (2 * h), float(analytic_grad[index])
        error = rel_error(numeric, analytic)
        worst = max(worst, error)
        print(f"numerical: {numeric:f}, analytic: {analytic:f}, relative error: {error:e}")
    return worst


def _around(f: Callable[[Array], Any], x: Array, index: tuple[int, ...], h: float) -> tuple[Array, Array]:
    """f with one value of ``x`` a step above, then a step below; afterwards ``x`` is as before, even if f raises."""
    before = x[index]
    try:
        x[index] = before + h
        above = np.array(f(x))  # a copy, should f return its argument
        x[index] = before - h
        return above, np.array(f(x))
    finally:
        x[index] = before


def _check_double(x: object, h: float) -> None:
    if not isinstance(x, np.ndarray) or x.dtype != np.float64:
        found = x.dtype if isinstance(x, np.ndarray) else type(x).__name__
        raise ValueError(f"x: found {found}, wanted a float64 array: a step of {h} is lost in fewer digits")
    if not h > 0:
        raise ValueError(f"h: found {h}, wanted a step above 0")
