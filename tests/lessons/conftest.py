"""Settings, pictures and views of numbers that the tests of several lessons share."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from herder.lessons.datasets import CourseData, course_data
from herder.lessons.lesson import Cell, LessonResult, LessonSettings

Numbers = dict[tuple[str, str], list[Cell]]


@pytest.fixture(scope="session")
def digits() -> CourseData:
    return course_data()


@pytest.fixture(scope="session")
def few(digits: CourseData) -> CourseData:
    """A few hundred of the digits, for lessons that are run whole."""
    return replace(
        digits,
        X_train=digits.X_train[:400],
        y_train=digits.y_train[:400],
        X_val=digits.X_val[:100],
        y_val=digits.y_val[:100],
        X_test=digits.X_test[:100],
        y_test=digits.y_test[:100],
    )


@pytest.fixture(scope="session")
def quick_with() -> Callable[[CourseData], LessonSettings]:
    """Settings of a quick look at the given pictures."""

    def make(data: CourseData) -> LessonSettings:
        settings = LessonSettings(quick=True)
        vars(settings)["data"] = data  # where cached_property looks first
        return settings

    return make


@pytest.fixture(scope="session")
def spoilt(few: CourseData) -> CourseData:
    """The same pictures as ``few``, but other test pictures, every one of them with a wrong label."""
    return replace(few, X_test=few.X_test[::-1] + 0.01, y_test=(few.y_test[::-1] + 1) % 10)


@pytest.fixture(scope="session")
def numbers_of() -> Callable[[LessonResult], tuple[Numbers, Numbers]]:
    """Columns of a result's tables by title and heading: those of the test pictures, and all others but times."""

    def view(result: LessonResult) -> tuple[Numbers, Numbers]:
        tested: Numbers = {}
        others: Numbers = {}
        for table in result.tables:
            if table.timing:
                continue
            for heading, *cells in zip(table.columns, *table.rows, strict=True):
                of_test = "test" in heading or table.title.startswith("Accuracy on 100 test pictures")
                (tested if of_test else others)[table.title, heading] = cells
        return tested, others

    return view


@pytest.fixture
def cifar_folder(tmp_path: Path) -> Callable[[int], Path]:
    """Make a folder as published by CIFAR-10's author, with so many random pictures in each of its six files."""

    def make(count: int) -> Path:
        root = tmp_path / "cifar-10-batches-py"
        root.mkdir()
        for seed, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
            rng = np.random.default_rng(seed)
            labels = rng.integers(0, 10, count)
            rows = (rng.integers(0, 100, (count, 3072)) + 15 * labels[:, None]).astype(np.uint8)
            batch = {b"data": rows, b"labels": labels.tolist(), b"batch_label": name.encode()}
            (root / name).write_bytes(pickle.dumps(batch, protocol=2))
        return root

    return make
