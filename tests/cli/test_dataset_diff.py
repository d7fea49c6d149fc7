"""``herder data diff`` from end to end: exit codes, words and JSON."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from herder.data.formats import Format, read_dataset, write_dataset
from herder.errors import DataError

Maker = Callable[..., Path]
WHOLE = "0 0.5 0.5 1 1\n"
HALF = "0 0.25 0.25 0.5 0.5\n"


def run(*words: object) -> Result:
    app = importlib.import_module("herder.cli.data").data_app
    return CliRunner().invoke(app, ["diff", *map(str, words)])


@pytest.fixture
def pair(yolo_folder: Maker, tmp_path: Path) -> tuple[Path, Path]:
    """A dataset of three photos, and the same as COCO."""
    root = yolo_folder([WHOLE, WHOLE + HALF, ""])
    write_dataset(read_dataset(root), tmp_path / "coco", Format.COCO)
    return root, tmp_path / "coco"


def test_the_same_in_another_format(pair: tuple[Path, Path]) -> None:
    result = run(*pair)
    assert result.exit_code == 0, result.output
    assert "photos: 3 -> 3: 0 added, 0 removed, 0 changed" in result.stdout
    assert "boxes: 3 unchanged" in result.stdout
    assert "the same: fingerprint " + read_dataset(pair[0]).fingerprint() in result.stdout


def test_differences(pair: tuple[Path, Path], make_photo: Maker) -> None:
    root, coco = pair
    (root / "labels/train/photo1.txt").write_text(HALF)
    (root / "images/train/photo2.jpg").unlink()
    (root / "labels/train/photo2.txt").unlink()
    make_photo(root / "images/train/new.jpg", seed=50)
    (root / "labels/train/new.txt").write_text(WHOLE)
    result = run(coco, root)
    assert result.exit_code == 3
    lines = result.stdout.splitlines()
    assert lines[:3] == ["removed: photo2.jpg", "added: new.jpg", "changed: photo1.jpg: 1 removed"]
    assert "boxes: 2 unchanged, 1 added, 1 removed" in lines
    assert any(line.startswith("fingerprint: ") for line in lines)
    found = json.loads(run(coco, root, "--json").stdout)
    assert found["same"] is False
    assert (found["added"], found["removed"]) == (["new.jpg"], ["photo2.jpg"])
    assert found["changed"][0]["boxes"] == {
        "same": 1, "moved": 0, "relabelled": 0, "added": 0, "removed": 1, "ignore": 0, "flags": 0
    }  # fmt: skip


def test_long_lists_are_cut(pair: tuple[Path, Path], make_photo: Maker) -> None:
    root, coco = pair
    for i in range(4):
        make_photo(root / f"images/train/new{i}.jpg", seed=50 + i)
        (root / f"labels/train/new{i}.txt").write_text(WHOLE)
    lines = run(coco, root, "--shown", 3).stdout.splitlines()
    assert lines[3] == "... and 1 more added"


def test_other_pixels(pair: tuple[Path, Path], make_photo: Maker) -> None:
    root, coco = pair
    make_photo(root / "images/train/photo0.jpg", seed=99)
    result = run(coco, root)
    assert result.exit_code == 3
    assert "changed: photo0.jpg: other file" in result.stdout
    assert "training sees the same labels" in result.stdout
    assert run(coco, root, "--no-pixels").exit_code == 0


def test_boxes_in_another_order(pair: tuple[Path, Path]) -> None:
    root, coco = pair
    (root / "labels/train/photo1.txt").write_text(HALF + WHOLE)
    result = run(coco, root)
    assert result.exit_code == 3
    assert "boxes stand in another order" in result.stdout


def test_one_split(pair: tuple[Path, Path], tmp_path: Path) -> None:
    assert run(*pair, "--split", "train").exit_code == 0
    result = run(*pair, "--split", "val")
    assert isinstance(result.exception, DataError)
    assert isinstance(run(pair[0], tmp_path / "missing").exception, DataError)


def test_classes(pair: tuple[Path, Path]) -> None:
    root, coco = pair
    (root / "classes.txt").write_text("llama\nalpaca\n")
    lines = run(coco, root).stdout.splitlines()
    assert "class alpaca: 3 boxes -> 0 boxes" in lines
    assert "class llama: no such class -> 3 boxes" in lines
    assert any("other numbers" in line for line in lines)
