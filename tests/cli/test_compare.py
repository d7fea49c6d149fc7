"""``herder compare`` from the shell, with engines and files whose skill is known."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import typer
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner, Result

from herder.cli.compare import compare_command
from herder.errors import ConfigError, DataError, HerderError
from herder.inference import Detector
from herder.spec import METADATA_KEY, ModelSpec, example_spec

PHOTOS = 24


class Spots:
    """An engine that finds what is bright in each canvas, and misses it in photos darker than ``blind``."""

    needs_nms = True
    fixed_size = None

    def __init__(self, spec: ModelSpec, blind: int) -> None:
        self.spec, self.blind = spec, blind

    def predict(self, canvases: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        classes = len(self.spec.class_names)
        boxes, scores = np.zeros((len(canvases), 1, 4), np.float32), np.zeros((len(canvases), 1, classes), np.float32)
        for i, canvas in enumerate(canvases):
            y, x = np.nonzero(canvas.min(axis=2) > 200)
            if len(x) and canvas[0, 0, 0] >= self.blind:
                boxes[i, 0] = x.min(), y.min(), x.max() + 1, y.max() + 1
                scores[i, 0, 0] = 0.9
        return boxes, scores


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model file holds the number under which its engine is blind; -1 finds all."""

    def load(path: Path, **_: object) -> Detector:
        names, blind = path.read_bytes().split()[:2]
        spec = example_spec().replace(input_size=64, class_names=tuple(names.decode().split(",")))
        return Detector(Spots(spec, int(blind)))

    monkeypatch.setattr("herder.api.load", load)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for kind in ("images", "labels"):
        (tmp_path / "data" / kind / "val").mkdir(parents=True)
    for i in range(PHOTOS):
        picture = np.full((64, 64, 3), 4 * i, np.uint8)
        picture[8:40, 8:40] = 250
        Image.fromarray(picture).save(tmp_path / "data" / "images" / "val" / f"{i:02}.png")
        (tmp_path / "data" / "labels" / "val" / f"{i:02}.txt").write_text("0 0.375 0.375 0.5 0.5\n")
    (tmp_path / "data" / "classes.txt").write_text("alpaca\n")
    return tmp_path / "data"


@pytest.fixture
def model(tmp_path: Path) -> Any:
    def make(name: str, blind: int, classes: str = "alpaca") -> Path:
        path = tmp_path / f"{name}.onnx"
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(f"{classes} {blind}".encode())
        return path

    return make


def run(*arguments: object) -> Result:
    app = typer.Typer()
    app.command()(compare_command)
    result = CliRunner().invoke(app, [*(str(a) for a in arguments), "--draws", "100"])
    if isinstance(result.exception, HerderError):
        raise result.exception
    return result


def content(folder: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((folder / "comparison.json").read_text(), parse_constant=pytest.fail)
    return data


def test_a_better_model_passes_the_gate_and_a_worse_one_does_not(
    engine: None, model: Any, photos: Path, tmp_path: Path
) -> None:
    poor, good, out = model("poor", 48), model("good", -1), tmp_path / "out"
    words = ("--data", photos, "--out", out, "--gate", "better")
    result = run(poor, good, *words)
    assert result.exit_code == 0, result.output
    data = content(out)
    assert (data["kind"], data["version"], data["data"]["photos"]) == ("comparison", 1, PHOTOS)
    rows = {row["metric"]: row for row in data["photos"]["rows"]}
    # 12 of 24 animals found and no false alarm: AP is the share of the 101 recalls up to 0.5, F1 is 2/3.
    assert rows["mAP50"]["a"] == pytest.approx(51 / 101)
    assert rows["mAP50"]["b"] == 1.0
    assert rows["F1"]["a"] == pytest.approx(2 / 3)
    low, high = rows["mAP50_95"]["bounds"]
    assert 0 < low < 50 / 101 < high < 1
    assert rows["mAP50"]["better"] == 1.0
    assert rows["mAP50"]["p_value"] < rows["mAP50"]["adjusted"] < 0.05
    assert data["verdict"]["passed"] is True
    assert "gate passed" in result.stdout
    assert [gain["name"] for gain in data["photos"]["gains"]] == [f"{i:02}.png" for i in range(12)]
    html = (out / "comparison.html").read_text("utf-8")
    assert "00.png: B gained; 1 errors of A (left), 0 of B (right)" in html
    assert str(tmp_path) not in html

    backwards = run(good, poor, *words)
    assert backwards.exit_code == 1
    assert "gate not passed" in backwards.stdout
    assert run(good, poor, "--data", photos, "--out", out).exit_code == 0  # without a gate it is only told


def test_the_same_model_twice(engine: None, model: Any, photos: Path, tmp_path: Path) -> None:
    one = model("one", 24)
    shutil.copy(one, tmp_path / "copy.onnx")
    words = (one, tmp_path / "copy.onnx", "--data", photos, "--out", tmp_path / "out")
    result = run(*words, "--gate", "better")
    assert result.exit_code == 1
    assert "Both sides hold the same file." in result.stdout
    row = content(tmp_path / "out")["photos"]["rows"][0]
    assert (row["difference"], row["better"], row["p_value"]) == (0.0, 0.5, 1.0)
    assert run(*words, "--gate", "not-worse", "--margin", "0.01").exit_code == 0


def test_json_is_all_there_is_and_the_same_again(engine: None, model: Any, photos: Path, tmp_path: Path) -> None:
    words = (model("a", 24), model("b", 16), "--data", photos, "--out", tmp_path / "out", "--json")
    first = json.loads(run(*words).stdout)
    assert first == content(tmp_path / "out") == json.loads(run(*words).stdout)
    other = json.loads(run(*words, "--seed", "1").stdout)
    assert other["photos"]["rows"][0]["difference"] == first["photos"]["rows"][0]["difference"]
    assert other["photos"]["rows"][0]["counts"] != first["photos"]["rows"][0]["counts"]


def test_several_models_a_side(engine: None, model: Any, photos: Path, tmp_path: Path) -> None:
    a = ",".join(str(model(f"a{i}", 48 + 4 * i)) for i in range(3))
    b = ",".join(str(model(f"b{i}", 8 * i)) for i in range(4))
    result = run(a, b, "--data", photos, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    data = content(tmp_path / "out")
    row = data["seeds"]["rows"][0]
    recalls = [np.floor(100 * (PHOTOS - missed) / PHOTOS) + 1 for missed in (12, 13, 14)]
    assert row["a"] == pytest.approx([found / 101 for found in recalls])
    assert (len(row["a"]), len(row["b"]), data["seeds"]["paired_by"]) == (3, 4, "")
    assert data["photos"]["rows"][0]["a"] == pytest.approx(np.mean(row["a"]))
    # Three models cannot be swapped with four.
    assert data["photos"]["rows"][0]["p_value"]["value"] is None
    assert "not computed" in (tmp_path / "out" / "comparison.html").read_text("utf-8")


def test_a_broken_photo_is_set_aside(engine: None, model: Any, photos: Path, tmp_path: Path) -> None:
    path = photos / "images" / "val" / "03.png"
    path.write_bytes(path.read_bytes()[:-30])
    result = run(model("a", 48), model("b", -1), "--data", photos, "--out", tmp_path / "out")
    assert result.exit_code == 3
    data = content(tmp_path / "out")
    assert data["data"]["photos"] == data["photos"]["photos"] == PHOTOS - 1
    assert len(data["set_aside"]) == 1
    gated = run(model("a", 48), model("b", -1), "--data", photos, "--out", tmp_path / "out", "--gate", "better")
    assert gated.exit_code == 3
    assert run(model("b", -1), model("a", 48), "--data", photos, "--gate", "better", "--out", tmp_path).exit_code == 1


def test_photos_without_labels(engine: None, model: Any, photos: Path, tmp_path: Path) -> None:
    for label in (photos / "labels" / "val").iterdir():
        label.write_text("")
    words = (model("a", 48), model("b", -1), "--data", photos, "--out", tmp_path / "out")
    result = run(*words)
    assert result.exit_code == 0, result.output
    assert "not computed" in result.stdout
    assert content(tmp_path / "out")["photos"]["rows"][0]["a"]["value"] is None
    assert run(*words, "--gate", "not-worse").exit_code == 1  # what is not known is not passed


def test_other_classes(engine: None, model: Any, photos: Path, tmp_path: Path) -> None:
    (photos / "classes.txt").write_text("alpaca\nllama\n")
    both, one = model("both", -1, "alpaca,llama"), model("one", -1)
    with pytest.raises(ConfigError, match="only one of them knows llama"):
        run(both, one, "--data", photos, "--out", tmp_path / "out")
    with pytest.raises(ConfigError, match="knows goat, and none of the dataset's classes"):
        run(one, model("none", -1, "goat"), "--data", photos, "--out", tmp_path / "out")


@pytest.fixture
def files(tmp_path: Path) -> Any:
    """A file of labels, and one that makes files of predictions: a box moved by so many pixels on every photo."""
    images = [{"id": i, "file_name": f"{i}.jpg", "width": 100, "height": 100} for i in range(PHOTOS)]
    labels = [{"id": i, "image_id": i, "category_id": 1, "bbox": [10, 10, 40, 40], "iscrowd": 0} for i in range(PHOTOS)]
    truth = {"images": images, "categories": [{"id": 1, "name": "alpaca"}], "annotations": labels}
    (tmp_path / "truth.json").write_text(json.dumps(truth))

    def make(name: str, moved: list[float], **changes: Any) -> Path:
        rows = [
            {"image_id": i, "category_id": 1, "bbox": [10 + by, 10, 40, 40], "score": 0.9 - i / 100}
            for i, by in enumerate(moved)
        ]
        rows[0].update(changes)
        (tmp_path / f"{name}.json").write_text(json.dumps(rows))
        return tmp_path / f"{name}.json"

    return make


def test_files_of_predictions(files: Any, tmp_path: Path) -> None:
    a, b = files("a", [0, 30] * (PHOTOS // 2)), files("b", [0] * PHOTOS)
    result = run(a, b, "--truth", tmp_path / "truth.json", "--out", tmp_path / "out", "--gate", "better")
    assert result.exit_code == 0, result.output
    data = content(tmp_path / "out")
    assert data["data"]["name"] == "truth.json"
    assert data["photos"]["gains"][0]["name"] == "1.jpg"
    assert "there are no photos to draw" in (tmp_path / "out" / "comparison.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"score": 1.5}, r"\.score: found 1.5, wanted 0 to 1"),
        ({"score": -0.1}, "found -0.1, wanted 0 to 1"),
        ({"score": float("nan")}, "wanted a finite number"),
        ({"image_id": 99}, "99 is not in"),
        ({"category_id": 7}, "7 is not in"),
        ({"bbox": [10, 10, -40, 40]}, "must not be negative"),
    ],
)
def test_predictions_that_are_wrong(files: Any, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    a, b = files("a", [0] * PHOTOS), files("b", [0] * PHOTOS, **changes)
    with pytest.raises(DataError, match=message) as caught:
        run(a, b, "--truth", tmp_path / "truth.json", "--out", tmp_path / "out")
    assert "b.json" in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_what_does_not_go_together(files: Any, engine: None, model: Any, photos: Path, tmp_path: Path) -> None:
    one, two = files("a", [0] * PHOTOS), model("m", -1)
    truth, out = ("--truth", tmp_path / "truth.json"), ("--out", tmp_path / "out")
    for words, message in (
        ((one, one, *out), "go together"),
        ((one, two, *truth, *out), "go together"),
        ((one, one, *truth, "--data", photos, *out), "go together"),
        ((two, two, *truth, *out), "go together"),
        ((two, two, *out), "nothing says how it did"),
        ((two, two, "--data", photos, "--metric", "mAP", *out), "metric 'mAP' is not compared"),
        ((two, two, "--data", photos, "--gate", "best", *out), "gate 'best' is not known"),
        ((two, two, "--data", photos, "--gate", "better", "--margin", "nan", *out), "margin nan is out of range"),
        ((two, two, "--data", photos, "--margin", "0.1", *out), "there is no gate"),
        ((two, two, "--data", photos, "--level", "1", *out), "level 1.0"),
        ((two, two, "--data", photos, *out, "--draws", "5"), None),
    ):
        if message is not None:
            with pytest.raises(ConfigError, match=message):
                run(*words)
    app = typer.Typer()
    app.command()(compare_command)
    result = CliRunner().invoke(app, [str(w) for w in (two, two, "--data", photos, "--draws", "5")])
    assert isinstance(result.exception, ConfigError)


@pytest.fixture
def make_run(tmp_path: Path) -> Any:
    def make(name: str, seed: int, value: float, photos: str = "f") -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        spec = example_spec().replace(metrics={"mAP50": value, "mAP50_95": value / 2, "F1": value})
        data = safetensors.numpy.save({"w": np.zeros(1, np.float32)}, metadata={METADATA_KEY: spec.to_json()})
        (folder / "best.safetensors").write_bytes(data)
        (folder / "config.json").write_text(json.dumps({"model": "tiny", "config": {"seed": seed}}))
        (folder / "dataset.json").write_text(json.dumps({"validation": {"fingerprint": photos}}))
        return folder

    return make


def test_run_folders_without_photos_are_compared_by_their_seeds(make_run: Any, tmp_path: Path) -> None:
    for seed in range(6):
        make_run(f"a/{seed}", seed, 0.5 + seed / 100)
        make_run(f"b/{seed}", seed, 0.6 + seed / 100 + (seed % 3) / 200)
    result = run(tmp_path / "a", tmp_path / "b", "--out", tmp_path / "out", "--gate", "better")
    assert result.exit_code == 0, result.output
    data = content(tmp_path / "out")
    assert data["photos"] == {"value": None, "reason": "no photos were given (--data)"}
    assert data["seeds"]["paired_by"] == "seed"
    assert data["seeds"]["rows"][0]["difference"] == pytest.approx(0.105)
    assert "in pairs by seed" in result.stdout
    with pytest.raises(DataError, match="validated on different photos"):
        run(tmp_path / "a", make_run("c", 0, 0.5, "g"), "--out", tmp_path / "out")
    alone = run(tmp_path / "a" / "0", tmp_path / "b" / "0", "--out", tmp_path / "out", "--gate", "better")
    assert alone.exit_code == 1
    assert content(tmp_path / "out")["seeds"]["value"] is None


@pytest.fixture
def make_folds(tmp_path: Path) -> Any:
    """The folder of a cross-validation of 80 photos in folds of 16."""

    def make(name: str, values: list[float], photos: str = "f") -> Path:
        rows = [
            {
                "strategy": "stratified",
                "repeat": 1,
                "fold": i,
                "trained": 64,
                "photos": 16,
                "fingerprint": f"{photos}{i}",
                "metrics": {"mAP50": value, "mAP50_95": value / 2, "F1": None},
            }
            for i, value in enumerate(values, start=1)
        ]
        (tmp_path / name).mkdir()
        (tmp_path / name / "crossval.json").write_text(json.dumps({"kind": "crossval", "folds": rows}))
        return tmp_path / name

    return make


def test_folds_of_two_cross_validations(make_folds: Any, tmp_path: Path) -> None:
    pairs = [0.01, 0.03, 0.02, 0.04, 0.02]
    start = [0.5, 0.52, 0.47, 0.51, 0.49]
    a, b = make_folds("a", start), make_folds("b", [value + by for value, by in zip(start, pairs, strict=True)])
    result = run(a, b, "--metric", "mAP50", "--out", tmp_path / "out", "--gate", "better")
    assert result.exit_code == 0, result.output
    data = content(tmp_path / "out")
    assert data["seeds"]["paired_by"] == "fold"
    row = data["seeds"]["rows"][0]
    # By hand: mean 0.024, s 0.011402; t = 0.024 / (s sqrt(1/5 + 16/64)) = 3.138 with 4 degrees of freedom.
    assert row["p_value"] == pytest.approx(0.0349, abs=5e-5)
    assert row["bounds"] == pytest.approx([0.024 - 2.7764 * 0.0076485, 0.024 + 2.7764 * 0.0076485], abs=1e-6)
    assert "corrected" in row["test"]
    assert [r["metric"] for r in data["seeds"]["rows"]] == ["mAP50", "mAP50_95"]  # no fold tells F1
    other = run(a, make_folds("c", [0.6, 0.5, 0.7], "g"), "--out", tmp_path / "out")
    assert "p is smaller than it should be" in other.stdout
    assert content(tmp_path / "out")["seeds"]["paired_by"] == ""


def test_folds_that_cannot_be_compared(
    make_folds: Any, make_run: Any, engine: None, photos: Path, tmp_path: Path
) -> None:
    folds, out = make_folds("a", [0.5, 0.6]), ("--out", tmp_path / "out")
    with pytest.raises(ConfigError, match="each on photos of its own"):
        run(folds, folds, "--data", photos, *out)
    with pytest.raises(DataError, match="validated on different photos"):
        run(folds, make_run("m", 0, 0.5), *out)
    (folds / "crossval.json").write_text('{"folds": []}')
    with pytest.raises(DataError, match="folds: wanted a list"):
        run(folds, folds, *out)
    (folds / "crossval.json").write_text('{"folds": [{"metrics": 3}]}')
    with pytest.raises(DataError, match=r"crossval\.json: folds\[0\]"):
        run(folds, folds, *out)
