"""``herder learn``: the list, one lesson, all of them, and what cannot be done."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from herder.cli import app
from herder.errors import ConfigError, MissingExtraError, ResourceError
from herder.lessons import course
from herder.lessons.lesson import LessonResult, LessonSettings, NumberTable

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")

HERDER = str(Path(sys.executable).parent / "herder")


def learn(*arguments: object):
    return CliRunner().invoke(app, ["learn", *map(str, arguments)])


@pytest.fixture
def small_lessons(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, LessonSettings]]:
    """Lessons that only say that they were run; the list of who was, with which settings."""
    done: list[tuple[str, LessonSettings]] = []

    def lesson(known):
        def run(settings: LessonSettings) -> LessonResult:
            settings.say("[bold]busy")
            done.append((known.name, settings))
            table = NumberTable("Numbers of [b]it[/b]", ("what", "share"), (("[a]", 0.25), ("b", 0.5)))
            return LessonResult((f"{known.name} [works]",), (table,), {known.name: b"PNG"})

        return replace(known, run=run)

    lessons = tuple(map(lesson, course.LESSONS))
    monkeypatch.setattr(course, "LESSONS", lessons)
    monkeypatch.setattr("herder.cli.learn.LESSONS", lessons)
    return done


def test_without_a_name_the_lessons_are_listed():
    done = learn()
    assert done.exit_code == 0
    for lesson in course.LESSONS:
        assert lesson.name in done.output
    assert "herder learn NAME" in done.output


def test_one_lesson_prints_tables_and_sentences_and_writes_files(small_lessons, tmp_path):
    done = learn("softmax", "--out", tmp_path / "new" / "folder", "--seed", 3, "--quick")
    assert done.exit_code == 0, done.output
    assert [(name, s.seed, s.quick, s.cifar) for name, s in small_lessons] == [("softmax", 3, True, None)]
    for words in ("360 test pictures", "Numbers of [b]it[/b]", "[a]", "0.5", "softmax [works]", "softmax took"):
        assert words in done.output
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == ["softmax.json", "softmax.png"]


def test_all_runs_every_lesson_in_order_on_the_same_pictures(small_lessons, tmp_path):
    done = learn("all", "--out", tmp_path)
    assert done.exit_code == 0, done.output
    assert [name for name, _ in small_lessons] == [lesson.name for lesson in course.LESSONS]
    assert len({id(settings.data) for _, settings in small_lessons}) == 1  # read once
    assert len(list(tmp_path.glob("*.png"))) == len(course.LESSONS)


def test_lessons_that_draw_say_that_they_take_no_photos(small_lessons, tmp_path):
    done = learn("gan", "--out", tmp_path, "--cifar", tmp_path)
    assert done.exit_code == 0, done.output
    assert "draws the handwritten digits" in done.output
    assert json.loads((tmp_path / "gan.json").read_text())["data"] == "digits"


def test_an_unknown_lesson_suggests_the_nearest(tmp_path):
    done = learn("sofmax", "--out", tmp_path / "out")
    assert isinstance(done.exception, ConfigError)
    assert "did you mean 'softmax'?" in str(done.exception)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_fails_before_the_work(small_lessons, tmp_path):
    (tmp_path / "taken").write_text("mine")
    done = learn("knn", "--out", tmp_path / "taken")
    assert isinstance(done.exception, ResourceError)
    assert not small_lessons
    assert (tmp_path / "taken").read_text() == "mine"


@pytest.mark.parametrize("module", ["sklearn.datasets", "matplotlib"])
def test_a_missing_package_names_the_extra(module, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, module, None)  # what an import then finds
    done = learn("knn", "--quick", "--out", tmp_path)
    assert isinstance(done.exception, MissingExtraError)
    assert "herder[learn]" in str(done.exception)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [["nonsense"], ["knn", "--cifar", "no-such-folder"], ["knn", "--seed", "-1"]])
def test_wrong_use_is_one_message_and_code_2(arguments, tmp_path):
    done = subprocess.run([HERDER, "learn", *arguments], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert arguments[-1] in done.stderr


def test_the_same_seed_gives_the_same_numbers_and_figure(tmp_path):
    for name in ("one", "other"):
        done = learn("two-layer", "--quick", "--seed", 1, "--out", tmp_path / name)
        assert done.exit_code == 0, done.output
    for file in ("two-layer.json", "two-layer.png"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "other" / file).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("name", [lesson.name for lesson in course.LESSONS])
def test_a_quick_look_at_each_lesson(name, tmp_path):
    done = CliRunner().invoke(app, ["learn", name, "--quick", "--out", str(tmp_path)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    written = json.loads((tmp_path / f"{name}.json").read_text())
    assert written["shows"]
    assert written["tables"]
    assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
