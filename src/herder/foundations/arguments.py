"""Checks of arguments: each raises a ValueError that names the argument, what was found and what is wanted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
"""An array of real numbers; float64 where gradients are checked."""

Length = int | str
"""One axis of a wanted shape: just this length, or a name for any length."""


def check_shape(name: str, value: Any, *wanted: Length) -> Array:
    """Return ``value`` as an array of real numbers of the wanted shape; a text stands for an axis of any length.

    >>> check_shape("x", np.zeros((2, 3)), "N", 3).shape
    (2, 3)
    >>> check_shape("x", np.zeros((2, 3)), "N", 4)
    Traceback (most recent call last):
    ValueError: x: found shape (2, 3), wanted (N, 4)
    """
    array = check_numbers(name, value)
    fits = array.ndim == len(wanted) and all(
        isinstance(want, str) or have == want for have, want in zip(array.shape, wanted, strict=True)
    )
    if not fits:
        raise ValueError(f"{name}: found shape {array.shape}, wanted {_written(wanted)}")
    return array


def check_numbers(name: str, value: Any) -> Array:
    """Return ``value`` as an array of real numbers, of any shape.

    >>> check_numbers("x", np.array(["a"]))
    Traceback (most recent call last):
    ValueError: x: found dtype <U1, wanted real numbers
    """
    try:
        array = np.asarray(value)
    except ValueError as error:  # rows of unequal length
        raise ValueError(f"{name}: found no regular array ({error}), wanted real numbers") from None
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name}: found dtype {array.dtype}, wanted real numbers")
    return array


def check_batch(name: str, value: Any) -> Array:
    """Return ``value`` as an array whose first axis counts samples, (N, d_1, ..., d_k), with at least one of them.

    >>> check_batch("x", np.zeros((0, 3)))
    Traceback (most recent call last):
    ValueError: x: found shape (0, 3), wanted (N, ...) with N of at least 1
    """
    array = check_numbers(name, value)
    if array.ndim < 1 or not len(array):
        raise ValueError(f"{name}: found shape {array.shape}, wanted (N, ...) with N of at least 1")
    return array


def check_labels(name: str, value: Any, count: int, num_classes: int) -> NDArray[np.integer[Any]]:
    """Return ``value`` as class labels (count,), whole numbers from 0 to ``num_classes`` - 1.

    >>> check_labels("y", np.array([0, 3]), 2, 3)
    Traceback (most recent call last):
    ValueError: y: found labels from 0 to 3, wanted 0 to 2
    """
    array = np.asarray(value)
    if array.shape != (count,):
        raise ValueError(f"{name}: found shape {array.shape}, wanted ({count},)")
    if array.dtype.kind not in "iu":
        raise ValueError(f"{name}: found dtype {array.dtype}, wanted whole numbers")
    if count and not 0 <= array.min() <= array.max() < num_classes:
        raise ValueError(f"{name}: found labels from {array.min()} to {array.max()}, wanted 0 to {num_classes - 1}")
    return array


def check_choice(name: str, value: Any, choices: Sequence[Any]) -> None:
    """Raise unless ``value`` is one of ``choices``.

    >>> check_choice("mode", "predict", ("train", "test"))
    Traceback (most recent call last):
    ValueError: mode: found 'predict', wanted 'train' or 'test'
    """
    if value not in choices:
        raise ValueError(f"{name}: found {value!r}, wanted {' or '.join(map(repr, choices))}")


def check_whole(name: str, value: Any, low: int, high: int | None = None) -> int:
    """Return ``value`` as a whole number from ``low`` to ``high``, both included.

    >>> check_whole("k", 9, 1, 5)
    Traceback (most recent call last):
    ValueError: k: found 9, wanted a whole number from 1 to 5
    """
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or value < low or (high is not None and value > high):
        wanted = f"of at least {low}" if high is None else f"from {low} to {high}"
        raise ValueError(f"{name}: found {value!r}, wanted a whole number {wanted}")
    return int(value)


def _written(shape: Sequence[Length]) -> str:
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"
