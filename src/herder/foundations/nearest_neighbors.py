"""k nearest neighbours: a sample gets the class that most of its k closest training samples have.

Cover and Hart 1967, https://doi.org/10.1109/TIT.1967.1053964. Training is remembering; all work is done at prediction.
The distance is Euclidean, in three versions that give the same numbers: two loops, one loop, no loop.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from herder.foundations.arguments import Array, check_choice, check_shape, check_whole
from herder.foundations.distances import Points, pairwise_distances

BLOCK_DISTANCES = 2**25
"""Distances held at a time while predicting: 256 MB."""


class KNearestNeighbor:
    """A k-nearest-neighbour classifier.

    >>> knn = KNearestNeighbor()
    >>> knn.train(np.array([[0.0], [1.0], [10.0]]), np.array([0, 0, 1]))
    >>> knn.predict(np.array([[2.0], [9.0]]), k=1).tolist()
    [0, 1]
    """

    def __init__(self) -> None:
        self.X_train: Array = np.zeros((0, 0))
        self.y_train: NDArray[np.integer[Any]] = np.zeros(0, np.int64)
        self._points: Points | None = None

    def train(self, X: Array, y: Array) -> None:
        """Remember the training samples X (N, D) and their labels y (N,), whole numbers."""
        X = check_shape("X", X, "N", "D")
        if not len(X):
            raise ValueError(f"X: found shape {X.shape}, wanted (N, D) with N of at least 1")
        y = np.asarray(y)
        if y.shape != (len(X),) or y.dtype.kind not in "iu":
            raise ValueError(f"y: found shape {y.shape} of {y.dtype}, wanted ({len(X)},) of whole numbers")
        # Pixels are often uint8, in which 1 - 2 is 255.
        self.X_train = X if X.dtype.kind == "f" else X.astype(np.float64)
        self.y_train = y

    def predict(self, X: Array, k: int = 1, num_loops: int = 0) -> NDArray[np.integer[Any]]:
        """Predict labels (M,) of the test samples X (M, D) with the distances of that many loops: 0, 1 or 2.

        Without loops, samples are taken in blocks, so that memory stays bounded however many there are.
        """
        check_choice("num_loops", num_loops, (0, 1, 2))
        X = self._checked(X)
        self._check_k(k, len(self.X_train))
        if num_loops == 1:
            return self.predict_labels(self.compute_distances_one_loop(X), k)
        if num_loops == 2:
            return self.predict_labels(self.compute_distances_two_loops(X), k)
        length = max(1, BLOCK_DISTANCES // len(self.X_train))
        blocks = [X[i : i + length] for i in range(0, max(1, len(X)), length)]
        return np.concatenate([self.predict_labels(self.compute_distances_no_loops(block), k) for block in blocks])

    def compute_distances_two_loops(self, X: Array) -> NDArray[np.float64]:
        """Distances (M, N) of test samples X (M, D) to the N training samples: one pair at a time."""
        X = self._checked(X)
        dists = np.zeros((len(X), len(self.X_train)))
        for i in range(len(X)):
            for j in range(len(self.X_train)):
                dists[i, j] = np.sqrt(np.sum((X[i] - self.X_train[j]) ** 2))
        return dists

    def compute_distances_one_loop(self, X: Array) -> NDArray[np.float64]:
        """The same distances (M, N): one test sample at a time against all training samples."""
        X = self._checked(X)
        dists = np.zeros((len(X), len(self.X_train)))
        for i in range(len(X)):
            dists[i] = np.sqrt(np.sum((X[i] - self.X_train) ** 2, axis=1))
        return dists

    def compute_distances_no_loops(self, X: Array) -> NDArray[np.float64]:
        """The same distances (M, N) by a matrix product; ``distances`` tells how it keeps them accurate."""
        X = self._checked(X)
        if self._points is None or self._points.rows is not self.X_train:
            self._points = Points(self.X_train)
        return pairwise_distances(X, self._points)

    def predict_labels(self, dists: Array, k: int = 1) -> NDArray[np.integer[Any]]:
        """Vote: labels (M,) from distances (M, N) to the training samples.

        Of labels with equally many votes the smallest wins; of samples equally far away the one trained first counts.
        """
        dists = check_shape("dists", dists, "M", len(self.y_train))
        k = self._check_k(k, len(self.y_train))
        classes, class_of = np.unique(self.y_train, return_inverse=True)
        labels: NDArray[np.integer[Any]] = classes[_votes(class_of[nearest(dists, k)], len(classes)).argmax(axis=1)]
        return labels

    def _checked(self, X: Array) -> Array:
        if not len(self.X_train):
            raise ValueError("X: nothing was trained yet; call train(X, y) first")
        X = check_shape("X", X, "M", self.X_train.shape[1])
        return X if X.dtype.kind == "f" else X.astype(np.float64)

    @staticmethod
    def _check_k(k: int, trained: int) -> int:
        return check_whole("k", k, 1, trained)


def nearest(dists: Array, k: int) -> NDArray[np.intp]:
    """Columns (M, k) of the k smallest distances of each row of dists (M, N), nearest first, earlier before later.

    >>> nearest(np.array([[3.0, 1.0, 3.0, 2.0]]), 3).tolist()
    [[1, 3, 0]]
    """
    M, N = dists.shape
    chosen = np.argpartition(dists, k - 1, axis=1)[:, :k] if k < N else np.tile(np.arange(N), (M, 1))
    chosen.sort(axis=1)
    values = np.take_along_axis(dists, chosen, axis=1)  # (M, k)
    # A partition may take any of those that tie for the last place; these few rows are sorted whole.
    last = values.max(axis=1, keepdims=True)
    tied = np.flatnonzero((dists == last).sum(axis=1) > (values == last).sum(axis=1))
    if len(tied):
        chosen[tied] = np.argsort(dists[tied], axis=1, kind="stable")[:, :k]
        values[tied] = np.take_along_axis(dists[tied], chosen[tied], axis=1)
    return np.take_along_axis(chosen, np.argsort(values, axis=1, kind="stable"), axis=1)


def cross_validate_k(
    X: Array, y: Array, k_choices: Sequence[int], num_folds: int = 5, seed: int | None = None
) -> dict[int, list[float]]:
    """Accuracy of each k on each fold: every fold is once the test set and the others train.

    X: (N, D). y: (N,). With a ``seed`` the samples are shuffled first, without one folds are cut in their order.
    Distances are computed once a fold, for all k together. Raises ValueError for a k larger than the folds' training
    set.

    >>> X, y = np.array([[0.0], [0.1], [5.0], [5.1]]), np.array([0, 0, 1, 1])
    >>> cross_validate_k(X, y, [1], num_folds=4)
    {1: [1.0, 1.0, 1.0, 1.0]}
    """
    X = check_shape("X", X, "N", "D")
    y = np.asarray(y)
    check_whole("num_folds", num_folds, 2, len(X))
    if not k_choices:
        raise ValueError("k_choices: found none, wanted at least one k")
    accuracies: dict[int, list[float]] = {int(k): [] for k in k_choices}
    for training, test in _folds(len(X), num_folds, seed):
        knn = KNearestNeighbor()
        knn.train(X[training], y[training])
        dists = knn.compute_distances_no_loops(X[test])
        for k, scores in accuracies.items():
            scores.append(float((knn.predict_labels(dists, k) == y[test]).mean()))
    return accuracies


def best_k(accuracies: dict[int, list[float]]) -> int:
    """The k with the highest mean accuracy; the smaller one where two are equal.

    >>> best_k({1: [0.5, 0.7], 3: [0.8, 0.8], 5: [0.8, 0.8]})
    3
    """
    return min(accuracies, key=lambda k: (-float(np.mean(accuracies[k])), k))


def _folds(count: int, folds: int, seed: int | None) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    order = np.arange(count) if seed is None else np.random.default_rng(seed).permutation(count)
    parts = np.array_split(order, folds)
    for i, test in enumerate(parts):
        yield np.concatenate(parts[:i] + parts[i + 1 :]), test


def _votes(labels: NDArray[np.intp], num_classes: int) -> NDArray[np.intp]:
    """How often each class stands in each row of labels (M, k): counts (M, C)."""
    M = len(labels)
    flat = (labels + num_classes * np.arange(M)[:, None]).ravel()
    return np.bincount(flat, minlength=M * num_classes).reshape(M, num_classes)
