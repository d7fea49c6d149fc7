"""What a lesson leaves behind: files, and numbers as people and programs read them."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest

from herder.errors import MissingExtraError, ResourceError
from herder.lessons.lesson import (
    Lesson,
    LessonResult,
    LessonSettings,
    NumberTable,
    column_texts,
    write_result,
)
from herder.lessons.one_thread import one_blas_thread

TABLE = NumberTable("Some", ("name", "count", "share"), (("a", 3, 0.5), ("b", 4, math.nan), ("c", 5, math.inf)))
RESULT = LessonResult(("It works.",), (TABLE,), {"one": b"first", "two": b"second"})


def lesson(uses_cifar: bool = True) -> Lesson:
    return Lesson("some", "Some lesson", "shows something", lambda _settings: RESULT, uses_cifar)


def test_writes_figures_and_numbers(tmp_path: Path) -> None:
    paths = write_result(lesson(), RESULT, LessonSettings(seed=7, quick=True), tmp_path)
    assert [path.name for path in paths] == ["one.png", "two.png", "some.json"]
    assert paths[1].read_bytes() == b"second"
    assert json.loads(paths[2].read_text()) == {
        "lesson": "some",
        "data": "digits",
        "seed": 7,
        "quick": True,
        "shows": ["It works."],
        "tables": [
            {
                "title": "Some",
                "timing": False,
                "columns": ["name", "count", "share"],
                "rows": [["a", 3, 0.5], ["b", 4, None], ["c", 5, None]],  # JSON has no NaN
            }
        ],
    }


@pytest.mark.parametrize(("uses_cifar", "said"), [(True, "cifar-10"), (False, "digits")])
def test_says_which_pictures_were_used(tmp_path: Path, uses_cifar: bool, said: str) -> None:
    *_, path = write_result(lesson(uses_cifar), RESULT, LessonSettings(cifar=Path("somewhere")), tmp_path)
    assert json.loads(path.read_text())["data"] == said


def test_a_folder_that_is_a_file_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(ResourceError, match="taken"):
        write_result(lesson(), RESULT, LessonSettings(), tmp_path / "taken")


def test_refuses_rows_of_another_length() -> None:
    with pytest.raises(ValueError, match="row of 1, wanted 2 cells"):
        NumberTable("Some", ("k", "mean"), ((1, 0.5), (2,)))


def test_a_column_has_one_kind_of_number() -> None:
    assert column_texts([0.5, 0.9321, 0.25]) == ["0.500", "0.932", "0.250"]
    assert column_texts([0.0001, 0.02, 1.0]) == ["0.0001", "0.02", "1"]
    assert column_texts(["a", 12_345, 0.12345]) == ["a", "12,345", "0.123"]
    assert column_texts([math.nan, 0.12]) == ["nan", "0.12"]
    assert column_texts([]) == []
    assert column_texts([0.98766]) == ["0.988"]


def test_pictures_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr("herder.lessons.lesson.course_data", lambda *arguments: asked.append(arguments))
    settings = LessonSettings(Path("folder"), seed=5)
    assert settings.data is settings.data
    assert asked == [(Path("folder"), 5)]


def test_matrices_are_multiplied_on_one_thread_for_a_while() -> None:
    threadpoolctl = pytest.importorskip("threadpoolctl")
    np.ones((2, 2)) @ np.ones((2, 2))  # NumPy and its BLAS are loaded

    def threads() -> set[int]:
        return {pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"}

    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        before = threads()
        with one_blas_thread():
            assert threads() == {1}
        assert threads() == before


def test_without_threadpoolctl_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)  # what an import then finds
    with pytest.raises(MissingExtraError, match="herder\\[learn\\]"), one_blas_thread():
        pass
