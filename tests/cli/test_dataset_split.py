"""``herder data split`` from end to end: the parts, the proof, and what is kept."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from herder.data.formats import Format, read_dataset, write_dataset
from herder.data.records import Dataset, ImageRecord, PhotoSource
from herder.errors import ConfigError, DataError

Maker = Callable[..., Path]
WHOLE = "0 0.5 0.5 1 1\n"


def run(*words: object) -> Result:
    app = importlib.import_module("herder.cli.data").data_app
    return CliRunner().invoke(app, ["split", *map(str, words)])


def tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_the_same_seed_gives_the_same_parts(yolo_folder: Maker, tmp_path: Path) -> None:
    root = yolo_folder([WHOLE] * 10)
    before = tree(root)
    for out in ("one", "two"):
        result = run(root, "--val", 0.2, "--test", 0.1, "--seed", 5, "--out", tmp_path / out)
        assert result.exit_code == 0, result.output
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    assert tree(root) == before
    assert [len(read_dataset(tmp_path / "one", split=s)) for s in ("train", "val", "test")] == [7, 2, 1]


def test_the_proof_is_printed(yolo_folder: Maker, tmp_path: Path) -> None:
    result = run(yolo_folder([WHOLE] * 4 + [""]), "--val", 0.4, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "proof: no file and none of 0 groups is in two parts" in result.stdout
    rows = [line.replace("│", " ").split() for line in result.stdout.splitlines()]
    assert any(row[:4] == ["train", "3", "60.0%", "60.0%"] for row in rows)
    assert any(row[:4] == ["val", "2", "40.0%", "40.0%"] for row in rows)
    assert ["alpaca", "50.0%", "50.0%"] in rows  # 5 photos cannot be dealt out more evenly, with their background


def test_near_duplicates_stay_together(yolo_folder: Maker, tmp_path: Path) -> None:
    """Six photos and a smaller, harder pressed copy of each: a copy in val would be a photo that was trained on."""
    root = yolo_folder([WHOLE] * 6)
    for i in range(6):
        with Image.open(root / f"images/train/photo{i}.jpg") as photo:
            photo.resize((56, 42)).save(root / f"images/train/copy{i}.jpg", quality=60)
        (root / f"labels/train/copy{i}.txt").write_text(WHOLE)
    for seed in range(3):
        out = tmp_path / f"out{seed}"
        result = run(root, "--val", 0.5, "--seed", seed, "--out", out)
        assert result.exit_code == 0, result.output
        assert "none of 6 sets of near duplicates" in result.stdout
        for part in ("train", "val"):
            names = {record.path.stem for record in read_dataset(out, split=part)}
            assert {f"copy{n[-1]}" for n in names} == {n for n in names if n.startswith("copy")}
            assert len(names) == 6
    result = run(root, "--no-near-duplicates", "--out", tmp_path / "unasked")
    assert "near duplicates were not looked for" in result.stdout


def test_groups_and_licences_survive(tmp_path: Path, make_photo: Maker) -> None:
    records = [
        ImageRecord(
            make_photo(tmp_path / f"in/{i}.jpg", seed=i), 64, 48, [[0, 0, 9, 9]], [0], [i == 3], "CC BY 2.0",
            f"farm {i // 4}", PhotoSource(author=f"Jo {i}"),
        )
        for i in range(16)
    ]  # fmt: skip
    write_dataset(Dataset(tuple(records), ("alpaca",)), tmp_path / "whole", Format.YOLO)
    result = run(tmp_path / "whole", "--val", 0.25, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "none of 4 groups is in two parts" in result.stdout
    parts = [read_dataset(tmp_path / "out", split=name) for name in ("train", "val")]
    assert [len(part) for part in parts] == [12, 4]
    assert len({record.group for record in parts[1]}) == 1
    assert {(r.path.name, r.source.author, r.licence) for part in parts for r in part} == {
        (f"{i}.jpg", f"Jo {i}", "CC BY 2.0") for i in range(16)
    }
    assert sum(int(record.ignore.sum()) for part in parts for record in part) == 1


@pytest.mark.parametrize(("val", "test"), [(0.7, 0.3), (-0.1, 0.2), (0, 0), (float("nan"), 0)])
def test_shares_without_sense(yolo_folder: Maker, tmp_path: Path, val: float, test: float) -> None:
    result = run(yolo_folder([WHOLE] * 3), "--val", val, "--test", test, "--out", tmp_path / "out")
    assert isinstance(result.exception, ConfigError)
    assert not (tmp_path / "out").exists()


def test_one_photo_cannot_be_split(yolo_folder: Maker, tmp_path: Path) -> None:
    result = run(yolo_folder([WHOLE]), "--out", tmp_path / "out")
    assert isinstance(result.exception, DataError)


def test_what_was_set_aside(yolo_folder: Maker, tmp_path: Path) -> None:
    result = run(yolo_folder([WHOLE, WHOLE, WHOLE + "0 0.5 0.5 nan 1\n"]), "--val", 0.4, "--out", tmp_path / "out")
    assert result.exit_code == 3
    assert "photo2.txt: line 2" in result.stderr


def test_photos_of_one_visit_stay_together(yolo_folder: Maker, tmp_path: Path) -> None:
    root = yolo_folder([WHOLE] * 8)
    for i in range(8):
        path = root / f"images/train/photo{i}.jpg"
        with Image.open(path) as photo:
            tags = photo.getexif()
            if i < 6:
                tags.get_ifd(0x8769)[0x9003] = f"2024:05:01 12:{10 * (i % 3):02}:0{i % 3}"
            photo.save(path, exif=tags)
    result = run(root, "--val", 0.4, "--group-by", "time", "--gap", 5, "--no-near-duplicates", "--out", tmp_path / "o")
    assert result.exit_code == 0, (result.output, result.exception)
    assert "time: not known of 2 of 8 photos" in result.stderr
    assert "3 by time" in result.stdout
    val = {record.path.stem for record in read_dataset(tmp_path / "o", split="val")}
    for i in range(3):
        assert len({f"photo{i}", f"photo{i + 3}"} & val) in (0, 2)
    nothing = run(root, "--group-by", "author", "--out", tmp_path / "no")
    assert isinstance(nothing.exception, ConfigError)
    assert "the dataset names none" in str(nothing.exception)
    assert not (tmp_path / "no").exists()
