"""A clean copy: what is good arrives, what is not is in quarantine, and the original stays byte for byte."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from herder.data.formats import Format, read_dataset, read_splits, write_splits
from herder.data.quality.cleaning import Cleaned, Duplicates, clean_dataset, format_of
from herder.errors import DataError

Maker = Callable[..., Path]
MOST = "0 0.5 0.5 0.9 0.9\n"
LESS = "0 0.5 0.5 0.5 0.5\n"


def tree(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.fixture
def soiled(yolo_folder: Maker, make_photo: Maker) -> Path:
    """train: a good photo, a broken one, one with a bad line, one whose file is in val too; val: that and another."""
    root = yolo_folder([MOST, MOST, MOST + "0 0.5 0.5 nan 1\n", MOST + LESS])
    (root / "labels/val").mkdir()
    for name, seed in (("same", 3), ("other", 9)):
        make_photo(root / f"images/val/{name}.jpg", seed=seed)
        (root / f"labels/val/{name}.txt").write_text(MOST)
    broken = root / "images/train/photo1.jpg"
    broken.write_bytes(broken.read_bytes()[:600])
    return root


def clean(root: Path, out: Path, duplicates: Duplicates = Duplicates.EXACT, **options: bool) -> Cleaned:
    return clean_dataset(read_splits(root), out, format_of(root), duplicates=duplicates, **options)


@pytest.mark.parametrize("link", [False, True])
def test_good_bad_and_doubled(soiled: Path, tmp_path: Path, link: bool) -> None:
    before = tree(soiled)
    done = clean(soiled, tmp_path / "clean", link=link)
    assert tree(soiled) == before
    after = tree(tmp_path / "clean")
    assert sorted(after) == [
        "classes.txt", "data.yaml",
        "images/train/photo0.jpg", "images/train/photo2.jpg", "images/val/other.jpg", "images/val/same.jpg",
        "labels/train/photo0.txt", "labels/train/photo2.txt", "labels/val/other.txt", "labels/val/same.txt",
        "quarantine/duplicate-photo/images/train/photo3.jpg",
        "quarantine/not-finite/labels/train/photo2.txt",
        "quarantine/quarantine.json",
        "quarantine/truncated/images/train/photo1.jpg",
    ]  # fmt: skip
    assert after["quarantine/truncated/images/train/photo1.jpg"] == before["images/train/photo1.jpg"]
    listed = json.loads(after["quarantine/quarantine.json"])["files"]
    assert {entry["was"]: entry["reason"] for entry in listed} == {
        "images/train/photo1.jpg": "truncated",
        "images/train/photo3.jpg": "duplicate-photo",
        "labels/train/photo2.txt": "not-finite",
    }
    assert [(part.split, len(part)) for part in done.parts] == [("train", 2), ("val", 2)]
    assert len(done.set_aside) == len(done.entries) == 3
    # What was written is clean, and the same photos as were kept.
    again = read_splits(tmp_path / "clean")
    assert [[r.path.name for r in part] for part in again] == [[r.path.name for r in part] for part in done.parts]
    assert not any(part.problems for part in again)
    assert clean(tmp_path / "clean", tmp_path / "twice").set_aside == ()
    assert not (tmp_path / "twice/quarantine").exists()


def test_keep_duplicates(soiled: Path, tmp_path: Path) -> None:
    done = clean(soiled, tmp_path / "clean", Duplicates.KEEP)
    assert {problem.reason for problem in done.set_aside} == {"truncated", "not-finite"}
    assert (tmp_path / "clean/images/train/photo3.jpg").exists()


def test_near_duplicates_and_which_one_stays(yolo_folder: Maker, make_photo: Maker, tmp_path: Path) -> None:
    """Photo 1 of three near ones has most boxes and stays; with exact alone, only the same file goes."""
    root = yolo_folder([MOST, MOST + LESS, MOST])
    first = make_photo(root / "images/train/photo0.jpg", (640, 480), seed=5)
    (root / "images/train/photo1.jpg").write_bytes(first.read_bytes())
    make_photo(root / "images/train/photo2.jpg", (320, 240), seed=5)
    done = clean(root, tmp_path / "near", Duplicates.NEAR)
    assert [record.path.name for record in done.parts[0]] == ["photo1.jpg"]
    assert [(p.path.name, p.reason) for p in done.set_aside] == [
        ("photo0.jpg", "duplicate-photo"), ("photo2.jpg", "near-duplicate"),
    ]  # fmt: skip
    done = clean(root, tmp_path / "exact")
    assert [record.path.name for record in done.parts[0]] == ["photo1.jpg", "photo2.jpg"]


@pytest.mark.parametrize("format", list(Format))
def test_every_format_stays_what_it_is(soiled: Path, tmp_path: Path, format: Format) -> None:
    clean(soiled, tmp_path / "clean")
    write_splits(read_splits(tmp_path / "clean"), tmp_path / "as", format)
    assert format_of(tmp_path / "as") is format
    done = clean(tmp_path / "as", tmp_path / "out")
    assert done.set_aside == ()
    assert format_of(tmp_path / "out") is format
    assert [p.fingerprint() for p in read_splits(tmp_path / "out")] == [p.fingerprint() for p in done.parts]


def test_a_photo_keeps_its_good_boxes(soiled: Path, tmp_path: Path) -> None:
    clean(soiled, tmp_path / "clean")
    assert {record.path.name: len(record) for record in read_dataset(tmp_path / "clean", split="train")} == {
        "photo0.jpg": 1, "photo2.jpg": 1,
    }  # fmt: skip


def test_what_cannot_be(soiled: Path, yolo_folder: Maker, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine").write_text("x")
    before = tree(tmp_path)
    with pytest.raises(DataError, match="is there already"):
        clean(soiled, full)
    parts = read_splits(soiled)
    for path in soiled.rglob("*.jpg"):
        path.write_bytes(b"<html>")
    with pytest.raises(DataError, match="no photo can be used") as error:
        clean_dataset(parts, tmp_path / "out", Format.YOLO)
    assert "web page" in error.value.hint or "first:" in error.value.hint
    assert not (tmp_path / "out").exists()
    assert set(tree(tmp_path)) == set(before)  # nothing half made is left
