"""``herder report`` from end to end, with an engine that finds what is bright."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import typer
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import save_file
from typer.testing import CliRunner, Result

from herder.cli.report import report_command
from herder.errors import ConfigError, DataError
from herder.inference import Detector
from herder.model.files import read_spec
from herder.spec import METADATA_KEY, example_spec


class Bright:
    """Finds what is brighter than ``level`` in each canvas."""

    needs_nms = True
    fixed_size = None
    spec = example_spec().replace(input_size=64)

    def __init__(self, level: int) -> None:
        self.level = level

    def predict(self, canvases: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        boxes, scores = np.zeros((len(canvases), 1, 4), np.float32), np.zeros((len(canvases), 1, 1), np.float32)
        for i, canvas in enumerate(canvases):
            y, x = np.nonzero(canvas.min(axis=2) > self.level)
            if len(x):
                boxes[i, 0] = x.min(), y.min(), x.max() + 1, y.max() + 1
                scores[i, 0, 0] = canvas.max() / 255
        return boxes, scores


@pytest.fixture(autouse=True)
def engines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("herder.api.load", lambda path, **_: Detector(Bright(int(read_spec(Path(path)).name))))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for kind in ("images", "labels"):
        (tmp_path / "data" / kind / "val").mkdir(parents=True)
    for i in range(10):
        picture = np.full((64, 64, 3), 90, np.uint8)
        picture[8:40, 8 + i : 40 + i] = 160 + 9 * i
        Image.fromarray(picture).save(tmp_path / "data" / "images" / "val" / f"p{i}.png")
        text = f"0 {(24 + i) / 64} 0.375 0.5 0.5\n"
        (tmp_path / "data" / "labels" / "val" / f"p{i}.txt").write_text(text)
    (tmp_path / "data" / "classes.txt").write_text("alpaca\n")
    return tmp_path / "data"


def make_run(folder: Path, level: int, data: Path) -> Path:
    folder.mkdir()
    # A model file whose name tells the engine above what to find.
    spec = Bright.spec.replace(name=str(level))
    save_file({"weight": np.zeros(1, np.float32)}, folder / "best.safetensors", {METADATA_KEY: spec.to_json()})
    (folder / "config.json").write_text(json.dumps({"data": str(data), "config": {"epochs": 2}}))
    (folder / "metrics.csv").write_text("epoch,box,mAP50,lr\n1,2.0,0.5,0.1\n2,1.0,0.6,0.1\n")
    return folder


def run(*words: object) -> Result:
    app = typer.Typer()
    app.command()(report_command)
    return CliRunner().invoke(app, list(map(str, words)))


def test_one_run(photos: Path, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "train", 150, photos)
    result = run(folder, "--draws", 100, "--markdown")
    assert result.exit_code == 0, (result.output, result.exception)
    html = (folder / "report.html").read_text()
    assert not re.search(r"(src|href)=\"(?!data:)|@import|<script", html)
    for heading in ("Result", "Curves", "Operating points", "Counting", "Worst photos", "Training", "Not measured"):
        assert f">{heading}</h2>" in html, heading
    assert "herder robustness MODEL DATA" in html
    content = json.loads((folder / "report.json").read_text())
    (row,) = content["runs"]
    assert row["measures"]["mAP50"]["value"] == pytest.approx(1.0)
    assert row["measures"]["mAP50"]["interval"] == pytest.approx([1.0, 1.0])
    assert row["model"]["path"] == "best.safetensors"
    assert "# Report on train" in (folder / "report.md").read_text()


def test_two_runs_are_compared(photos: Path, tmp_path: Path) -> None:
    folders = [make_run(tmp_path / name, level, photos) for name, level in (("bad", 220), ("good", 150))]
    result = run(*folders, "--draws", 100, "--out", tmp_path / "out" / "r.html", "--json")
    assert result.exit_code == 0, (result.output, result.exception)
    content = json.loads(result.stdout)
    assert content == json.loads((tmp_path / "out" / "r.json").read_text())
    bad, good = (row["measures"]["recall"]["value"] for row in content["runs"])
    assert (bad, good) == (pytest.approx(0.3), 1.0)  # of 160, 169, ... 241, three are over 220
    (comparison,) = content["comparisons"]
    assert comparison["kind"] == "comparison"
    assert "good against bad" in (tmp_path / "out" / "r.html").read_text()


def test_results_alone(tmp_path: Path, photos: Path) -> None:
    """A folder without a model shows what is there, and says what is not."""
    folder = make_run(tmp_path / "train", 150, photos)
    (folder / "best.safetensors").unlink()
    result = run(folder)
    assert result.exit_code == 0, (result.output, result.exception)
    html = (folder / "report.html").read_text()
    assert ">Training</h2>" in html
    assert ">Result</h2>" not in html


def test_a_photo_that_cannot_be_read(photos: Path, tmp_path: Path) -> None:
    (photos / "images" / "val" / "p3.png").write_bytes(b"no photo")
    result = run(make_run(tmp_path / "train", 150, photos), "--draws", 100)
    assert result.exit_code == 3
    assert "p3.png" in result.stderr
    content = json.loads((tmp_path / "train" / "report.json").read_text())
    assert content["runs"][0]["data"]["photos"] == 9


def test_nothing_to_measure_on(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_text("150")
    assert isinstance(run(tmp_path / "m.onnx").exception, ConfigError)
    assert isinstance(run(tmp_path / "none").exception, DataError)
