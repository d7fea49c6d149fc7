"""All checks over a dataset, and groups that must stay together."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from herder.data.formats import read_dataset
from herder.data.quality import QualityConfig, check_photos, near_duplicate_groups, run_checks
from herder.data.records import Dataset, ImageRecord, Severity
from herder.data.splits import split_dataset

Maker = Callable[..., Path]
MOST = "0 0.5 0.5 0.9 0.9\n"


def again(path: Path, quality: int = 60) -> Path:
    """The photo saved again, with a slightly different size of file and pixels."""
    copy = path.with_name(f"{path.stem}-again.jpg")
    with Image.open(path) as photo:
        photo.resize((photo.width * 2, photo.height * 2)).save(copy, quality=quality)
    label = Path(str(path.with_suffix(".txt")).replace("images", "labels"))
    label.with_name(f"{copy.stem}.txt").write_text(label.read_text())
    return copy


def test_a_dataset_with_everything(yolo_folder: Maker) -> None:
    root = yolo_folder([MOST] * 5)
    photos = root / "images/train"
    again(photos / "photo1.jpg")
    dataset = read_dataset(root)
    (photos / "photo2.jpg").write_bytes(b"<html>busy</html>")  # after its header was read
    Image.new("RGB", (64, 48), "white").save(photos / "photo3.jpg")
    done: list[int] = []
    report = run_checks(dataset, workers=2, progress=done.append)
    assert done == [1, 2, 3, 4, 5, 6]
    assert report.counts() == {"html-page": 1, "blank": 1, "near-duplicate": 1}
    assert report.counts(Severity.NOTE) == {"near-duplicate": 1}
    assert {p.path.name for p in report.set_aside} == {"photo2.jpg", "photo3.jpg"}
    assert [r.path.name for r in report.usable] == ["photo0.jpg", "photo1-again.jpg", "photo1.jpg", "photo4.jpg"]
    assert [dataset[i] for i in report.kept] == list(report.usable)
    assert [finding.path for finding in report.photos] == [record.path for record in dataset]
    (group,) = report.duplicates
    assert [dataset[i].path.name for i in group.members] == ["photo1-again.jpg", "photo1.jpg"]
    note = next(p for p in report.problems if p.reason == "near-duplicate")
    assert note.path.name == "photo1.jpg"
    assert "nearly the same photo as" in note.message
    assert "photo1-again.jpg" in note.message
    found = json.loads(json.dumps(report.as_dict()))
    assert (found["photos"], found["photos_decoded"], found["photos_usable"], found["boxes_usable"]) == (6, 5, 4, 4)
    assert found["set_aside"] == {"html-page": 1, "blank": 1}
    assert found["duplicates"][0]["same_file"] is False
    assert report.statistics.photos == 4


def test_photos_that_reading_left_out(yolo_folder: Maker) -> None:
    """Reading says photo-broken; looked at closely it is said what they are."""
    root = yolo_folder([MOST] * 4)
    for i, data in enumerate([b"", b"<!doctype html><p>429 Too many requests", b"\0" * 4096]):
        (root / f"images/train/photo{i}.jpg").write_bytes(data)
    dataset = read_dataset(root)
    assert [problem.reason for problem in dataset.problems] == ["photo-broken"] * 3
    report = run_checks(dataset)
    assert [problem.reason for problem in report.problems] == ["empty-file", "html-page", "not-an-image"]
    assert run_checks(dataset, decode=False).problems == dataset.problems


def test_without_decoding_and_without_near(yolo_folder: Maker) -> None:
    root = yolo_folder([MOST] * 2)
    again(root / "images/train/photo0.jpg")
    dataset = read_dataset(root)
    quick = run_checks(dataset, decode=False)
    assert (quick.photos, quick.problems, quick.duplicates) == ((), (), ())
    assert quick.as_dict()["photos_per_second"] is None
    assert run_checks(dataset, QualityConfig(near_radius=-1)).problems == ()


def test_boxes_that_are_taken_out(make_photo: Maker, tmp_path: Path) -> None:
    path, other = make_photo(tmp_path / "a.jpg"), make_photo(tmp_path / "b.jpg", seed=1)
    some = ImageRecord(path, 64, 48, [[0, 0, 20, 20], [30, 30, 10, 40]], [0, 0])
    none = ImageRecord(other, 64, 48, [[0, 0, 20, 20]], [7])
    report = run_checks(Dataset((some, none), ("alpaca",)))
    assert report.kept == (0,)
    assert report.usable[0].boxes.tolist() == [[0, 0, 20, 20]]
    assert report.counts() == {"zero-area": 1, "class-out-of-range": 1, "no-usable-box": 1}
    assert report.usable.problems == report.problems


def test_an_empty_dataset() -> None:
    report = run_checks(Dataset((), ("alpaca",)))
    assert report.kept == ()
    assert report.counts() == {"class-without-box": 1}
    assert list(check_photos([])) == []
    assert near_duplicate_groups(Dataset((), ())) == []


def test_near_duplicates_stay_on_one_side(yolo_folder: Maker) -> None:
    root = yolo_folder([MOST] * 8)
    for i in range(0, 8, 2):
        again(root / f"images/train/photo{i}.jpg")
    dataset = read_dataset(root)
    groups = near_duplicate_groups(dataset)
    assert [[dataset[i].path.stem for i in group] for group in groups] == [
        [f"photo{i}-again", f"photo{i}"] for i in (0, 2, 4, 6)
    ]
    for seed in range(5):
        parts = split_dataset(dataset, {"train": 0.5, "val": 0.5}, seed, groups=groups)
        train = {record.path.stem for record in parts["train"]}
        for i in (0, 2, 4, 6):
            assert (f"photo{i}" in train) == (f"photo{i}-again" in train)


@pytest.mark.shared
@pytest.mark.slow
def test_real_photos(shared_dir: Path) -> None:
    """Nothing of 400 photos is set aside; of the duplicates, the one pair is one that a person sees as well."""
    dataset = read_dataset(shared_dir / "alpaca")
    report = run_checks(dataset)
    assert report.set_aside == ()
    assert [{dataset[i].path.stem for i in group.members} for group in report.duplicates] == [
        {"09915aad4cd6bf0d", "5f843228ab49d81b"}
    ]
