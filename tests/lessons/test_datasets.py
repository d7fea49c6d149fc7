"""The lessons' pictures: which are trained on, which choose, which test, and what is refused."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from herder.errors import DataError, MissingExtraError
from herder.foundations.cifar import CLASSES, load_CIFAR10
from herder.lessons.datasets import CourseData, course_data

load_digits = pytest.importorskip("sklearn.datasets").load_digits


def seen(data: CourseData, part: str) -> np.ndarray:
    """Pictures (N, 64) of a part as whole numbers from 0 to 16, as scikit-learn has them."""
    return np.rint((getattr(data, f"X_{part}") + data.mean).reshape(-1, 64) * 16).astype(int)


def test_the_three_parts_are_all_digits_once(digits: CourseData) -> None:
    found = load_digits()
    wanted = sorted((*row, label) for row, label in zip(found.data.astype(int).tolist(), found.target, strict=True))
    parts = ("train", "val", "test")
    pictures = np.concatenate([seen(digits, part) for part in parts]).tolist()
    labels = np.concatenate([getattr(digits, f"y_{part}") for part in parts])
    assert sorted((*row, label) for row, label in zip(pictures, labels, strict=True)) == wanted
    assert [len(getattr(digits, f"y_{part}")) for part in parts] == [1197, 240, 360]


def test_a_seed_deals_training_and_validation_but_never_the_test_pictures(digits: CourseData) -> None:
    other, again = course_data(seed=1), course_data(seed=0)
    assert np.array_equal(seen(other, "test"), seen(digits, "test"))
    assert np.array_equal(other.y_test, digits.y_test)
    assert not np.array_equal(other.y_val, digits.y_val)
    for name in ("X_train", "y_train", "X_val", "X_test", "mean"):
        assert np.array_equal(getattr(again, name), getattr(digits, name))


def test_only_training_pictures_make_the_mean(digits: CourseData) -> None:
    np.testing.assert_allclose(digits.X_train.mean(axis=0), 0, atol=1e-12)
    assert np.abs(digits.X_val.mean(axis=0)).max() > 1e-3
    np.testing.assert_allclose(digits.mean.ravel(), seen(digits, "train").mean(axis=0) / 16)


def test_describes_itself(digits: CourseData) -> None:
    assert digits.shape == (1, 8, 8)
    assert digits.dimensions == 64
    assert not digits.large
    words = "1,197 training, 240 validation and 360 test pictures, 8 x 8 grey, 10 classes"
    assert digits.describe() == f"handwritten digits: {words}"


def test_reads_a_cifar_folder(cifar_folder: Callable[[int], Path]) -> None:
    root = cifar_folder(6)
    data = course_data(root, seed=3)
    assert data.class_names == CLASSES
    assert data.shape == (3, 32, 32)
    assert data.large
    assert [len(part) for part in (data.y_train, data.y_val, data.y_test)] == [24, 6, 6]
    assert "32 x 32 colour" in data.describe()
    X, y, X_test, y_test = load_CIFAR10(root)
    for pictures, labels, source, truth in (
        (np.concatenate([data.X_train, data.X_val]), np.concatenate([data.y_train, data.y_val]), X, y),
        (data.X_test, data.y_test, X_test, y_test),
    ):
        whole = np.rint((pictures + data.mean).transpose(0, 2, 3, 1) * 255)  # (N, 32, 32, 3), 0 to 255
        order = [int(np.abs(source - picture).sum(axis=(1, 2, 3)).argmin()) for picture in whole]
        assert sorted(order) == list(range(len(source)))
        assert np.array_equal(whole, source[order])
        assert np.array_equal(labels, truth[order])


def test_refuses_folders_without_cifar(tmp_path: Path, cifar_folder: Callable[[int], Path]) -> None:
    with pytest.raises(DataError, match="nowhere"):
        course_data(tmp_path / "nowhere")
    root = cifar_folder(2)
    (root / "data_batch_3").write_bytes(b"no pickle")
    with pytest.raises(DataError, match="data_batch_3"):
        course_data(root)


def test_refuses_too_few_pictures(cifar_folder: Callable[[int], Path]) -> None:
    with pytest.raises(DataError, match=r"0 training and 0 test pictures|data_batch_1"):
        course_data(cifar_folder(0))


def test_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(MissingExtraError, match="handwritten digits"):
        course_data()
