from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner, Result

from herder.boxes import FloatArray
from herder.cli.evaluate import evaluate_command
from herder.errors import ConfigError, DataError, HerderError
from herder.inference import Detector
from herder.spec import ModelSpec, example_spec

TRUTH = {
    "images": [{"id": 1, "file_name": "a.jpg"}],
    "categories": [{"id": 1, "name": "alpaca"}, {"id": 2, "name": "llama"}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 20, 20]}],
}
FOUND = [{"image_id": 1, "category_id": 1, "bbox": [10, 10, 20, 20], "score": 0.9}]


class BrightSpots:
    """An engine that finds the white rectangle in each canvas."""

    needs_nms = True
    fixed_size = None

    def __init__(self) -> None:
        self.spec: ModelSpec = example_spec().replace(input_size=64)

    def predict(self, canvases: Any) -> tuple[FloatArray, FloatArray]:
        boxes = np.zeros((len(canvases), 1, 4), np.float32)
        scores = np.zeros((len(canvases), 1, 1), np.float32)
        for i, canvas in enumerate(canvases):
            y, x = np.nonzero(canvas.min(axis=2) > 240)
            if len(x):
                boxes[i, 0] = x.min(), y.min(), x.max() + 1, y.max() + 1
                scores[i, 0, 0] = 0.9
        return boxes, scores


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr("herder.api.load", lambda path, **_: Detector(BrightSpots()))
    return "spots.onnx"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A YOLO folder with train and val; the second photo of val has a false label."""
    for split in ("train", "val"):
        for kind in ("images", "labels"):
            (tmp_path / "data" / kind / split).mkdir(parents=True)
        for name, label in (("a", "0 0.25 0.25 0.25 0.25"), ("b", "0 0.75 0.75 0.25 0.25")):
            picture = np.zeros((64, 64, 3), np.uint8)
            picture[8:24, 8:24] = 255
            Image.fromarray(picture).save(tmp_path / "data" / "images" / split / f"{name}.png")
            (tmp_path / "data" / "labels" / split / f"{name}.txt").write_text(label + "\n")
    (tmp_path / "data" / "classes.txt").write_text("alpaca\n")
    return tmp_path / "data"


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    (tmp_path / "truth.json").write_text(json.dumps(TRUTH))
    (tmp_path / "found.json").write_text(json.dumps(FOUND))
    return ["--predictions", str(tmp_path / "found.json"), "--truth", str(tmp_path / "truth.json")]


def run(*arguments: object) -> Result:
    app = typer.Typer()
    app.command()(evaluate_command)
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_files_as_json_with_null_for_what_is_not_defined(files: list[str]) -> None:
    result = run(*files, "--json")
    assert result.exit_code == 0
    content = json.loads(result.stdout, parse_constant=pytest.fail)
    assert content["metrics"]["mAP50"] == pytest.approx(1)
    assert content["metrics"]["AP_large"] is None
    assert [c["name"] for c in content["per_class"]] == ["alpaca", "llama"]
    assert content["per_class"][1]["mAP50"] is None
    assert (content["photos"], content["truths"], content["problems"]) == (1, 1, [])


def test_files_as_table_and_report(files: list[str], tmp_path: Path) -> None:
    result = run(*files, "--report", tmp_path / "report.html")
    assert result.exit_code == 0
    assert "mAP50" in result.stdout
    assert "llama" in result.stdout
    assert "precision, recall and F1 at score 0.900" in result.stdout
    assert "alpaca" in (tmp_path / "report.html").read_text("utf-8")


def test_model_on_data(model: str, photos: Path, tmp_path: Path) -> None:
    report, saved = tmp_path / "report.html", tmp_path / "found.json"
    result = run(model, photos, "--json", "--report", report, "--save-coco", saved)
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert (content["split"], content["photos"], content["model"]) == ("val", 2, "spots.onnx")
    assert (content["metrics"]["precision"], content["metrics"]["recall"]) == (0.5, 0.5)
    assert [row["file_name"] for row in json.loads(saved.read_text())] == ["a.png", "b.png"]
    html = report.read_text("utf-8")
    assert "b.png: 1 missed, 1 false" in html
    assert "a.png:" not in html
    assert "ms a photo" in html
    assert "spots.onnx · data · val" in html
    assert str(tmp_path) not in html


def test_a_broken_photo_is_set_aside_with_exit_code_3(model: str, photos: Path, tmp_path: Path) -> None:
    path = photos / "images" / "val" / "a.png"
    path.write_bytes(path.read_bytes()[:-30])
    result = run(model, photos, "--json", "--report", tmp_path / "r.html")
    assert result.exit_code == 3
    content = json.loads(result.stdout)
    assert content["photos"] == 1
    assert [Path(problem["path"]).name for problem in content["problems"]] == ["a.png"]
    assert "a.png" in result.stderr
    assert "Set aside" in (tmp_path / "r.html").read_text("utf-8")


def test_split_can_be_chosen(model: str, photos: Path) -> None:
    assert json.loads(run(model, photos, "--split", "train", "--json").stdout)["split"] == "train"
    with pytest.raises(DataError, match="no split 'test'"):
        raise run(model, photos, "--split", "test").exception


def test_count_as_is_read(model: str, photos: Path) -> None:
    (photos / "classes.txt").write_text("sheep\n")
    assert isinstance(run(model, photos).exception, ConfigError)
    assert json.loads(run(model, photos, "--count-as", "sheep = alpaca,", "--json").stdout)["metrics"]["recall"] == 0.5
    for wrong in ("alpaca", "=alpaca", "sheep=", "sheep= ,"):
        with pytest.raises(ConfigError, match="wanted NAME=OTHER"):
            raise run(model, photos, "--count-as", wrong).exception


def test_without_a_val_split(model: str, photos: Path) -> None:
    (photos / "images" / "val").rename(photos / "images" / "test")
    (photos / "labels" / "val").rename(photos / "labels" / "test")
    with pytest.raises(ConfigError, match=r"(?s)no split 'val'.*--split: train, test"):
        raise run(model, photos).exception
    for kind in ("images", "labels"):
        for file in (photos / kind / "test").iterdir():
            file.unlink()
        (photos / kind / "test").rmdir()
    assert json.loads(run(model, photos, "--json").stdout)["split"] == "train"  # the only one there is


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["model.onnx"],
        ["--predictions", "found.json"],
        ["--truth", "truth.json"],
        ["model.onnx", "--predictions", "found.json", "--truth", "truth.json"],
        ["--predictions", "found.json", "--truth", "truth.json", "--save-coco", "x.json"],
    ],
)
def test_what_does_not_go_together_is_an_error(arguments: list[str]) -> None:
    result = run(*arguments)
    assert isinstance(result.exception, ConfigError)
    assert "herder evaluate" in result.exception.hint


def test_a_missing_file_is_an_error(files: list[str], tmp_path: Path) -> None:
    (tmp_path / "found.json").unlink()
    result = run(*files)
    assert isinstance(result.exception, HerderError)
    assert "found.json: no such file" in str(result.exception)


def test_further_looks_at_each_photo(model: str, photos: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    plain = json.loads(run(model, photos, "--json").output)
    found = json.loads(run(model, photos, "--tta", "flip,128", "--json", "--report", report).output)
    assert "tta" not in plain
    assert found["tta"] == "flip,128"
    assert found["metrics"]["recall"] == plain["metrics"]["recall"]  # it knows the truth in every view
    assert "flip,128" in report.read_text()
    assert "flip" in run(model, photos, "--tta", "flip", "--tta-merge", "nms").output


@pytest.mark.parametrize(
    ("words", "message"),
    [(["--tta", "mirror"], "neither"), (["--tta", "flip,100"], "multiple"), (["--tta-merge", "wbf"], "only one look")],
)
def test_looks_that_cannot_be_are_refused(model: str, photos: Path, words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        raise run(model, photos, *words).exception or AssertionError("nothing was refused")
