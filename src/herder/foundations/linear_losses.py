"""The softmax and the multiclass SVM loss of a linear classifier, each twice: with loops to read, with matrices to use.

Notation: N samples, D features, C classes. X (N, D) holds one sample a row, W (D, C) one class a column, y (N,) the
right class of each sample. The scores are s = X W, (N, C).

    softmax   L = 1/N sum_i ( log sum_c exp(s_ic) - s_iy )                     + reg sum(W^2)
    SVM       L = 1/N sum_i sum_{c != y} max(0, s_ic - s_iy + 1)               + reg sum(W^2)

where s_iy is the score of sample i's right class. The penalty is reg * sum(W^2), without a half, so its gradient is
2 reg W. The SVM is that of Weston and Watkins
(https://www.esann.org/sites/default/files/proceedings/legacy/es1999-461.pdf); the softmax loss is the cross entropy of
multinomial logistic regression.

All four functions take ``(W, X, y, reg)`` and return ``(loss, dW)`` with dW (D, C) = dL/dW. They raise ValueError for
shapes that do not fit, a dtype without real numbers, labels outside 0..C-1 and a negative ``reg``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from herder.foundations.arguments import Array, check_batch, check_labels, check_shape
from herder.foundations.hyperparameters import check_real


def softmax_loss_naive(W: Array, X: Array, y: Array, reg: float) -> tuple[float, Array]:
    """Softmax loss and its gradient, one sample and one class at a time.

    >>> loss, dW = softmax_loss_naive(np.zeros((4, 10)), np.ones((2, 4)), np.array([3, 7]), reg=0.0)
    >>> round(loss, 4), dW.shape  # ten classes that look the same: log(10)
    (2.3026, (4, 10))
    """
    W, X, y = _checked(W, X, y, reg)
    num_train, num_classes = len(X), W.shape[1]
    loss, dW = 0.0, np.zeros_like(W)
    for i in range(num_train):
        scores = X[i] @ W  # (C,)
        scores = scores - scores.max()  # softmax does not change, and exp() cannot overflow
        exp_scores = np.exp(scores)  # (C,)
        total = exp_scores.sum()
        loss += float(np.log(total) - scores[y[i]])
        for c in range(num_classes):
            # dL_i/ds_c = p_c - [c is the right class], and ds_c/dW[:, c] = X[i]
            dW[:, c] += (exp_scores[c] / total - (c == y[i])) * X[i]  # (D,)
    return _with_penalty(loss / num_train, dW / num_train, W, reg)


def softmax_loss_vectorized(W: Array, X: Array, y: Array, reg: float) -> tuple[float, Array]:
    """Softmax loss and its gradient without a loop; equal to ``softmax_loss_naive`` but for rounding.

    >>> loss, dW = softmax_loss_vectorized(np.zeros((4, 10)), np.ones((2, 4)), np.array([3, 7]), reg=0.0)
    >>> round(loss, 4), dW.shape
    (2.3026, (4, 10))
    """
    W, X, y = _checked(W, X, y, reg)
    num_train = len(X)
    rows = np.arange(num_train)
    scores = X @ W  # (N, C)
    scores -= scores.max(axis=1, keepdims=True)
    exp_scores = np.exp(scores)  # (N, C)
    totals = exp_scores.sum(axis=1)  # (N,)
    loss = float((np.log(totals) - scores[rows, y]).mean())
    dscores = exp_scores / totals[:, None]  # (N, C): the probabilities ...
    dscores[rows, y] -= 1  # ... less one at the right class
    dW = X.T @ dscores / num_train  # (D, C)
    return _with_penalty(loss, dW, W, reg)


def svm_loss_naive(W: Array, X: Array, y: Array, reg: float) -> tuple[float, Array]:
    """Multiclass hinge loss with margin 1 and its gradient, one sample and one class at a time.

    >>> loss, dW = svm_loss_naive(np.zeros((4, 10)), np.ones((2, 4)), np.array([3, 7]), reg=0.0)
    >>> loss, dW.shape  # nine wrong classes, each short of the whole margin
    (9.0, (4, 10))
    """
    W, X, y = _checked(W, X, y, reg)
    num_train, num_classes = len(X), W.shape[1]
    loss, dW = 0.0, np.zeros_like(W)
    for i in range(num_train):
        scores = X[i] @ W  # (C,)
        for c in range(num_classes):
            margin = scores[c] - scores[y[i]] + 1
            if c != y[i] and margin > 0:
                loss += float(margin)
                dW[:, c] += X[i]
                dW[:, y[i]] -= X[i]
    return _with_penalty(loss / num_train, dW / num_train, W, reg)


def svm_loss_vectorized(W: Array, X: Array, y: Array, reg: float) -> tuple[float, Array]:
    """Multiclass hinge loss and its gradient without a loop; equal to ``svm_loss_naive`` but for rounding.

    >>> loss, dW = svm_loss_vectorized(np.zeros((4, 10)), np.ones((2, 4)), np.array([3, 7]), reg=0.0)
    >>> loss, dW.shape
    (9.0, (4, 10))
    """
    W, X, y = _checked(W, X, y, reg)
    num_train = len(X)
    rows = np.arange(num_train)
    scores = X @ W  # (N, C)
    margins = np.maximum(0, scores - scores[rows, y][:, None] + 1)  # (N, C)
    margins[rows, y] = 0
    loss = float(margins.sum() / num_train)
    dscores = (margins > 0).astype(W.dtype)  # (N, C): each margin that counts pulls its class down ...
    dscores[rows, y] = -dscores.sum(axis=1)  # ... and lifts the right class once
    dW = X.T @ dscores / num_train  # (D, C)
    return _with_penalty(loss, dW, W, reg)


def _with_penalty(loss: float, dW: Array, W: Array, reg: float) -> tuple[float, Array]:
    """Add reg * sum(W^2) to the data loss, and its gradient."""
    return loss + float(reg * np.sum(W * W)), dW + 2 * reg * W


def _checked(W: Array, X: Array, y: Array, reg: float) -> tuple[Array, Array, NDArray[np.integer[Any]]]:
    W = check_shape("W", W, "D", "C")
    if W.dtype.kind != "f":
        raise ValueError(f"W: found dtype {W.dtype}, wanted floating point, such as float64")
    X = check_shape("X", check_batch("X", X), "N", W.shape[0])
    check_real("reg", reg, 0)
    return W, X.astype(np.result_type(W, X), copy=False), check_labels("y", y, len(X), W.shape[1])
