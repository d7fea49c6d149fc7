"""The pictures of the lessons: CIFAR-10 from a folder, or the handwritten digits that scikit-learn carries.

The test pictures are the same for every seed, and a lesson looks at them once, after all its choices are made on the
validation pictures: a number that chose itself is no test.

Digits: E. Alpaydin and C. Kaynak, 1998, https://doi.org/10.24432/C50P49 (1,797 pictures of 8 x 8 by 13 writers, who
write in training and test alike: unknown handwriting is read a little worse than these numbers say).
CIFAR-10: A. Krizhevsky, 2009, https://www.cs.toronto.edu/~kriz/cifar.html.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from herder.errors import DataError, MissingExtraError
from herder.foundations.cifar import CLASSES, load_CIFAR10

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

DIGIT_VALIDATION, DIGIT_TEST = 240, 360
"""Pictures of the 1,797 that are not trained on."""

CIFAR_TRAINING, CIFAR_VALIDATION, CIFAR_TEST = 5_000, 1_000, 1_000
"""Pictures taken of the 60,000: what a laptop learns from in two minutes."""

TEST_SEED = 231
"""Draws the test pictures, whatever the lesson's seed."""


@dataclass(frozen=True)
class CourseData:
    """Three sets of labelled pictures (N, C, H, W), values 0 to 1 less the mean training picture."""

    name: str
    class_names: tuple[str, ...]
    mean: Floats
    """The mean training picture (C, H, W); add it to a picture to see it."""
    X_train: Floats
    y_train: Labels
    X_val: Floats
    y_val: Labels
    X_test: Floats
    y_test: Labels

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of a picture."""
        channels, height, width = self.mean.shape
        return channels, height, width

    @property
    def dimensions(self) -> int:
        """Numbers in a picture, D = C * H * W."""
        return int(self.mean.size)

    @property
    def large(self) -> bool:
        """Whether a step takes so long that lessons must do with fewer of them."""
        return self.dimensions > 1_000

    def for_solver(self) -> dict[str, Any]:
        """The training and validation set under the names that Solver wants."""
        return {
            "X_train": self.X_train,
            "y_train": self.y_train,
            "X_val": self.X_val,
            "y_val": self.y_val,
        }

    def describe(self) -> str:
        """One line: what it is, how much of it."""
        channels, height, width = self.shape
        colour = "colour" if channels == 3 else "grey"
        return (
            f"{self.name}: {len(self.X_train):,} training, {len(self.X_val):,} validation and {len(self.X_test):,} "
            f"test pictures, {height} x {width} {colour}, {len(self.class_names)} classes"
        )


def course_data(cifar: Path | None = None, seed: int = 0) -> CourseData:
    """Read CIFAR-10 out of the folder ``cifar``, or the digits without one; ``seed`` splits training and validation.

    Raises DataError for a folder that does not hold CIFAR-10, MissingExtraError without scikit-learn (digits only).
    """
    return _digits(seed) if cifar is None else _cifar(cifar, seed)


def as_rows(pictures: Floats) -> Floats:
    """Pictures (N, C, H, W) as rows (N, C * H * W).

    >>> as_rows(np.zeros((5, 3, 4, 4))).shape
    (5, 48)
    """
    return pictures.reshape(len(pictures), -1)


def with_bias(rows: Floats) -> Floats:
    """A column of ones beside (N, D): the last row of a linear classifier's W is then its bias.

    >>> with_bias(np.zeros((2, 3)))[0]
    array([0., 0., 0., 1.])
    """
    return np.hstack([rows, np.ones((len(rows), 1))])


def _digits(seed: int) -> CourseData:
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise MissingExtraError("the handwritten digits", "learn") from None
    found = load_digits()
    pictures = np.asarray(found.images, np.float64)[:, None] / 16  # (1797, 1, 8, 8)
    labels = np.asarray(found.target, np.int64)  # (1797,)
    order = np.random.default_rng(TEST_SEED).permutation(len(pictures))
    test, rest = order[:DIGIT_TEST], np.random.default_rng(seed).permutation(order[DIGIT_TEST:])
    validation, training = rest[:DIGIT_VALIDATION], rest[DIGIT_VALIDATION:]
    parts = [(pictures[chosen], labels[chosen]) for chosen in (training, validation, test)]
    return _centred("handwritten digits", tuple("0123456789"), parts)


def _cifar(folder: Path, seed: int) -> CourseData:
    X, y, X_test, y_test = load_CIFAR10(folder, dtype=np.uint8)  # (50000, 32, 32, 3), (50000,), ...
    rest = np.random.default_rng(seed).permutation(len(X))
    # A folder with fewer pictures than the published one still leaves most of them to train on.
    validation = rest[: min(CIFAR_VALIDATION, len(X) // 5)]
    training = rest[len(validation) :][:CIFAR_TRAINING]
    test = np.random.default_rng(TEST_SEED).permutation(len(X_test))[:CIFAR_TEST]
    if not (len(validation) and len(training) and len(test)):
        raise DataError(
            f"{folder}: {len(X)} training and {len(X_test)} test pictures are too few",
            hint="unpack cifar-10-python.tar.gz again",
        )
    parts = [
        (np.asarray(pictures[chosen], np.float64).transpose(0, 3, 1, 2) / 255, np.asarray(labels[chosen], np.int64))
        for pictures, labels, chosen in ((X, y, training), (X, y, validation), (X_test, y_test, test))
    ]  # each (N, 3, 32, 32)
    return _centred("CIFAR-10", CLASSES, parts)


def _centred(name: str, class_names: tuple[str, ...], parts: list[tuple[Floats, Labels]]) -> CourseData:
    """Subtract the mean of the training pictures, the only ones that may be looked at, from all three sets."""
    (X_train, y_train), (X_val, y_val), (X_test, y_test) = parts
    mean = X_train.mean(axis=0)  # (C, H, W)
    return CourseData(name, class_names, mean, X_train - mean, y_train, X_val - mean, y_val, X_test - mean, y_test)
