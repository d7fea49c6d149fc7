"""Linear classifiers: the class with the highest score X W wins; W is learned by stochastic gradient descent.

    repeat:  draw a batch of samples;  W <- W - learning_rate * dL/dW on that batch

Notation: N samples, D features, C classes; X (N, D), y (N,), W (D, C). A bias is a last column of ones in X.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from herder.foundations.arguments import Array, check_batch, check_labels, check_shape, check_whole
from herder.foundations.hyperparameters import check_real
from herder.foundations.linear_losses import softmax_loss_vectorized, svm_loss_vectorized


class LinearClassifier(ABC):
    """What ``LinearSVM`` and ``Softmax`` share; they differ in ``loss`` alone.

    ``W`` (D, C) is empty until ``train``, which makes it for the features of X and the classes 0..max(y), or goes on
    from the W that is there. Everything here raises ValueError for shapes, dtypes, labels and settings that do not
    fit.

    >>> X = np.array([[0.0, 1.0], [1.0, 1.0], [9.0, 1.0], [10.0, 1.0]])  # one feature, and ones for the bias
    >>> model = Softmax()
    >>> history = model.train(X, np.array([0, 0, 1, 1]), learning_rate=0.5, num_iters=200, seed=0)
    >>> len(history), history[0] > history[-1], model.predict(X).tolist()
    (200, True, [0, 0, 1, 1])
    """

    def __init__(self) -> None:
        self.W: Array = np.zeros((0, 0))

    @abstractmethod
    def loss(self, X_batch: Array, y_batch: Array, reg: float) -> tuple[float, Array]:
        """Loss of a batch (N, D) with labels (N,), and its gradient (D, C) in W."""

    def train(
        self,
        X: Array,
        y: Array,
        learning_rate: float = 1e-3,
        reg: float = 1e-5,
        num_iters: int = 100,
        batch_size: int = 200,
        verbose: bool = False,
        seed: int | None = None,
    ) -> list[float]:
        """Take ``num_iters`` steps of gradient descent on batches of X (N, D), y (N,); return the loss of each step.

        A batch is drawn with replacement, so that it may be larger than the training set. The same ``seed`` gives the
        same W again; None draws anew. ``verbose`` prints the loss every 100 steps.
        """
        X = check_shape("X", check_batch("X", X), "N", self.W.shape[0] if self.W.size else "D")
        num_train, dim = X.shape
        y = np.asarray(y)
        found = int(y.max(initial=0)) + 1 if y.dtype.kind in "iu" else 1
        num_classes = self.W.shape[1] if self.W.size else found
        y = check_labels("y", y, num_train, num_classes)
        check_real("learning_rate", learning_rate, 0)
        check_whole("num_iters", num_iters, 0)
        check_whole("batch_size", batch_size, 1)
        rng = np.random.default_rng(seed)
        if not self.W.size:
            dtype = X.dtype if X.dtype.kind == "f" else np.dtype(np.float64)
            self.W = 0.001 * rng.standard_normal((dim, num_classes)).astype(dtype)  # (D, C)

        loss_history = []
        for iteration in range(num_iters):
            batch = rng.integers(num_train, size=batch_size)  # (B,)
            loss, grad = self.loss(X[batch], y[batch], reg)  # grad (D, C)
            loss_history.append(loss)
            self.W = self.W - learning_rate * grad
            if verbose and iteration % 100 == 0:
                print(f"iteration {iteration} / {num_iters}: loss {loss:f}")
        return loss_history

    def predict(self, X: Array) -> Array:
        """The class of each row of X (N, D): (N,) whole numbers. Equal scores go to the smaller class."""
        W = self._weights()
        X = check_shape("X", X, "N", W.shape[0])
        labels: Array = np.argmax(X @ W, axis=1)  # (N, C) -> (N,)
        return labels

    def _weights(self) -> Array:
        if not self.W.size:
            raise ValueError("W: found no weights, wanted (D, C): call train first, or set W")
        return self.W


class LinearSVM(LinearClassifier):
    """A linear classifier with the multiclass hinge loss (see ``svm_loss_vectorized``)."""

    def loss(self, X_batch: Array, y_batch: Array, reg: float) -> tuple[float, Array]:
        """Hinge loss of a batch (N, D) with labels (N,), and its gradient (D, C) in W."""
        return svm_loss_vectorized(self._weights(), X_batch, y_batch, reg)


class Softmax(LinearClassifier):
    """A linear classifier with the softmax loss (see ``softmax_loss_vectorized``)."""

    def loss(self, X_batch: Array, y_batch: Array, reg: float) -> tuple[float, Array]:
        """Cross entropy of a batch (N, D) with labels (N,), and its gradient (D, C) in W."""
        return softmax_loss_vectorized(self._weights(), X_batch, y_batch, reg)
