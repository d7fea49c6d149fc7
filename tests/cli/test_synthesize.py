"""``herder data synthesize`` from end to end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from herder.api import drawers
from herder.cli.data import data_app
from herder.data.formats import read_dataset
from herder.errors import ConfigError, HerderError

Runner = Callable[..., Result]

TINY = ["--steps", 3, "--batch", 4, "--set", "dim=8", "--set", "dim_mults=1,2", "--set", "timesteps=10"]
WORDS = ["--class", "alpaca", "--number", 4, "--size", 16, "--judge", 0, "--device", "cpu", *TINY]


@pytest.fixture
def herder() -> Runner:
    def run(*arguments: object) -> Result:
        result = CliRunner().invoke(data_app, ["synthesize", *(str(argument) for argument in arguments)])
        if isinstance(result.exception, HerderError):
            raise result.exception
        return result

    return run


@pytest.fixture
def data(yolo_folder: Callable[..., Path], make_photo: Callable[..., Path]) -> Path:
    root = yolo_folder(["0 0.5 0.5 0.6 0.6\n"] * 24)
    make_photo(root / "images" / "val" / "v.jpg", seed=99)
    (root / "labels" / "val").mkdir()
    (root / "labels" / "val" / "v.txt").write_text("0 0.5 0.5 0.6 0.6\n")
    return root


def test_drawn_animals_are_a_dataset_to_paste_from(herder: Runner, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "crops"
    result = herder(data, "--out", out, *WORDS)
    assert result.exit_code == 0, result.output
    assert "24 animals cut out" in result.stderr  # and not that of the validation photo
    assert f"{out}: 4 animals drawn" in result.stdout
    assert f"next: herder train {data} --paste-from {out}" in result.stdout
    made = read_dataset(out)
    assert (len(made), made.class_names, made.problems) == (4, ("alpaca",), ())
    with pytest.raises(ConfigError, match="is there already"):
        herder(data, "--out", out, *WORDS)
    with pytest.raises(ConfigError, match="did you mean alpaca"):
        herder(data, "--out", tmp_path / "other", "--class", "alpacas")


def test_a_stopped_training_goes_on(
    herder: Runner, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "crops"

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(drawers, "train_diffusion", stopped)
        result = herder(data, "--out", out, *WORDS)
    assert result.exit_code == 130
    assert f"--class alpaca --number 4 --size 16 --resume --out {out}" in result.stderr
    assert not out.exists()
    result = herder(data, "--class", "alpaca", "--number", 4, "--size", 16, "--judge", 0, "--resume", "--out", out)
    assert result.exit_code == 0, result.output
    assert len(read_dataset(out)) == 4


def test_a_lost_photo_is_told(herder: Runner, data: Path, tmp_path: Path) -> None:
    (data / "images/train/photo3.jpg").unlink()
    result = herder(data, "--out", tmp_path / "crops", *WORDS)
    assert result.exit_code == 3, result.output
    assert "set aside: " in result.stderr
    assert "photo3.txt" in result.stderr
    assert len(read_dataset(tmp_path / "crops")) == 4
