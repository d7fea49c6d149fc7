from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from typer.testing import CliRunner, Result

from herder.api import prune as prune_module
from herder.api.prune import prune_model
from herder.api.prune_settings import PruneSettings
from herder.cli.prune import prune_command
from herder.edge.runtime import OnnxEngine
from herder.errors import ConfigError, ModelFileError
from herder.model.engine import TorchEngine
from herder.model.files import load_model, save_model
from herder.model.network import Network
from herder.model.sparsity import sparsity
from herder.spec import Quantization, example_spec
from herder.training.interfaces import TrainResult

pytest.importorskip("torch_pruning")

LABELS = ["0 0.5 0.5 0.4 0.5\n", "0 0.3 0.4 0.5 0.5\n0 0.8 0.8 0.2 0.2\n", "", "0 0.6 0.5 0.7 0.6\n"] * 2


@pytest.fixture
def model(tiny_model: Path) -> Path:
    return tiny_model


@pytest.fixture
def herder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    app = typer.Typer()
    app.command()(prune_command)
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(app, [str(a) for a in arguments])


SHORT = ["--epochs", 1, "--device", "cpu", "--set", "batch_size=4"]


@pytest.mark.slow
def test_prunes_in_steps_with_a_teacher_and_leaves_normal_models(
    herder: Callable[..., Result], model: Path, yolo_folder: Callable[..., Path], tmp_path: Path
) -> None:
    flags = ["--ratio", 0.4, "--steps", 2, "--out", "out", "--teacher", "self", "--importance", "taylor"]
    result = herder(model, yolo_folder(LABELS), *flags, *SHORT)
    assert result.exit_code == 0, result.output + repr(result.exception)
    small, large = load_model(tmp_path / "out/pruned.safetensors"), load_model(model)
    assert sum(p.numel() for p in small.parameters()) < 0.85 * sum(p.numel() for p in large.parameters())
    assert "ONNX Runtime" in result.output
    assert "soft_cls" in (tmp_path / "out/step-2/metrics.csv").read_text()
    found = json.loads((tmp_path / "out/prune.json").read_text())
    assert [step["step"] for step in found["done"]] == [1, 2]
    assert found["result"]["after"]["parameters"] == sum(p.numel() for p in small.parameters())
    photo = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    torch_boxes, torch_scores = TorchEngine(small).predict(photo[None])
    boxes, scores = OnnxEngine(tmp_path / "out/pruned.onnx").predict(photo[None])
    np.testing.assert_allclose(scores, torch_scores, atol=1e-3)
    np.testing.assert_allclose(boxes, torch_boxes, atol=1)


@pytest.mark.slow
def test_unstructured_zeros_stay_zero_through_fine_tuning(
    herder: Callable[..., Result], model: Path, yolo_folder: Callable[..., Path], tmp_path: Path
) -> None:
    flags = ["--unstructured", "--ratio", 0.5, "--steps", 1, "--out", "out"]
    result = herder(model, yolo_folder(LABELS), *flags, *SHORT)
    assert result.exit_code == 0, result.output + repr(result.exception)
    assert "run no faster" in result.output
    start, pruned = load_model(tmp_path / "out/start-1.safetensors"), load_model(tmp_path / "out/pruned.safetensors")
    assert sparsity(start) == pytest.approx(0.5, abs=1e-3)
    moved = 0
    for one, other in zip(start.modules(), pruned.modules(), strict=True):
        if isinstance(one, torch.nn.Conv2d):
            assert torch.equal(one.weight == 0, other.weight == 0)
            moved += int((one.weight != other.weight).sum())
    assert moved > 0


@pytest.mark.slow
def test_without_fine_tuning_nothing_is_trained(
    herder: Callable[..., Result], model: Path, yolo_folder: Callable[..., Path], tmp_path: Path
) -> None:
    result = herder(model, yolo_folder(LABELS), "--steps", 1, "--no-fine-tune", "--out", "out", "--device", "cpu")
    assert result.exit_code == 0, result.output + repr(result.exception)
    assert not (tmp_path / "out/step-1").exists()


@pytest.mark.slow
def test_a_stopped_run_goes_on_and_keeps_its_steps(
    model: Path, yolo_folder: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in the second step, then resumed: the same weights as the run that was never stopped."""
    data, settings = yolo_folder(LABELS), PruneSettings(0.4, 2)
    training = {"epochs": 1, "device": "cpu", "batch_size": 4}
    whole = prune_model(model, data, out=tmp_path / "whole", settings=settings, training=training)
    real, calls = prune_module.run_training, []

    def stopped(*arguments: object, **options: object) -> TrainResult:
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(prune_module, "run_training", stopped)
    with pytest.raises(KeyboardInterrupt):
        prune_model(model, data, out=tmp_path / "parts", settings=settings, training=training)
    first = (tmp_path / "parts/step-1.safetensors").read_bytes()
    with pytest.raises(ConfigError, match="resume"):
        prune_model(model, data, out=tmp_path / "parts", settings=settings, training=training)
    other = PruneSettings(0.3, 2)
    with pytest.raises(ConfigError, match="ratio"):
        prune_model(model, data, out=tmp_path / "parts", settings=other, training=training, resume=True)
    with pytest.raises(ConfigError, match="epochs"):
        prune_model(
            model, data, out=tmp_path / "parts", settings=settings, training={**training, "epochs": 2}, resume=True
        )
    again = prune_model(model, data, out=tmp_path / "parts", settings=settings, training=training, resume=True)
    assert len(calls) == 3  # the first step was not trained again
    assert (tmp_path / "parts/step-1.safetensors").read_bytes() == first
    for one, other_weights in zip(
        load_model(whole.path).state_dict().values(), load_model(again.path).state_dict().values(), strict=True
    ):
        assert torch.equal(one, other_weights)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"done": 1}'])
def test_a_damaged_state_is_named(model: Path, yolo_folder: Callable[..., Path], tmp_path: Path, text: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/prune.json").write_text(text)
    with pytest.raises(ModelFileError, match=r"prune\.json"):
        prune_model(model, yolo_folder(LABELS), out=tmp_path / "out", resume=True)


@pytest.mark.parametrize(
    "flags",
    [
        ["--ratio", 1],
        ["--ratio", 0.99],
        ["--steps", 0],
        ["--multiple", 0],
        ["--no-fine-tune", "--epochs", 1],
        ["--no-fine-tune", "--teacher", "self"],
        ["--unstructured", "--importance", "bn"],
        ["--unstructured", "--multiple", 8],
        ["--no-fine-tune"],  # with the default of several steps
    ],
)
def test_bad_settings_are_refused_before_photos_are_trained_on(
    herder: Callable[..., Result], model: Path, yolo_folder: Callable[..., Path], tmp_path: Path, flags: list[object]
) -> None:
    result = herder(model, yolo_folder(LABELS), "--out", "out", *flags)
    assert isinstance(result.exception, ConfigError)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("flags", [[], ["--unstructured"], ["--unstructured", "--steps", 1, "--no-fine-tune"]])
def test_a_quantized_model_is_refused(
    herder: Callable[..., Result], yolo_folder: Callable[..., Path], tmp_path: Path, flags: list[object]
) -> None:
    spec = example_spec()
    spec = spec.replace(input_size=64, architecture=replace(spec.architecture, quantization=Quantization()))
    save_model(Network(spec), spec, tmp_path / "int8.safetensors")
    result = herder(tmp_path / "int8.safetensors", yolo_folder(LABELS), "--out", "out", *flags)
    assert isinstance(result.exception, ConfigError)
    assert "is quantized already" in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_bad_teachers_are_refused_before_the_work(
    herder: Callable[..., Result], model: Path, yolo_folder: Callable[..., Path], tmp_path: Path
) -> None:
    data = yolo_folder(LABELS)
    missing = herder(model, data, "--out", "out", "--teacher", "nothing.safetensors")
    assert isinstance(missing.exception, ModelFileError)
    spec = example_spec().replace(input_size=64, class_names=("goat",))
    save_model(Network(spec), spec, tmp_path / "goat.safetensors")
    other = herder(model, data, "--out", "out", "--teacher", "goat.safetensors")
    assert isinstance(other.exception, ConfigError)
    assert "alpaca" in str(other.exception)
    assert not (tmp_path / "out").exists()
