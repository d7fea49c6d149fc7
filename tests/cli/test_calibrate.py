from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner, Result

from herder.cli.calibrate import calibrate_command
from herder.data.formats import read_dataset
from herder.errors import ConfigError, DataError, ModelFileError
from herder.evaluation import evaluate_detections
from herder.inference import Detector, tempered
from herder.model.families import make_spec
from herder.model.files import read_spec, save_model
from herder.model.network import Network
from herder.spec import ModelSpec


class TooSure:
    """An engine that finds the bright square of a photo; its red is the score, far too sure, whatever lies there."""

    needs_nms = True
    fixed_size = None

    def __init__(self, spec: ModelSpec) -> None:
        self.spec = spec

    def predict(self, canvases: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        boxes, scores = np.zeros((len(canvases), 1, 4), np.float32), np.zeros((len(canvases), 1, 1), np.float32)
        for i, canvas in enumerate(canvases):
            y, x = np.nonzero(canvas[..., 1] > 200)
            boxes[i, 0] = x.min(), y.min(), x.max() + 1, y.max() + 1
            right = canvas[y[0], x[0], 0] / 255
            scores[i, 0, 0] = tempered(right, 0.4)
        return boxes, scores


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A real model file, whose spec counts, behind an engine that needs no training."""
    torch.manual_seed(0)
    network = Network(make_spec("herder-n", ("alpaca",), input_size=32))
    path = tmp_path / "model.safetensors"
    save_model(network, network.spec.replace(score_threshold=0.3), path)
    monkeypatch.setattr("herder.api.load", lambda path, **_: Detector(TooSure(read_spec(path))))
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Photos with a bright square whose red says how likely there is a label."""
    for kind in ("images", "labels"):
        (tmp_path / "data" / kind / "val").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(300):
        likely = rng.integers(30, 225)
        picture = np.full((32, 32, 3), 90, np.uint8)
        picture[8:24, 8:24] = (likely, 250, 90)
        Image.fromarray(picture).save(tmp_path / "data" / "images" / "val" / f"{i:03}.png")
        label = "0 0.5 0.5 0.5 0.5\n" if rng.random() < likely / 255 else ""
        (tmp_path / "data" / "labels" / "val" / f"{i:03}.txt").write_text(label)
    (tmp_path / "data" / "classes.txt").write_text("alpaca\n")
    return tmp_path / "data"


def run(*arguments: object) -> Result:
    app = typer.Typer()
    app.command()(calibrate_command)
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_model_report_and_words(model: Path, photos: Path, tmp_path: Path) -> None:
    before = model.read_bytes()
    result = run(model, photos, "--report", tmp_path / "report")
    assert result.exit_code == 0, result.output
    assert "It helps: on photos held out the calibration error is" in result.output
    out = tmp_path / "model-calibrated.safetensors"
    spec = read_spec(out)
    assert spec.temperature == pytest.approx(2.5, rel=0.25)  # the reverse of 0.4
    assert spec.score_threshold == pytest.approx(float(tempered(0.3, spec.temperature)))
    assert model.read_bytes() == before
    content = json.loads((tmp_path / "report" / "calibration.json").read_text(), parse_constant=pytest.fail)
    assert content["kind"] == "calibration"
    assert content["model"]["path"] == "model.safetensors"
    assert content["temperature"]["after"] == spec.temperature
    assert content["helps"] is True
    assert content["calibration"]["after"]["ece"] < content["calibration"]["before"]["ece"]
    assert "Reliability diagram" in (tmp_path / "report" / "calibration.html").read_text()
    # From the same detections on, mAP is the same: only the scores have changed.
    dataset = read_dataset(photos, split="val")
    files = [record.path for record in dataset]
    plain, warm = (
        evaluate_detections(
            Detector(TooSure(each)).detect(files, score=float(tempered(0.01, each.temperature))),
            dataset.records,
            dataset.class_names,
        )
        for each in (read_spec(model), spec)
    )
    assert (warm.map50, warm.map50_95, warm.f1) == (plain.map50, plain.map50_95, plain.f1)
    assert warm.threshold == pytest.approx(float(tempered(plain.threshold, spec.temperature)), rel=1e-6)


def test_calibrating_twice_changes_little(model: Path, photos: Path, tmp_path: Path) -> None:
    once, twice = tmp_path / "once.safetensors", tmp_path / "twice.safetensors"
    assert run(model, photos, "--out", once).exit_code == 0
    result = run(once, photos, "--out", twice, "--json")
    assert result.exit_code == 0
    content = json.loads(result.stdout)
    assert content["temperature"]["before"] == read_spec(once).temperature
    assert read_spec(twice).temperature == pytest.approx(read_spec(once).temperature, rel=0.2)


def test_a_broken_photo_is_set_aside(model: Path, photos: Path, tmp_path: Path) -> None:
    (photos / "images" / "val" / "000.png").write_bytes(b"no photo")
    result = run(model, photos, "--json")
    assert result.exit_code == 3
    content = json.loads(result.stdout)
    assert content["data"]["photos"] == 299
    assert len(content["set_aside"]) == 1


def test_unusable_input(model: Path, photos: Path, tmp_path: Path) -> None:
    for words, kind, message in (
        ((model, photos, "--out", model), ConfigError, "is the model itself"),
        ((model, photos, "--out", tmp_path / "x.onnx"), ConfigError, r"the model is a \.safetensors file"),
        ((model, photos, "--floor", 0), ConfigError, "floor 0.0 is not from 0.01"),
        ((model, photos, "--floor", 0.999), DataError, "no detection reaches a score of 0.999"),
        ((model, photos, "--iou", 1), ConfigError, "iou 1.0 is not"),
        ((tmp_path / "none.safetensors", photos), ModelFileError, "no such file"),
    ):
        result = run(*words)
        assert isinstance(result.exception, kind), result.output
        with pytest.raises(kind, match=message):
            raise result.exception
    for label in (photos / "labels" / "val").glob("*.txt"):
        label.write_text("")
    result = run(model, photos)
    assert isinstance(result.exception, DataError)
    assert "0 hits among" in str(result.exception)
    assert not (tmp_path / "model-calibrated.safetensors").exists()


@pytest.mark.shared
@pytest.mark.slow
def test_a_published_model_on_real_photos(shared_dir: Path, tmp_path: Path) -> None:
    """YOLOX of COCO, its sheep, cows and horses taken for alpacas: an error in words, since it knows no alpaca."""
    from herder.model.pretrained import import_weights

    network = import_weights(shared_dir / "pretrained" / "yolox_nano.onnx")
    path = tmp_path / "yolox.safetensors"
    save_model(network, network.spec, path)
    result = run(path, shared_dir / "alpaca")
    assert isinstance(result.exception, ConfigError)
    assert "no class is in both" in str(result.exception)
