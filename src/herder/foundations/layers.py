"""The layers of a plain network, forward and backward: affine, ReLU, and two losses that end it.

A layer is a pair of functions. Forward returns its output and a cache; backward takes the upstream gradient,
dL/d(out), and that cache, and returns dL/d(input) for each input, by the chain rule. A network is layers called in
order, and their backward functions in reverse: back-propagation (Rumelhart, Hinton and Williams,
https://doi.org/10.1038/323533a0).

Notation: N samples, D features, M outputs, C classes. Every function raises ValueError for shapes and dtypes that do
not fit.
"""

from __future__ import annotations

import math

import numpy as np

from herder.foundations.arguments import Array, check_batch, check_labels, check_numbers, check_shape

AffineCache = tuple[Array, Array, Array]
"""What ``affine_forward`` leaves for the backward pass: x, w, b."""


def affine_forward(x: Array, w: Array, b: Array) -> tuple[Array, AffineCache]:
    """A fully connected layer: out = x w + b, each sample's axes laid out in one row.

    x: (N, d_1, ..., d_k) with d_1 * ... * d_k = D. w: (D, M). b: (M,). Returns out (N, M) and the cache.

    >>> out, cache = affine_forward(np.ones((1, 2, 2)), np.full((4, 3), 0.5), np.array([0.0, 1.0, 2.0]))
    >>> out
    array([[2., 3., 4.]])
    """
    x = check_batch("x", x)
    w = check_shape("w", w, math.prod(x.shape[1:]), "M")
    b = check_shape("b", b, w.shape[1])
    rows = x.reshape(len(x), -1)  # (N, D)
    return rows @ w + b, (x, w, b)  # (N, M)


def affine_backward(dout: Array, cache: AffineCache) -> tuple[Array, Array, Array]:
    """The gradients dx (of the shape of x), dw (D, M), db (M,) for the upstream gradient dout (N, M).

    dx = dout w^T,   dw = x^T dout,   db = sum of dout over the samples
    """
    x, w, _ = cache
    dout = check_shape("dout", dout, len(x), w.shape[1])
    rows = x.reshape(len(x), -1)  # (N, D)
    dx = (dout @ w.T).reshape(x.shape)  # (N, D) -> (N, d_1, ..., d_k)
    return dx, rows.T @ dout, dout.sum(axis=0)


def relu_forward(x: Array) -> tuple[Array, Array]:
    """The rectified linear unit, max(0, x), value by value. x: any shape. Returns out of that shape, and the cache.

    >>> relu_forward(np.array([-1.0, 0.0, 2.0]))[0]
    array([0., 0., 2.])
    """
    x = check_numbers("x", x)
    return np.maximum(x, 0), x


def relu_backward(dout: Array, cache: Array) -> Array:
    """The gradient dx: dout where x was above 0, 0 elsewhere. At 0 itself ReLU has no derivative; 0 is the custom."""
    x = cache
    dout = check_shape("dout", dout, *x.shape)
    return dout * (x > 0)


def softmax_loss(x: Array, y: Array) -> tuple[float, Array]:
    """Softmax and cross entropy: how surprised the scores are by the right classes, averaged over the samples.

    p_ij = exp(x_ij) / sum_k exp(x_ik),   L = -1/N sum_i log p_i,y_i,   dL/dx_ij = (p_ij - [j = y_i]) / N

    x: scores (N, C). y: classes (N,), whole numbers from 0 to C - 1. Returns the loss and dx (N, C).

    >>> loss, dx = softmax_loss(np.zeros((1, 4)), np.array([2]))  # all classes alike: the loss is log(4)
    >>> round(loss, 6), dx.tolist()
    (1.386294, [[0.25, 0.25, -0.75, 0.25]])
    """
    x, y = _check_scores(x, y)
    rows = np.arange(len(x))
    shifted = x - x.max(axis=1, keepdims=True)  # (N, C): p does not change, and exp() cannot overflow
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))  # (N, C)
    dx = np.exp(log_p)  # (N, C): p
    dx[rows, y] -= 1
    return float(-log_p[rows, y].mean()), dx / len(x)


def svm_loss(x: Array, y: Array) -> tuple[float, Array]:
    """The multiclass hinge loss of a support vector machine: the right score must lead every other by a margin of 1.

    L = 1/N sum_i sum_(j != y_i) max(0, x_ij - x_i,y_i + 1)

    Weston and Watkins, https://www.esann.org/sites/default/files/proceedings/legacy/es1999-461.pdf
    (``torch.nn.functional.multi_margin_loss`` divides it by C). x: scores (N, C). y: classes (N,), whole numbers from 0
    to C - 1. Returns the loss and dx (N, C): 1/N at each class within the margin, minus their sum at the right class.

    >>> loss, dx = svm_loss(np.array([[3.0, 2.5, 1.0]]), np.array([0]))
    >>> loss, dx.tolist()
    (0.5, [[-1.0, 1.0, 0.0]])
    """
    x, y = _check_scores(x, y)
    rows = np.arange(len(x))
    margins = np.maximum(0, x - x[rows, y][:, None] + 1)  # (N, C)
    margins[rows, y] = 0
    dx = (margins > 0).astype(x.dtype)  # (N, C)
    dx[rows, y] = -dx.sum(axis=1)
    return float(margins.sum() / len(x)), dx / len(x)


def _check_scores(x: Array, y: Array) -> tuple[Array, Array]:
    """Scores as floating point (differences of unsigned numbers would wrap around) and labels that fit them."""
    x = check_shape("x", check_batch("x", x), "N", "C")
    return x.astype(np.result_type(x, np.float32)), check_labels("y", y, len(x), x.shape[1])
