from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from herder.api.recipe import path_digest
from herder.cli import app
from herder.errors import ConfigError

RECIPE = """
recipe_version = 1
title = "Scenes in two formats"
[inputs.scenes]
about = "a YOLO folder"
[[steps]]
name = "to-{to}"
each = { to = ["coco", "voc"] }
run = ["data", "convert", "{scenes}", "--to", "{to}", "--out", "{out}/{to}"]
makes = ["{to}/classes.txt"]
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE)
    return path


def test_shows_its_steps_and_runs_nothing(recipe: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["recipe", str(recipe), "--show", "--out", str(tmp_path / "out")])
    assert result.exit_code == 0
    assert "input scenes: a YOLO folder" in result.output
    assert not (tmp_path / "out").exists()


def test_digests_of_the_inputs(recipe: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["recipe", str(recipe), "--input", f"scenes={tmp_path}", "--digests"])
    assert result.stdout.split() == ["scenes", path_digest(tmp_path)]


def test_an_input_without_a_name(recipe: Path) -> None:
    result = CliRunner().invoke(app, ["recipe", str(recipe), "--input", "farm"])
    assert isinstance(result.exception, ConfigError)
    assert "NAME=PATH" in result.exception.message


def test_real_commands(recipe: Path, tmp_path: Path) -> None:
    scenes, out = tmp_path / "scenes", tmp_path / "out"
    runner = CliRunner()
    assert (
        runner.invoke(app, ["data", "pasture", str(scenes), "--train", "2", "--val", "1", "--size", "64"]).exit_code
        == 0
    )
    command = ["recipe", str(recipe), "--input", f"scenes={scenes}", "--out", str(out)]
    first = runner.invoke(app, command)
    assert first.exit_code == 0, first.output
    assert "herder data convert" in first.stderr
    made = sorted(path.name for path in out.iterdir())
    assert made == ["coco", "recipe.json", "voc"]
    again = runner.invoke(app, command)
    assert again.exit_code == 0
    assert again.stderr.count("done before") == 2
