"""``herder data clean``: exit codes and what is said."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path

from typer.testing import CliRunner, Result

from herder.errors import ConfigError, DataError

Maker = Callable[..., Path]
MOST = "0 0.5 0.5 0.9 0.9\n"


def run(*words: object) -> Result:
    app = importlib.import_module("herder.cli.data").data_app
    return CliRunner().invoke(app, ["clean", *map(str, words)])


def test_clean_already(yolo_folder: Maker, tmp_path: Path) -> None:
    result = run(yolo_folder([MOST, ""]), "--out", tmp_path / "out", "--to", "coco")
    assert result.exit_code == 0, result.output
    assert "train 2 photos, 1 boxes" in result.stdout
    assert (tmp_path / "out/annotations/instances_train.json").exists()


def test_something_set_aside(yolo_folder: Maker, tmp_path: Path) -> None:
    root = yolo_folder([MOST, MOST, MOST])
    (root / "images/train/photo2.jpg").write_bytes((root / "images/train/photo1.jpg").read_bytes())
    result = run(root, "--out", tmp_path / "out", "--workers", 2)
    assert result.exit_code == 3
    assert "train 2 photos, 2 boxes" in result.stdout
    assert "set aside: 1 x duplicate-photo" in result.stderr
    assert "quarantine.json names each of them" in result.stderr
    (entry,) = json.loads((tmp_path / "out/quarantine/quarantine.json").read_text())["files"]
    assert entry["was"] == "images/train/photo2.jpg"
    result = run(root, "--out", tmp_path / "keep", "--duplicates", "keep")
    assert result.exit_code == 0
    result = run(root, "--out", tmp_path / "large", "--min-side", 49)
    assert isinstance(result.exception, DataError)


def test_wrong_use(yolo_folder: Maker, tmp_path: Path) -> None:
    root = yolo_folder([MOST])
    assert isinstance(run(root, "--out", tmp_path / "out", "--near", 50).exception, ConfigError)
    assert isinstance(run(tmp_path / "missing", "--out", tmp_path / "out").exception, DataError)
    assert not (tmp_path / "out").exists()
