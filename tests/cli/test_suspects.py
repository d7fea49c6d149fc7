"""``herder data suspects`` from end to end, with models that find white rectangles, and each thing that is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner, Result

from herder.boxes import FloatArray
from herder.cli.suspects import suspects_command
from herder.data.formats import read_dataset
from herder.errors import ConfigError, DataError, HerderError
from herder.inference import Detector
from herder.spec import example_spec


class WhiteFinder:
    """An engine that finds up to two white rectangles, one in each half of the photo."""

    needs_nms, fixed_size = True, None

    def __init__(self) -> None:
        self.spec = example_spec().replace(input_size=64)

    def predict(self, canvases: NDArray[np.uint8]) -> tuple[FloatArray, FloatArray]:
        boxes, scores = np.zeros((len(canvases), 2, 4), np.float32), np.zeros((len(canvases), 2, 1), np.float32)
        for i, canvas in enumerate(canvases):
            for side in (0, 1):
                y, x = np.nonzero(canvas[:, 32 * side : 32 * side + 32].min(axis=2) > 240)
                if len(x):
                    x = x + 32 * side
                    boxes[i, side], scores[i, side] = (x.min(), y.min(), x.max() + 1, y.max() + 1), 0.9
        return boxes, scores


LEFT, RIGHT = (4, 8, 28, 40), (36, 8, 60, 40)
LEFT_LABEL = "0 0.25 0.375 0.375 0.5"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Four photos of train: as labelled, one animal forgotten, one labelled where nothing is, and two; one of val."""
    root = tmp_path / "data"
    photos = [
        ("a", [LEFT], LEFT_LABEL),
        ("b", [LEFT, RIGHT], LEFT_LABEL),
        ("c", [], LEFT_LABEL),
        ("d", [LEFT], LEFT_LABEL),
    ]
    for split, listed in (("train", photos), ("val", photos[1:2])):
        (root / "labels" / split).mkdir(parents=True)
        (root / "images" / split).mkdir(parents=True)
        for name, animals, label in listed:
            pixels = np.zeros((64, 64, 3), np.uint8)
            for x1, y1, x2, y2 in animals:
                pixels[y1:y2, x1:x2] = 255
            Image.fromarray(pixels).save(root / "images" / split / f"{name}.png")
            (root / "labels" / split / f"{name}.txt").write_text(label)
    (root / "classes.txt").write_text("alpaca\n")
    return root


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("herder.api.unseen.load", lambda path: Detector(WhiteFinder()))
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"weights")
    return path


@pytest.fixture
def crossval(tmp_path: Path, model: Path) -> Path:
    """Two finished folds, which have seen a and b, and c and d; a third that was stopped."""
    folder = tmp_path / "cv"
    folds = []
    for name, seen in (("one", ["a", "b"]), ("two", ["c", "d"]), ("three", [])):
        (folder / name).mkdir(parents=True)
        (folder / name / "best.safetensors").write_bytes(name.encode())
        folds.append({"name": name, "train": [f"images/train/{photo}.png" for photo in seen], "validation": []})
        if name != "three":
            (folder / name / "fold.json").write_text("{}")
    (folder / "folds.json").write_text(json.dumps({"folds": folds}))
    return folder


def run(*words: object) -> Result:
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(suspects_command)
    return CliRunner().invoke(app, [str(word) for word in words])


def test_folds_judge_the_photos_they_have_not_seen(crossval: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run(crossval, data, "--out", out, "--json")
    assert result.exit_code == 0
    told = json.loads((out / "suspects.json").read_text())
    assert json.loads(result.stdout) == told
    assert [(s["photo"], s["kind"], s["models"]) for s in told["suspects"]] == [
        ("images/train/b.png", "missing", 1),
        ("images/train/c.png", "unsupported", 1),
    ]
    assert [p["photo"] for p in told["photos"]] == ["images/train/b.png", "images/train/c.png"]
    assert told["photos"][0]["suspicion"] == told["suspects"][0]["suspicion"] == pytest.approx(0.9)
    assert told["suspects"][0]["found"][0]["bbox"] == [36, 8, 24, 32]
    assert told["confidence"]["classes"]["alpaca"] == pytest.approx(0.9 * 3 / 4)
    assert [m["seen"] for m in told["models"]] == [2, 2]
    assert str(tmp_path) not in json.dumps(told["suspects"])
    assert {f.name for f in out.iterdir()} == {
        "missing.jpg", "unsupported.jpg", "suspects.html", "suspects.json", "predictions",
    }  # fmt: skip
    assert "Missing" in (out / "suspects.html").read_text()


def test_a_second_run_goes_on_from_what_was_found(
    crossval: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    assert run(crossval, data, "--out", out).exit_code == 0
    first = json.loads((out / "suspects.json").read_text())
    monkeypatch.setattr(WhiteFinder, "predict", lambda *_: pytest.fail("looked again"))
    assert run(crossval, data, "--out", out).exit_code == 0
    assert json.loads((out / "suspects.json").read_text())["suspects"] == first["suspects"]


def test_missing_animals_become_boxes_to_be_ignored_in_a_copy(crossval: Path, data: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    copy = tmp_path / "copy"
    result = run(crossval, data, "--out", tmp_path / "out", "--as-ignore", copy)
    assert result.exit_code == 0
    assert "training will ignore 1 of these" in result.stdout
    assert {path: path.read_bytes() for path in data.rglob("*") if path.is_file()} == before
    train = {record.path.stem: record for record in read_dataset(copy, split="train")}
    assert train["b"].ignore.tolist() == [False, True]
    np.testing.assert_allclose(train["b"].boxes[1], RIGHT, atol=0.01)
    assert [train[name].ignore.tolist() for name in "acd"] == [[False]] * 3
    assert read_dataset(copy, split="val")[0].ignore.tolist() == [False]  # nobody asked for val
    assert (
        run(crossval, data, "--out", tmp_path / "out", "--as-ignore", tmp_path / "none", "--least", "1").exit_code == 0
    )
    assert not any(record.ignore.any() for record in read_dataset(tmp_path / "none", split="train"))
    words = ["--as-ignore", tmp_path / "two", "--ignore", "unsupported", "--ignore", "missing"]
    assert run(crossval, data, "--out", tmp_path / "out", *words).exit_code == 0
    two = {record.path.stem: record.ignore.tolist() for record in read_dataset(tmp_path / "two", split="train")}
    assert two == {"a": [False], "b": [False, True], "c": [True], "d": [False]}


def test_model_files_with_lists_of_their_photos(model: Path, data: Path, tmp_path: Path) -> None:
    (tmp_path / "seen.txt").write_text("b.png\nc.png\n\n")
    result = run(model, data, "--out", tmp_path / "out", "--trained-on", tmp_path / "seen.txt")
    assert result.exit_code == 0
    assert "2 photos were not judged" in result.stdout
    assert "0 with suspects" in result.stdout
    result = run(model, data, "--out", tmp_path / "out", "--unseen")
    assert "4 photos judged, 2 with suspects" in result.stdout
    result = run(model, data, "--out", tmp_path / "val", "--unseen", "--split", "val")
    assert "1 photos judged, 1 with suspects" in result.stdout


def test_a_broken_photo_is_set_aside(model: Path, data: Path, tmp_path: Path) -> None:
    path = data / "images" / "train" / "a.png"
    path.write_bytes(path.read_bytes()[:90])
    result = run(model, data, "--out", tmp_path / "out", "--unseen")
    assert result.exit_code == 3
    assert "3 photos judged" in result.stdout


def refused(error: type[HerderError], match: str, *words: object) -> None:
    with pytest.raises(error, match=match):
        raise run(*words).exception or AssertionError("nothing was refused")


def test_what_is_refused(model: Path, crossval: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    refused(ConfigError, "a model and a dataset", data, "--out", out)
    refused(ConfigError, "are for --as-ignore", crossval, data, "--out", out, "--least", "0.5")
    refused(ConfigError, "1 model files, but 0 lists", model, data, "--out", out)
    (tmp_path / "seen.txt").write_text("a.png")
    refused(
        ConfigError, "0 model files, but 1 lists", crossval, data, "--out", out, "--trained-on", tmp_path / "seen.txt"
    )
    refused(ConfigError, "both", model, data, "--out", out, "--trained-on", tmp_path / "seen.txt", "--unseen")
    refused(DataError, "cannot be read", model, data, "--out", out, "--trained-on", tmp_path / "gone.txt")
    refused(ConfigError, "holds no folds.json", data, data, "--out", out)
    refused(DataError, "no split 'test'", crossval, data, "--out", out, "--split", "test")
    refused(ConfigError, "no such file", tmp_path / "gone.safetensors", data, "--out", out, "--unseen")
    every = tmp_path / "every.txt"
    every.write_text("a.png\nb.png\nc.png\nd.png")
    refused(DataError, "have seen all 4 photos", model, data, "--out", out, "--trained-on", every)
    every.write_text("\n")
    refused(DataError, "names no photo", model, data, "--out", out, "--trained-on", every)
    refused(DataError, "is there already", crossval, data, "--out", out, "--as-ignore", data)
    refused(ConfigError, "holds other files", crossval, data, "--out", data)
    (data / "images" / "train").rename(data / "images" / "test")
    (data / "labels" / "train").rename(data / "labels" / "test")
    refused(ConfigError, "only if you say so", crossval, data, "--out", out)
    (crossval / "one" / "fold.json").unlink()
    (crossval / "two" / "fold.json").unlink()
    refused(DataError, "no fold is finished", crossval, data, "--out", out, "--split", "val")
    (crossval / "folds.json").write_text('{"folds": [{"name": "one", "train": 3}]}')
    refused(DataError, "train: wanted a list", crossval, data, "--out", out, "--split", "val")
    assert not (out / "suspects.json").exists()
