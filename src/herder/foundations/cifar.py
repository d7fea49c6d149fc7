"""CIFAR-10 from a local folder of the published Python batches: 60,000 colour images of 32 x 32 pixels in ten classes.

Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009; https://www.cs.toronto.edu/~kriz/cifar.html,
"CIFAR-10 python version". The folder ``cifar-10-batches-py`` holds ``data_batch_1`` to ``data_batch_5`` and
``test_batch``. A batch is a pickled dict: ``b"data"`` (N, 3072) uint8, each row the red, the green and the blue plane
of one image, each row by row; ``b"labels"`` a list of N whole numbers from 0 to 9. The pickle is read as data and can
run nothing (``cifar_pickle``).

A file that is missing, too large, damaged or not a batch raises DataError, which names it; an argument that does not
fit raises ValueError.
"""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from herder.errors import DataError
from herder.foundations.arguments import Array, check_whole
from herder.foundations.cifar_pickle import read_data_pickle

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
"""Names of the labels 0 to 9."""

FOLDER = "cifar-10-batches-py"
"""Name of the folder inside the published archive."""

SIZE_LIMIT = 64 * 1024 * 1024
"""Bytes that a batch may have; the published ones have 31 million."""

_TRAIN_FILES = tuple(f"data_batch_{number}" for number in range(1, 6))
_HINT = f"unpack cifar-10-python.tar.gz again, and name its folder {FOLDER}"


def load_CIFAR_batch(filename: str | os.PathLike[str], dtype: DTypeLike = np.float64) -> tuple[Array, Array]:
    """Read one batch: images (N, 32, 32, 3) RGB with values 0 to 255, and labels (N,) from 0 to 9."""
    rows, labels = _read_batch(Path(filename))
    return _as_images(rows).astype(dtype), labels


def load_CIFAR10(ROOT: str | os.PathLike[str], dtype: DTypeLike = np.float64) -> tuple[Array, Array, Array, Array]:
    """Read the five training batches and the test batch from folder ``ROOT`` (or ``ROOT``/cifar-10-batches-py).

    Returns X_train (50000, 32, 32, 3), y_train (50000,), X_test (10000, 32, 32, 3), y_test (10000,); values 0 to 255.
    In float64 that takes 1.5 GB; ``dtype=np.float32`` halves it, and np.uint8 needs an eighth.
    """
    rows, y_train, test_rows, y_test = _read_folder(Path(ROOT))
    return _as_images(rows).astype(dtype), y_train, _as_images(test_rows).astype(dtype), y_test


def get_CIFAR10_data(
    folder: str | os.PathLike[str],
    num_training: int = 49000,
    num_validation: int = 1000,
    num_test: int = 1000,
    subtract_mean: bool = True,
    dtype: DTypeLike = np.float64,
) -> dict[str, Array]:
    """Read CIFAR-10 and split it for a Solver: the first ``num_training`` training images, the ``num_validation`` after
    them, and the first ``num_test`` test images.

    Returns ``X_train``, ``X_val``, ``X_test`` (N, 3, 32, 32), channels first, and ``y_train``, ``y_val``, ``y_test``
    (N,). ``subtract_mean`` takes the mean training image off all three, so that values lie around 0; ``dtype`` must
    then be a floating one.
    """
    rows, labels, test_rows, test_labels = _read_folder(Path(folder))
    check_whole("num_training", num_training, 1, len(rows))
    check_whole("num_validation", num_validation, 0, len(rows) - num_training)
    check_whole("num_test", num_test, 0, len(test_rows))
    if subtract_mean and np.dtype(dtype).kind != "f":
        raise ValueError(f"dtype: found {np.dtype(dtype)}, wanted floating point where the mean is subtracted")
    train, val = slice(num_training), slice(num_training, num_training + num_validation)
    chosen = {"train": rows[train], "val": rows[val], "test": test_rows[:num_test]}  # (N, 3072) each
    mean = chosen["train"].mean(axis=0, dtype=np.float64)  # (3072,)
    data: dict[str, Array] = {}
    for split, part in chosen.items():
        X = part.astype(dtype)  # (N, 3072)
        if subtract_mean:
            X -= mean.astype(dtype)
        data[f"X_{split}"] = X.reshape(-1, 3, 32, 32)
    return data | {"y_train": labels[train], "y_val": labels[val], "y_test": test_labels[:num_test]}


def _read_folder(root: Path) -> tuple[NDArray[np.uint8], Array, NDArray[np.uint8], Array]:
    """Rows (N, 3072) and labels (N,) of the five training batches together, then of the test batch."""
    if not (root / _TRAIN_FILES[0]).exists() and (root / FOLDER).is_dir():
        root = root / FOLDER
    batches = [_read_batch(root / name) for name in _TRAIN_FILES]
    rows = np.concatenate([batch[0] for batch in batches])
    return rows, np.concatenate([batch[1] for batch in batches]), *_read_batch(root / "test_batch")


def _read_batch(path: Path) -> tuple[NDArray[np.uint8], Array]:
    """Rows (N, 3072) uint8 and labels (N,) of one file."""
    try:
        with path.open("rb") as file:
            content = file.read(SIZE_LIMIT + 1)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file, wanted a batch of CIFAR-10", hint=_HINT) from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})", hint="name a readable folder") from error
    if len(content) > SIZE_LIMIT:
        raise DataError(f"{path}: is larger than {SIZE_LIMIT} bytes, so no batch of CIFAR-10", hint=_HINT)
    try:
        batch = read_data_pickle(content)
    except pickle.UnpicklingError as error:
        raise DataError(f"{path}: is not a batch of CIFAR-10: {error}", hint=_HINT) from error
    return _checked_batch(path, batch)


def _checked_batch(path: Path, batch: Any) -> tuple[NDArray[np.uint8], Array]:
    def field(name: str) -> Any:
        # bytes as published; text where somebody saved it again with Python 3
        return batch.get(name.encode(), batch.get(name)) if isinstance(batch, dict) else None

    rows, labels = field("data"), field("labels")
    if not isinstance(rows, np.ndarray) or rows.ndim != 2 or rows.shape[1] != 3072 or not len(rows):
        found = f"shape {rows.shape}" if isinstance(rows, np.ndarray) else "no array"
        raise DataError(f"{path}: data: found {found}, wanted uint8 (N, 3072)", hint=_HINT)
    fits = isinstance(labels, list) and all(type(label) is int and 0 <= label <= 9 for label in labels)
    if not fits:
        raise DataError(f"{path}: labels: found no list of whole numbers from 0 to 9", hint=_HINT)
    if len(labels) != len(rows):
        raise DataError(f"{path}: found {len(labels)} labels for {len(rows)} images", hint=_HINT)
    return rows, np.array(labels, np.int64)


def _as_images(rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)  # (N, 3072) -> (N, 3, 32, 32) -> (N, 32, 32, 3)
