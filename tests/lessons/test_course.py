"""The syllabus: its names, how they are found, and what listing them costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from herder.errors import ConfigError
from herder.lessons.course import LESSONS, find_lesson
from herder.lessons.lesson import Lesson, LessonSettings

NAMES = ["knn", "softmax", "two-layer", "batchnorm", "dropout", "conv", "gan", "diffusion"]


def test_the_lessons_in_the_order_of_the_course() -> None:
    assert [lesson.name for lesson in LESSONS] == NAMES
    assert [lesson.name for lesson in LESSONS if not lesson.uses_cifar] == ["gan", "diffusion"]
    assert all(lesson.title and lesson.summary for lesson in LESSONS)


@pytest.mark.parametrize("name", ["two-layer", "two_layer", "Two-Layer", "TWO_LAYER"])
def test_spellings_of_a_name(name: str) -> None:
    assert find_lesson(name).name == "two-layer"


@pytest.mark.parametrize(("name", "meant"), [("sofmax", "softmax"), ("batch-norm", "batchnorm"), ("KNNN", "knn")])
def test_an_unknown_name_suggests_the_nearest(name: str, meant: str) -> None:
    with pytest.raises(ConfigError, match=f"no lesson '{name}'") as caught:
        find_lesson(name)
    assert f"did you mean '{meant}'?" in str(caught.value)
    assert ", ".join(NAMES) in str(caught.value)


def test_nothing_is_suggested_where_nothing_is_near() -> None:
    with pytest.raises(ConfigError) as caught:
        find_lesson("zzz")
    assert "did you mean" not in str(caught.value)


@pytest.mark.parametrize("lesson", LESSONS, ids=NAMES)
def test_each_lesson_runs_the_file_of_its_name(lesson: Lesson, monkeypatch: pytest.MonkeyPatch) -> None:
    done = []
    monkeypatch.setattr(f"herder.lessons.{lesson.name.replace('-', '_')}.run", done.append)
    settings = LessonSettings()
    lesson.run(settings)
    assert done == [settings]


def test_listing_loads_neither_torch_nor_matplotlib() -> None:
    code = "import sys, herder.lessons.course; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "herder.lessons.course" in loaded
    assert not {"torch", "matplotlib", "sklearn"} & set(loaded)
