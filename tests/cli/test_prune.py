from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import typer
from typer.testing import CliRunner, Result

from herder.cli.prune import prune_command
from herder.errors import ConfigError
from herder.model.files import load_model, save_model
from herder.model.network import Network
from herder.spec import example_spec

pytest.importorskip("torch_pruning")

LABELS = ["0 0.5 0.5 0.4 0.5\n", "0 0.3 0.4 0.5 0.5\n0 0.8 0.8 0.2 0.2\n", "", "0 0.6 0.5 0.7 0.6\n"] * 2


@pytest.fixture
def model(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    spec = example_spec().replace(input_size=64)
    save_model(Network(spec), spec, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


@pytest.fixture
def herder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    app = typer.Typer()
    app.command()(prune_command)
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(app, [str(a) for a in arguments])


def test_prunes_in_steps_and_leaves_a_normal_model(
    herder: Callable[..., Result], model: Path, yolo_folder: Callable[..., Path], tmp_path: Path
) -> None:
    short = ["--epochs", 1, "--device", "cpu", "--set", "batch_size=4"]
    result = herder(model, yolo_folder(LABELS), "--ratio", 0.4, "--steps", 2, "--out", "out", *short)
    assert result.exit_code == 0, result.output + repr(result.exception)
    small, large = load_model(tmp_path / "out/pruned.safetensors"), load_model(model)
    assert sum(p.numel() for p in small.parameters()) < 0.8 * sum(p.numel() for p in large.parameters())
    assert "GFLOPs" in result.output
    assert (tmp_path / "out/step-2/best.safetensors").exists()


def test_unstructured_says_what_it_does_not_gain(
    herder: Callable[..., Result], model: Path, yolo_folder: Callable[..., Path], tmp_path: Path
) -> None:
    result = herder(model, yolo_folder(LABELS), "--unstructured", "--ratio", 0.5, "--out", "out", "--device", "cpu")
    assert result.exit_code == 0, result.output + repr(result.exception)
    assert "run no faster" in result.output
    assert (tmp_path / "out/pruned.safetensors").exists()


@pytest.mark.parametrize(
    "flags", [["--ratio", 1], ["--ratio", 0.99], ["--steps", 0], ["--multiple", 0], ["--unstructured", "--epochs", 1]]
)
def test_bad_settings_are_refused_before_photos_are_trained_on(
    herder: Callable[..., Result], model: Path, yolo_folder: Callable[..., Path], tmp_path: Path, flags: list[object]
) -> None:
    result = herder(model, yolo_folder(LABELS), "--out", "out", *flags)
    assert isinstance(result.exception, ConfigError)
    assert not (tmp_path / "out").exists()
