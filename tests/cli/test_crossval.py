from __future__ import annotations

import json
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from typer.testing import CliRunner, Result

from herder.api.cross_validation import fold_config
from herder.api.run_photos import Photos
from herder.cli.crossval import crossval_command
from herder.data.folds import Strategy
from herder.errors import ConfigError, DataError, HerderError
from herder.evaluation.cross_validation import METRICS
from herder.model.files import load_model, save_model
from herder.model.network import Network
from herder.spec import example_spec
from herder.training.config import Schedule, TrainConfig
from herder.training.interfaces import Ending, TrainResult

LABELS = ["0 0.5 0.5 0.4 0.5\n", "0 0.3 0.4 0.5 0.5\n0 0.8 0.8 0.2 0.2\n", "0 0.6 0.5 0.7 0.6\n", "0 0.4 0.6 0.3 0.3\n"]

SHORT = [f"--set={s}" for s in ("image_size=64", "batch_size=2", "epochs=1", "device=cpu", "augmentation=none")]


@pytest.fixture
def photos(yolo_folder: Callable[..., Path]) -> Path:
    return yolo_folder([*LABELS, *LABELS])


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    spec = example_spec().replace(class_names=("alpaca",), input_size=64)
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    save_model(Network(spec), spec, path)
    return path


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, tiny: Path) -> None:
    """In place of training the start comes out again, with another spec for each fold: what is tested is around it."""

    def train(photos: Photos, model: str | None, init: Path, config: TrainConfig, out: Path, **_: Any) -> TrainResult:
        network = load_model(init)
        spec = network.spec.replace(dataset_fingerprint=photos.train.fingerprint())
        save_model(network, spec, out / "best.safetensors")
        best, last = out / "best.safetensors", out / "last.safetensors"
        return TrainResult(out, best, last, {}, config.epochs, config.epochs, Ending.FINISHED, 60.0)

    monkeypatch.setattr("herder.api.cross_validation.run_training", train)


@pytest.fixture
def crossval(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny: Path) -> Callable[..., Result]:
    """Run the command in an empty folder; HerderErrors come through as they are."""
    app = typer.Typer()
    app.command()(crossval_command)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("herder.api.training_run._draw", lambda *_: None)  # plots are tested elsewhere

    def run(*arguments: str | Path) -> Result:
        result = CliRunner().invoke(app, ["--init", str(tiny), "--draws", "100", *SHORT, *map(str, arguments)])
        if isinstance(result.exception, HerderError):
            raise result.exception
        return result

    return run


def content(folder: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((folder / "crossval.json").read_text(), parse_constant=pytest.fail)
    return data


@pytest.mark.usefixtures("quick")
def test_folds_files_and_going_on(crossval: Callable[..., Result], photos: Path, tmp_path: Path) -> None:
    result = crossval(photos, "--folds", "2")
    assert result.exit_code == 0, result.output
    out = tmp_path / "runs" / "crossval-dataset"
    data = content(out)
    assert (data["kind"], data["version"], data["model"]["path"]) == ("crossval", 1, "tiny.safetensors")
    assert (data["data"]["name"], data["data"]["split"], data["data"]["photos"]) == ("dataset", "train", 8)
    assert [(f["strategy"], f["repeat"], f["fold"], f["photos"]) for f in data["folds"]] == [
        ("stratified", 1, 1, 4),
        ("stratified", 1, 2, 4),
    ]
    assert set(data["folds"][0]["metrics"]) == {*METRICS, "threshold"}
    assert data["folds"][0]["fingerprint"] != data["folds"][1]["fingerprint"]
    assert (data["pooled"][0]["photos"], data["pooled"][0]["truths"]) == (8, 10)
    assert data["set_aside"] == []
    folds = json.loads((out / "folds.json").read_text())["folds"]
    everything = sorted(f"images/train/photo{i}.jpg" for i in range(8))
    assert sorted(name for fold in folds for name in fold["validation"]) == everything
    for fold in folds:
        assert sorted(fold["train"] + fold["validation"]) == everything
        assert (out / fold["name"] / "best.safetensors").exists()
    assert "robustness score" in result.output
    html = (out / "crossval.html").read_text("utf-8")
    assert "All folds together" in html
    assert str(tmp_path) not in html

    with pytest.raises(ConfigError, match="not empty"):
        crossval(photos, "--folds", "2")
    again = crossval(photos, "--folds", "2", "--resume")
    assert "2 of 2 folds from an earlier run" in again.output
    assert content(out)["folds"] == data["folds"]
    more = crossval(photos, "--folds", "2", "--resume", "--strategy", "stratified", "--strategy", "kfold")
    assert "2 of 4 folds from an earlier run" in more.output
    assert content(out)["folds"][:2] == data["folds"]
    with pytest.raises(ConfigError, match="holds other photos"):
        crossval(photos, "--folds", "3", "--resume")
    with pytest.raises(ConfigError, match="other photos, settings or starting weights"):
        crossval(photos, "--folds", "2", "--resume", "--set", "lr_head=0.01")


@pytest.mark.slow
def test_a_stopped_fold_ends_as_one_that_was_not(
    crossval: Callable[..., Result], photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from herder.data.pipeline import TrainingPipeline

    whole = crossval(photos, "--folds", "2", "--out", "whole", "--set", "epochs=2")
    assert whole.exit_code == 0, whole.output
    epoch = TrainingPipeline.epoch
    epochs = []

    def interrupted(self: TrainingPipeline, number: int, start_step: int = 0, *, mosaic: bool = True) -> Any:
        epochs.append(number)
        for step, batch in enumerate(epoch(self, number, start_step, mosaic=mosaic)):
            yield batch
            if len(epochs) == 4 and step == 0:  # in the second epoch of the second fold
                signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingPipeline, "epoch", interrupted)
        stopped = crossval(photos, "--folds", "2", "--out", "parts", "--set", "epochs=2")
    assert stopped.exit_code == 130, stopped.output
    assert "--resume --out parts" in stopped.output
    assert not (tmp_path / "parts" / "crossval.json").exists()
    resumed = crossval(photos, "--folds", "2", "--out", "parts", "--set", "epochs=2", "--resume")
    assert "1 of 2 folds from an earlier run" in resumed.output
    first, second = (content(tmp_path / name)["folds"] for name in ("whole", "parts"))
    assert [fold["sha256"] for fold in second] == [fold["sha256"] for fold in first]
    assert [fold["metrics"] for fold in second] == [fold["metrics"] for fold in first]


@pytest.mark.usefixtures("quick")
def test_a_lost_model_is_trained_again(crossval: Callable[..., Result], photos: Path, tmp_path: Path) -> None:
    crossval(photos, "--folds", "2", "--out", "out")
    before = content(tmp_path / "out")["folds"]
    (tmp_path / "out" / "stratified-1-1" / "best.safetensors").write_bytes(b"damaged")
    assert "1 of 2 folds" in crossval(photos, "--folds", "2", "--out", "out", "--resume").output
    assert [fold["sha256"] for fold in content(tmp_path / "out")["folds"]] == [fold["sha256"] for fold in before]


@pytest.mark.usefixtures("quick")
def test_the_test_split_stays_out(
    crossval: Callable[..., Result], photos: Path, tmp_path: Path, make_photo: Callable[..., Path]
) -> None:
    for split, count in (("val", 2), ("test", 3)):
        (photos / "labels" / split).mkdir()
        for i in range(count):
            make_photo(photos / "images" / split / f"{split}{i}.jpg", seed=100 + 10 * len(split) + i)
            (photos / "labels" / split / f"{split}{i}.txt").write_text(LABELS[0])
    assert crossval(photos, "--folds", "2", "--out", "out").exit_code == 0
    data = content(tmp_path / "out")["data"]
    assert (data["split"], data["photos"]) == ("train+val", 10)


@pytest.mark.usefixtures("quick")
def test_near_duplicates_stay_together(crossval: Callable[..., Result], photos: Path, tmp_path: Path) -> None:
    for i in (1, 2):
        twin = photos / "images" / "train" / f"photo{i}.jpg"
        twin.write_bytes((photos / "images" / "train" / "photo0.jpg").read_bytes())
    for seed in ("0", "1"):
        crossval(photos, "--folds", "2", "--out", f"out{seed}", "--seed", seed)
        folds = json.loads((tmp_path / f"out{seed}" / "folds.json").read_text())["folds"]
        twins = {f"images/train/photo{i}.jpg" for i in range(3)}
        assert sorted(len(twins & set(fold["validation"])) for fold in folds) == [0, 3]


@pytest.mark.usefixtures("quick")
def test_what_has_no_meaning_is_an_error_and_leaves_nothing(
    crossval: Callable[..., Result], photos: Path, tmp_path: Path
) -> None:
    for options, message in (
        (["--folds", "1"], "wanted 2 or more"),
        (["--folds", "9"], "8 photos in 8 groups"),
        (["--repeats", "0"], "wanted 1 or more"),
        (["--strategy", "group"], "no two photos are known to belong together"),
        (["--set", "epochs=0"], "epochs"),
    ):
        with pytest.raises(ConfigError, match=message):
            crossval(photos, *options, "--out", "out")
    with pytest.raises(DataError, match="no split 'test'"):
        crossval(photos, "--split", "test", "--out", "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("quick")
def test_a_broken_photo_is_set_aside(crossval: Callable[..., Result], photos: Path, tmp_path: Path) -> None:
    label = photos / "labels" / "train" / "photo0.txt"
    label.write_text("0 0.5 0.5 7 nonsense\n")
    result = crossval(photos, "--folds", "2", "--out", "out")
    assert result.exit_code == 3, result.output
    assert content(tmp_path / "out")["set_aside"]
    assert "photo0" in (tmp_path / "out" / "crossval.html").read_text("utf-8")


def test_nobody_chooses_the_epoch_unless_training_looks_at_the_photos() -> None:
    base = TrainConfig(epochs=7)
    config, sentence = fold_config(base, best_epoch=False)
    assert (config.evaluate_every, sentence) == (7, "each fold's last epoch is measured")
    for watching in (replace(base, patience=3), replace(base, schedule=Schedule.PLATEAU)):
        config, sentence = fold_config(watching, best_epoch=False)
        assert config == watching
        assert "since early stopping and plateau look at these photos" in sentence
    config, sentence = fold_config(base, best_epoch=True)
    assert config == base
    assert "a little too good" in sentence


@pytest.mark.usefixtures("quick")
def test_json_alone_on_standard_output(crossval: Callable[..., Result], photos: Path) -> None:
    result = crossval(photos, "--folds", "2", "--strategy", Strategy.TIME.value, "--json")
    data = json.loads(result.stdout)
    assert data["pooled"][0]["photos"] < 8  # the earliest photos are only trained on
    assert np.isfinite(data["folds"][0]["seconds"])
    assert any("file names" in note for note in data["notes"])
