"""A network of two layers, forward and backward in one file: affine, ReLU, affine, softmax.

    h = max(0, X W1 + b1)        hidden layer
    s = h W2 + b2                scores
    L = 1/N sum_i ( log sum_c exp(s_ic) - s_iy ) + 1/2 reg ( sum(W1^2) + sum(W2^2) )

Notation: N samples, D features (``input_size``), H hidden units (``hidden_size``), C classes (``output_size``).
The penalty carries a half, so that its gradient is plainly reg * W (the linear classifiers of ``linear_losses`` have
none); biases are not penalised. The gradient is back-propagation (Rumelhart, Hinton and Williams,
https://doi.org/10.1038/323533a0), written out for this one network.
"""

from __future__ import annotations

from typing import overload

import numpy as np

from herder.foundations.arguments import Array, check_batch, check_labels, check_shape, check_whole
from herder.foundations.hyperparameters import check_real


class TwoLayerNet:
    """Weights ``params["W1"]`` (D, H), ``["b1"]`` (H,), ``["W2"]`` (H, C), ``["b2"]`` (C,) and what is done with them.

    Weights start normal with standard deviation ``std``, biases at zero. The same ``seed`` gives the same weights and
    the same batches again; None draws anew. ``params`` may be set from outside. Every method raises ValueError for
    shapes, dtypes, labels and settings that do not fit.

    >>> X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    >>> y = np.array([0, 1, 1, 0])  # exclusive or: no linear classifier can learn it
    >>> net = TwoLayerNet(input_size=2, hidden_size=16, output_size=2, std=0.5, seed=0)
    >>> loss, grads = net.loss(X, y)
    >>> {name: grad.shape for name, grad in grads.items()}
    {'W1': (2, 16), 'b1': (16,), 'W2': (16, 2), 'b2': (2,)}
    >>> history = net.train(X, y, X, y, learning_rate=0.5, learning_rate_decay=1.0, num_iters=300, batch_size=4)
    >>> net.predict(X).tolist()
    [0, 1, 1, 0]
    """

    def __init__(
        self, input_size: int, hidden_size: int, output_size: int, std: float = 1e-4, seed: int | None = None
    ) -> None:
        for name, size in (("input_size", input_size), ("hidden_size", hidden_size), ("output_size", output_size)):
            check_whole(name, size, 1)
        check_real("std", std, 0)
        self._rng = np.random.default_rng(seed)
        self.params: dict[str, Array] = {
            "W1": std * self._rng.standard_normal((input_size, hidden_size)),
            "b1": np.zeros(hidden_size),
            "W2": std * self._rng.standard_normal((hidden_size, output_size)),
            "b2": np.zeros(output_size),
        }

    @overload
    def loss(self, X: Array, y: None = None, reg: float = 0.0) -> Array: ...
    @overload
    def loss(self, X: Array, y: Array, reg: float = 0.0) -> tuple[float, dict[str, Array]]: ...
    def loss(self, X: Array, y: Array | None = None, reg: float = 0.0) -> Array | tuple[float, dict[str, Array]]:
        """Scores (N, C) of X (N, D) without labels; with labels y (N,), the loss and gradients like ``params``."""
        W1, b1, W2, b2 = self._checked_params()

        # Forward.
        X = check_shape("X", check_batch("X", X), "N", W1.shape[0])
        hidden = np.maximum(0, X @ W1 + b1)  # (N, H)
        scores: Array = hidden @ W2 + b2  # (N, C)
        if y is None:
            return scores

        num_train = len(X)
        y = check_labels("y", y, num_train, W2.shape[1])
        check_real("reg", reg, 0)
        rows = np.arange(num_train)
        shifted = scores - scores.max(axis=1, keepdims=True)  # (N, C): softmax does not change, exp() cannot overflow
        exp_scores = np.exp(shifted)  # (N, C)
        totals = exp_scores.sum(axis=1)  # (N,)
        data_loss = (np.log(totals) - shifted[rows, y]).mean()
        penalty = 0.5 * reg * (np.sum(W1 * W1) + np.sum(W2 * W2))

        # Backward: the same steps from last to first, each by the chain rule.
        dscores = exp_scores / totals[:, None]  # (N, C): dL/ds = (probabilities - one at the right class) / N
        dscores[rows, y] -= 1
        dscores /= num_train
        dhidden = dscores @ W2.T  # (N, H)
        dhidden[hidden <= 0] = 0  # ReLU lets a gradient through only where it let the value through
        grads = {
            "W1": X.T @ dhidden + reg * W1,  # (D, H)
            "b1": dhidden.sum(axis=0),  # (H,)
            "W2": hidden.T @ dscores + reg * W2,  # (H, C)
            "b2": dscores.sum(axis=0),  # (C,)
        }
        return float(data_loss + penalty), grads

    def train(
        self,
        X: Array,
        y: Array,
        X_val: Array,
        y_val: Array,
        learning_rate: float = 1e-3,
        learning_rate_decay: float = 0.95,
        reg: float = 5e-6,
        num_iters: int = 100,
        batch_size: int = 200,
        verbose: bool = False,
    ) -> dict[str, list[float]]:
        """Take ``num_iters`` steps of gradient descent on batches drawn with replacement from X (N, D), y (N,).

        After each epoch the learning rate is multiplied by ``learning_rate_decay``. An epoch is N // batch_size steps,
        at least one. Returns ``loss_history``, a loss each step, and ``train_acc_history`` (on the step's batch) and
        ``val_acc_history`` (on X_val, y_val), an accuracy from 0 to 1 at the first step of each epoch.
        """
        dim, num_classes = self.params["W1"].shape[0], self.params["W2"].shape[1]
        X = check_shape("X", check_batch("X", X), "N", dim)
        y = check_labels("y", y, len(X), num_classes)
        X_val = check_shape("X_val", check_batch("X_val", X_val), "N", dim)
        y_val = check_labels("y_val", y_val, len(X_val), num_classes)
        check_real("learning_rate", learning_rate, 0)
        check_real("learning_rate_decay", learning_rate_decay, 0, open_low=True)
        check_whole("num_iters", num_iters, 0)
        check_whole("batch_size", batch_size, 1)

        iterations_per_epoch = max(len(X) // batch_size, 1)
        history: dict[str, list[float]] = {"loss_history": [], "train_acc_history": [], "val_acc_history": []}
        for iteration in range(num_iters):
            batch = self._rng.integers(len(X), size=batch_size)  # (B,)
            X_batch, y_batch = X[batch], y[batch]  # (B, D), (B,)
            loss, grads = self.loss(X_batch, y_batch, reg)
            history["loss_history"].append(loss)
            for name, grad in grads.items():
                self.params[name] = self.params[name] - learning_rate * grad
            if verbose and iteration % 100 == 0:
                print(f"iteration {iteration} / {num_iters}: loss {loss:f}")
            if iteration % iterations_per_epoch == 0:
                history["train_acc_history"].append(float(np.mean(self.predict(X_batch) == y_batch)))
                history["val_acc_history"].append(float(np.mean(self.predict(X_val) == y_val)))
            if (iteration + 1) % iterations_per_epoch == 0:
                learning_rate *= learning_rate_decay
        return history

    def predict(self, X: Array) -> Array:
        """The class of each row of X (N, D): (N,) whole numbers. Equal scores go to the smaller class."""
        labels: Array = np.argmax(self.loss(X), axis=1)  # (N, C) -> (N,)
        return labels

    def _checked_params(self) -> tuple[Array, Array, Array, Array]:
        """The four arrays, fit for each other: somebody may have set them."""
        missing = [name for name in ("W1", "b1", "W2", "b2") if name not in self.params]
        if missing:
            raise ValueError(f"params: found no {', '.join(missing)}, wanted W1, b1, W2 and b2")
        W1 = check_shape("params['W1']", self.params["W1"], "D", "H")
        b1 = check_shape("params['b1']", self.params["b1"], W1.shape[1])
        W2 = check_shape("params['W2']", self.params["W2"], W1.shape[1], "C")
        b2 = check_shape("params['b2']", self.params["b2"], W2.shape[1])
        return W1, b1, W2, b2
