"""What only decoding and comparing photos can find."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from herder.data.formats import read_dataset
from herder.data.records import Dataset, ImageRecord, Severity
from herder.data.validation import check_dataset
from herder.errors import DataError

Maker = Callable[..., Path]
MOST = "0 0.5 0.5 0.9 0.9\n"


def test_a_clean_dataset(yolo_folder: Maker) -> None:
    done: list[int] = []
    report = check_dataset(read_dataset(yolo_folder([MOST, "", MOST])), progress=done.append)
    assert report.clean
    assert report.problems == ()
    assert done == [1, 2, 3]
    assert (report.photos, report.boxes) == (3, 2)
    assert report.render() == "3 photos with 2 boxes can be used; 0 findings set aside, 0 notes"


def test_pixels_damaged_in_the_middle(yolo_folder: Maker, make_photo: Maker) -> None:
    root = yolo_folder([MOST, MOST, MOST])
    path = make_photo(root / "images/train/photo1.png", (200, 200))
    (root / "images/train/photo1.jpg").unlink()
    data = bytearray(path.read_bytes())
    data[200:400] = bytes(200)  # header and end stay whole
    path.write_bytes(data)
    dataset = read_dataset(root)
    assert len(dataset) == 3
    report = check_dataset(dataset, workers=2)
    assert [record.path.name for record in report.usable] == ["photo0.jpg", "photo2.jpg"]
    assert report.counts() == {"photo-broken": 1}
    assert "photo1.png" in str(report.set_aside[0])
    assert not report.clean
    assert check_dataset(dataset, decode=False).clean
    assert report.usable.problems == report.problems


def test_findings_of_reading_are_kept(yolo_folder: Maker) -> None:
    report = check_dataset(read_dataset(yolo_folder([MOST + "bad line\n" * 30, None])))
    assert report.counts() == {"malformed-line": 30, "no-label": 1}
    text = report.render(shown=4)
    assert "set aside: malformed-line (30)" in text
    assert "... and 26 more" in text
    assert "photo0.txt: line 2: 2 numbers" in text
    assert text.endswith("2 photos with 1 boxes can be used; 30 findings set aside, 1 notes")


def test_a_photo_that_changed_or_went(yolo_folder: Maker, make_photo: Maker) -> None:
    root = yolo_folder([MOST, MOST, MOST])
    dataset = read_dataset(root)
    make_photo(root / "images/train/photo0.jpg", (48, 64))
    (root / "images/train/photo1.jpg").unlink()
    report = check_dataset(dataset)
    assert report.counts() == {"size-mismatch": 1, "photo-broken": 1}
    assert "is 48 x 64 now, but was 64 x 48" in report.problems[0].message


def test_the_same_photo_twice(yolo_folder: Maker, make_photo: Maker) -> None:
    root = yolo_folder([MOST, MOST])
    (root / "images/train/copy.jpg").write_bytes((root / "images/train/photo1.jpg").read_bytes())
    (root / "labels/train/copy.txt").write_text(MOST)
    report = check_dataset(read_dataset(root))
    (problem,) = report.problems
    assert (problem.reason, problem.severity, problem.path.name) == ("duplicate-photo", Severity.NOTE, "photo1.jpg")
    assert "copy.jpg" in problem.message


def test_boxes_that_look_like_slips(yolo_folder: Maker) -> None:
    tiny = "0 0.5 0.5 0.02 0.5\n"  # 1.28 pixels wide
    twins = "1 0.5 0.5 0.5 0.5\n1 0.5 0.5 0.5 0.505\n0 0.5 0.5 0.5 0.5\n"  # two of one class, one of another
    report = check_dataset(read_dataset(yolo_folder([tiny, twins], ["alpaca", "llama", "ghost"])))
    assert [(p.reason, p.path.name) for p in report.problems] == [
        ("tiny-box", "photo0.jpg"), ("twin-boxes", "photo1.jpg"), ("class-without-box", "dataset"),
    ]  # fmt: skip
    assert "box 1 (alpaca) is 1.28 x 24 pixels" in report.problems[0].message
    assert "boxes 1 and 2 (llama)" in report.problems[1].message
    assert "class 2 (ghost)" in report.problems[2].message
    assert report.clean


def test_nothing_left(tmp_path: Path) -> None:
    record = ImageRecord(tmp_path / "gone.jpg", 64, 48, [[0, 0, 5, 5]], [0])
    with pytest.raises(DataError, match="no photo can be used"):
        check_dataset(Dataset((record,), ("alpaca",)))
    with pytest.raises(DataError, match="no photo can be used"):
        check_dataset(Dataset((), ("alpaca",)))
