"""``herder data`` from end to end: exit codes, what is said where, and that nothing is changed."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from herder.data.formats import available_splits, read_dataset
from herder.errors import ConfigError, DataError

Maker = Callable[..., Path]
Runner = Callable[..., Result]
WHOLE = "0 0.5 0.5 1 1\n"
BAD = "0 0.5 0.5 nan 1\n"


@pytest.fixture
def run() -> Callable[..., Result]:
    app = importlib.import_module("herder.cli.data").data_app

    def call(*words: object) -> Result:
        return CliRunner().invoke(app, [str(word) for word in words])

    return call


def tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_check(run: Runner, yolo_folder: Maker) -> None:
    root = yolo_folder([WHOLE, WHOLE])
    result = run("check", root)
    assert result.exit_code == 0, result.output
    assert "2 photos with 2 boxes can be used" in result.stdout
    (root / "labels/train/photo1.txt").write_text(WHOLE + BAD)
    before = tree(root)
    result = run("check", root)
    assert result.exit_code == 3
    assert "photo1.txt: line 2: NaN" in result.stdout
    assert tree(root) == before
    result = run("check", root, "--json", "--no-decode")
    assert result.exit_code == 3
    found = json.loads(result.stdout)
    counts = {"whole-photo-box": 2, "not-finite": 1}
    assert (found["photos"], found["boxes"], found["counts"], found["clean"]) == (2, 2, counts, False)
    assert found["problems"][0]["path"].endswith("photo1.txt")


def test_unusable_is_an_error(run: Runner, tmp_path: Path) -> None:
    """The frame of the command line turns these into exit code 2."""
    for words in (["check"], ["stats"], ["convert", "--to", "coco", "--out", tmp_path / "out"]):
        result = run(words[0], tmp_path / "missing", *words[1:])
        assert isinstance(result.exception, DataError)
        assert str(tmp_path / "missing") in str(result.exception)


def test_stats(run: Runner, yolo_folder: Maker) -> None:
    root = yolo_folder([WHOLE, WHOLE + BAD, ""])
    result = run("stats", root)
    assert result.exit_code == 0, result.output
    assert "alpaca" in result.stdout
    assert "set aside" in result.stderr
    result = run("stats", root, "--json", "--split", "train")
    found = json.loads(result.stdout)
    assert (found["photos"], found["boxes"], found["backgrounds"]) == (3, 2, 1)


@pytest.mark.parametrize("format", ["yolo", "coco", "voc"])
def test_convert(run: Runner, yolo_folder: Maker, make_photo: Maker, tmp_path: Path, format: str) -> None:
    root = yolo_folder([WHOLE, ""])
    make_photo(root / "images/val/v.jpg")
    (root / "labels/val").mkdir()
    (root / "labels/val/v.txt").write_text(WHOLE)
    result = run("convert", root, "--to", format, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert available_splits(tmp_path / "out") == ("train", "val")
    assert read_dataset(tmp_path / "out").fingerprint() == read_dataset(root).fingerprint()
    result = run("convert", root, "--to", format, "--out", tmp_path / "out")
    assert isinstance(result.exception, DataError)


def test_convert_says_what_it_left_out(run: Runner, yolo_folder: Maker, tmp_path: Path) -> None:
    result = run("convert", yolo_folder([WHOLE + BAD]), "--to", "voc", "--out", tmp_path / "out")
    assert result.exit_code == 3
    assert "photo0.txt: line 2" in result.stderr
    label = tmp_path / "out/Annotations/photo0.xml"
    label.write_text(label.read_text().replace("<difficult>0", "<difficult>1"))
    result = run("convert", tmp_path / "out", "--to", "yolo", "--out", tmp_path / "again")
    assert "1 boxes to be ignored stand in herder.json" in result.stderr
    assert (tmp_path / "again/labels/train/photo0.txt").read_text() == ""
    assert read_dataset(tmp_path / "again").fingerprint() == read_dataset(tmp_path / "out").fingerprint()


def test_pasture(run: Runner, tmp_path: Path) -> None:
    words = ["--train", 3, "--val", 2, "--size", 96, "--herd", 1, 2, "--light", "noon"]
    result = run("pasture", tmp_path / "p", *words)
    assert result.exit_code == 0, (result.output, result.exception)
    assert len(read_dataset(tmp_path / "p", split="train")) == 3
    assert len(read_dataset(tmp_path / "p", split="val")) == 2
    assert isinstance(run("pasture", tmp_path / "q", "--size", 5).exception, ConfigError)


@pytest.mark.parametrize("words", [[], ["--augmented"]])
def test_show(run: Runner, yolo_folder: Maker, tmp_path: Path, words: list[str]) -> None:
    root = yolo_folder([WHOLE, "", WHOLE])
    result = run("show", root, "--out", tmp_path / "grid.png", "--count", 4, "--size", 64, *words)
    assert result.exit_code == 0, (result.output, result.exception)
    picture = np.asarray(Image.open(tmp_path / "grid.png").convert("RGB"))
    assert picture.shape[0] >= 64
    assert picture.std() > 5  # there is something to see
