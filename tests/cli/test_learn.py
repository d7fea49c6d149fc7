"""``herder learn`` from end to end: the list, the numbers said and written, what is refused."""

from __future__ import annotations

import json
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from herder.cli import app
from herder.errors import HerderError
from herder.lessons import course
from herder.lessons.course import LESSONS

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def learn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    """Run the command in an empty folder; HerderErrors come through as they are."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Result:
        result = CliRunner().invoke(app, ["learn", *map(str, arguments)])
        if isinstance(result.exception, HerderError):
            raise result.exception
        return result

    return run


@pytest.fixture
def cifar(tmp_path: Path) -> Path:
    """A small folder of the published form, its classes told apart by how bright they are."""
    root = tmp_path / "cifar-10-batches-py"
    root.mkdir()
    for seed, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
        rng = np.random.default_rng(seed)
        labels = np.arange(20) % 10
        rows = (rng.integers(0, 80, (20, 3072)) + 15 * labels[:, None]).astype(np.uint8)
        (root / name).write_bytes(pickle.dumps({b"data": rows, b"labels": labels.tolist()}, protocol=2))
    return root


def test_lists_the_lessons(learn: Callable[..., Result], tmp_path: Path) -> None:
    result = learn()
    assert result.exit_code == 0
    for lesson in LESSONS:
        assert re.search(rf"^{lesson.name} +{lesson.title}", result.stdout, re.MULTILINE)
    assert list(tmp_path.iterdir()) == []  # listing writes nothing


def test_runs_a_lesson_and_writes_what_it_says(learn: Callable[..., Result], tmp_path: Path) -> None:
    result = learn("two_layer", "--quick", "--out", tmp_path / "deep" / "out", "--seed", 3)
    assert result.exit_code == 0, result.output
    assert "handwritten digits: 1,197 training, 240 validation and 360 test pictures" in result.stdout
    assert (tmp_path / "deep/out/two-layer.png").read_bytes().startswith(PNG)
    found = json.loads((tmp_path / "deep/out/two-layer.json").read_text())
    assert (found["lesson"], found["data"], found["seed"], found["quick"]) == ("two-layer", "digits", 3, True)
    for sentence in found["shows"]:
        assert f"- {sentence}\n" in result.stdout
    for table in found["tables"]:
        assert table["title"] in result.stdout.replace("\n", " ")
        assert all(f"{row[-1]:.3f}" in result.stdout for row in table["rows"])
    assert "two-layer.png" in result.stdout


def test_the_same_seed_gives_the_same_numbers(learn: Callable[..., Result], tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert learn("two-layer", "--quick", "--out", name, "--seed", seed).exit_code == 0
    first, same, other = (json.loads((tmp_path / name / "two-layer.json").read_text()) for name in "abc")
    assert first == same
    assert first["tables"] != other["tables"]
    assert (tmp_path / "a/two-layer.png").read_bytes() == (tmp_path / "b/two-layer.png").read_bytes()


@pytest.mark.parametrize("name", ["knn", "two-layer", "dropout"])
def test_a_small_cifar_folder_will_do(learn: Callable[..., Result], tmp_path: Path, cifar: Path, name: str) -> None:
    result = learn(name, "--quick", "--cifar", cifar)
    assert result.exit_code == 0, result.output
    assert "CIFAR-10: 80 training, 20 validation and 20 test pictures, 32 x 32 colour" in result.stdout
    assert (tmp_path / f"herder-lessons/{name}.png").read_bytes().startswith(PNG)
    assert json.loads((tmp_path / f"herder-lessons/{name}.json").read_text())["data"] == "cifar-10"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["softmax", "batchnorm", "conv"])
def test_a_small_cifar_folder_will_do_for_the_longer_lessons(
    learn: Callable[..., Result], tmp_path: Path, cifar: Path, name: str
) -> None:
    assert learn(name, "--quick", "--cifar", cifar, "--out", tmp_path / "out").exit_code == 0
    assert (tmp_path / f"out/{name}.png").read_bytes().startswith(PNG)


def test_all_runs_every_lesson(
    learn: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cifar: Path
) -> None:
    from dataclasses import replace

    from herder.lessons.lesson import LessonResult, NumberTable

    table = NumberTable("Some [bold] numbers", ("k", "[mean]"), ((1, 0.5),))
    result = LessonResult(("It [red]works[/red].",), (table,), {})
    lessons = tuple(replace(lesson, run=lambda _settings: result) for lesson in course.LESSONS)
    monkeypatch.setattr("herder.cli.learn.LESSONS", lessons)
    done = learn("ALL", "--cifar", cifar, "--out", "out")
    assert done.exit_code == 0, done.output
    assert {path.stem for path in (tmp_path / "out").iterdir()} == {lesson.name for lesson in LESSONS}
    assert done.stdout.count("It [red]works[/red].") == len(LESSONS)  # brackets are no markup
    assert "Some [bold] numbers" in done.stdout
    assert done.stdout.count("this lesson draws the handwritten digits") == 2  # gan and diffusion


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sofmax"], ["no lesson 'sofmax'", "did you mean 'softmax'?"]),
        (["knn", "--cifar", "no-such-folder"], ["no-such-folder"]),
        (["knn", "--out", "taken"], ["taken"]),
        (["knn", "--seed", "-1"], ["--seed"]),
    ],
)
def test_unusable_input_is_one_message_and_code_2(tmp_path: Path, arguments: list[str], words: list[str]) -> None:
    (tmp_path / "taken").write_text("a file")
    herder = Path(sys.executable).parent / "herder"
    done = subprocess.run([herder, "learn", *arguments], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert all(word in done.stderr for word in words)
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("**/*.json"))
