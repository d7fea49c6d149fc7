"""CIFAR-10 from a small folder of the published form."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from herder.errors import DataError
from herder.foundations import cifar
from herder.foundations.cifar import CLASSES, get_CIFAR10_data, load_CIFAR10, load_CIFAR_batch

FILES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]


def batch(seed: int, count: int = 4) -> dict[bytes, Any]:
    rng = np.random.default_rng(seed)
    return {
        b"batch_label": f"batch {seed}".encode(),
        b"labels": rng.integers(0, 10, count).tolist(),
        b"data": rng.integers(0, 256, (count, 3072), np.uint8),
        b"filenames": [b"photo.png"] * count,
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "cifar-10-batches-py"
    root.mkdir()
    for seed, name in enumerate(FILES):
        (root / name).write_bytes(pickle.dumps(batch(seed), protocol=2))
    return root


def test_channels_and_places_of_one_batch(tmp_path: Path) -> None:
    """The published order: 1024 red values, row by row, then green, then blue."""
    rows = np.zeros((2, 3072), np.uint8)
    rows[0, 0], rows[0, 1], rows[0, 32], rows[0, 1024], rows[0, 3071] = 1, 2, 3, 4, 5
    (tmp_path / "batch").write_bytes(pickle.dumps({b"data": rows, b"labels": [3, 9]}))
    X, y = load_CIFAR_batch(str(tmp_path / "batch"))
    assert X.shape == (2, 32, 32, 3)
    assert X.dtype == np.float64
    assert y.tolist() == [3, 9]
    assert CLASSES[y[0]] == "cat"
    assert (X[0, 0, 0, 0], X[0, 0, 1, 0], X[0, 1, 0, 0], X[0, 0, 0, 1], X[0, 31, 31, 2]) == (1, 2, 3, 4, 5)
    assert X.sum() == 15


def test_a_whole_folder_and_its_parent(folder: Path) -> None:
    X_train, y_train, X_test, y_test = load_CIFAR10(folder)
    assert X_train.shape == (20, 32, 32, 3)
    assert X_test.shape == (4, 32, 32, 3)
    for seed in range(5):
        one = batch(seed)
        wanted = one[b"data"].reshape(4, 3, 32, 32).transpose(0, 2, 3, 1)
        np.testing.assert_array_equal(X_train[4 * seed : 4 * seed + 4], wanted)
        assert y_train[4 * seed : 4 * seed + 4].tolist() == one[b"labels"]
    assert y_test.tolist() == batch(5)[b"labels"]
    again = load_CIFAR10(folder.parent, dtype=np.uint8)
    assert again[0].dtype == np.uint8
    np.testing.assert_array_equal(again[2], X_test)


def test_texts_as_keys(tmp_path: Path) -> None:
    (tmp_path / "batch").write_bytes(pickle.dumps({"data": np.zeros((1, 3072), np.uint8), "labels": [1]}))
    assert load_CIFAR_batch(tmp_path / "batch")[1].tolist() == [1]


def test_the_split_for_a_solver(folder: Path) -> None:
    data = get_CIFAR10_data(folder, num_training=15, num_validation=5, num_test=3)
    shapes = {name: value.shape for name, value in data.items()}
    assert shapes == {
        "X_train": (15, 3, 32, 32), "X_val": (5, 3, 32, 32), "X_test": (3, 3, 32, 32),
        "y_train": (15,), "y_val": (5,), "y_test": (3,),
    }  # fmt: skip
    X_train, y_train, X_test, _ = load_CIFAR10(folder)
    channels_first = X_train.transpose(0, 3, 1, 2)
    mean = channels_first[:15].mean(axis=0)
    np.testing.assert_allclose(data["X_train"], channels_first[:15] - mean, atol=1e-10)
    np.testing.assert_allclose(data["X_val"], channels_first[15:] - mean, atol=1e-10)
    np.testing.assert_allclose(data["X_test"], X_test.transpose(0, 3, 1, 2)[:3] - mean, atol=1e-10)
    assert data["y_val"].tolist() == y_train[15:].tolist()


def test_the_split_as_it_is(folder: Path) -> None:
    data = get_CIFAR10_data(folder, 2, 0, 0, subtract_mean=False, dtype=np.float32)
    assert data["X_train"].dtype == np.float32
    assert data["X_val"].shape == data["X_test"].shape == (0, 3, 32, 32)
    np.testing.assert_array_equal(data["X_train"].reshape(2, -1), batch(0)[b"data"][:2])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "num_training: found 49000, wanted a whole number from 1 to 20"),
        ({"num_training": 0}, "num_training: found 0"),
        ({"num_training": 15, "num_validation": 6}, "num_validation: found 6, wanted a whole number from 0 to 5"),
        ({"num_training": 15, "num_validation": 5, "num_test": 5}, "num_test: found 5"),
        ({"num_training": 1, "num_validation": 0, "num_test": 0, "dtype": np.uint8}, "dtype: found uint8"),
    ],
)
def test_splits_that_do_not_fit(folder: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        get_CIFAR10_data(folder, **arguments)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "data_batch_3").unlink()
    with pytest.raises(DataError, match="data_batch_3: no such file") as caught:
        load_CIFAR10(folder)
    assert "unpack" in caught.value.hint
    with pytest.raises(DataError, match="data_batch_1: no such file"):
        load_CIFAR10(folder / "elsewhere")


def test_a_folder_in_the_place_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        load_CIFAR_batch(tmp_path)


class Attack:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


def test_a_malicious_batch_is_refused(folder: Path, tmp_path: Path) -> None:
    mark = tmp_path / "owned"
    (folder / "data_batch_2").write_bytes(pickle.dumps(batch(1) | {b"filenames": Attack(mark)}))
    with pytest.raises(DataError, match=r"data_batch_2: is not a batch of CIFAR-10: it asks for \w+\.mkdir"):
        load_CIFAR10(folder)
    assert not mark.exists()


@pytest.mark.parametrize("keep", [0, 1, 100, -1])
def test_a_file_cut_short(folder: Path, keep: int) -> None:
    path = folder / "test_batch"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match="test_batch: is not a batch of CIFAR-10: it is damaged or cut short"):
        load_CIFAR10(folder)


def test_a_file_too_large(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar, "SIZE_LIMIT", 1000)
    with pytest.raises(DataError, match="data_batch_1: is larger than 1000 bytes"):
        load_CIFAR10(folder)


def replaced(**changes: Any) -> Callable[[], Any]:
    return lambda: batch(0) | {key.encode(): value for key, value in changes.items()}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: [1, 2], "data: found no array"),
        (lambda: {b"fine_labels": [0]}, "data: found no array"),
        (replaced(data=None), r"data: found no array, wanted uint8 \(N, 3072\)"),
        (replaced(data=np.zeros((4, 3071), np.uint8)), r"data: found shape \(4, 3071\)"),
        (replaced(data=np.zeros(3072, np.uint8)), r"data: found shape \(3072,\)"),
        (replaced(data=np.zeros((0, 3072), np.uint8), labels=[]), r"data: found shape \(0, 3072\)"),
        (replaced(data=np.zeros((4, 3072), np.float32)), "found an array that is not uint8"),
        (replaced(labels=[0, 1, 2]), "found 3 labels for 4 images"),
        (replaced(labels=[0, 1, 2, 10]), "labels: found no list of whole numbers from 0 to 9"),
        (replaced(labels=[0, 1, 2, -1]), "labels: found no list"),
        (replaced(labels=[0, 1, 2, True]), "labels: found no list"),
        (replaced(labels=[0, 1, 2, "3"]), "labels: found no list"),
        (replaced(labels=3), "labels: found no list"),
    ],
)
def test_batches_that_are_none(make: Callable[[], Any], message: str, tmp_path: Path) -> None:
    path = tmp_path / "batch"
    path.write_bytes(pickle.dumps(make()))
    with pytest.raises(DataError, match=f"^{path}: .*{message}"):
        load_CIFAR_batch(path)
