"""Photos that have something in common: EXIF is written by Pillow, times and folders by hand."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from PIL import Image

from herder.data.capture import Capture, read_capture
from herder.data.grouping import GroupBy, group_photos
from herder.data.records import Dataset, ImageRecord, PhotoSource

MAKE, MODEL, DATE_TIME, ORIGINAL, SERIAL, EXIF = 0x010F, 0x0110, 0x0132, 0x9003, 0xA431, 0x8769
"""Tags of EXIF 2.32, tables 4 to 8."""


def photo(path: Path, *, model: str = "", serial: str = "", time: str = "", edited: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tags = Image.Exif()
    if model:
        tags[MAKE], tags[MODEL] = "Acme", model
    if edited:
        tags[DATE_TIME] = edited
    own = tags.get_ifd(EXIF)
    if serial:
        own[SERIAL] = serial
    if time:
        own[ORIGINAL] = time
    Image.new("RGB", (8, 8)).save(path, exif=tags)
    return path


def dataset(root: Path, *paths: Path, authors: tuple[str, ...] = ()) -> Dataset:
    names = authors or ("",) * len(paths)
    records = [ImageRecord(p, 8, 8, [], [], source=PhotoSource(author=a)) for p, a in zip(paths, names, strict=True)]
    return Dataset(tuple(records), ("alpaca",), root)


def test_camera_and_time_are_read(tmp_path: Path) -> None:
    path = photo(tmp_path / "a.jpg", model="T1", serial="77", time="2024:05:01 12:03:04", edited="2025:01:01 00:00:00")
    assert read_capture(path) == Capture("Acme T1 77", datetime(2024, 5, 1, 12, 3, 4))
    only_edited = photo(tmp_path / "b.jpg", edited="2025:01:01 00:00:00")
    assert read_capture(only_edited) == Capture("", datetime(2025, 1, 1))


@pytest.mark.parametrize("time", ["0000:00:00 00:00:00", "yesterday", "2024:13:01 00:00:00", ""])
def test_a_time_that_is_none(tmp_path: Path, time: str) -> None:
    assert read_capture(photo(tmp_path / "a.jpg", model="T1", time=time)) == Capture("Acme T1")


@pytest.mark.parametrize("data", [b"", b"no photo", b"\xff\xd8\xff\xe1\x00\x20Exif\0\0II*\0\xff\xff\xff\xff"])
def test_a_broken_file_says_nothing(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(data)
    assert read_capture(tmp_path / "a.jpg") == Capture()
    assert read_capture(tmp_path / "none.jpg") == Capture()


def test_cameras_and_authors(tmp_path: Path) -> None:
    paths = [photo(tmp_path / f"{i}.jpg", model="T1", serial=s) for i, s in enumerate("aba")]
    paths.append(photo(tmp_path / "3.jpg"))
    found = dataset(tmp_path, *paths, authors=("Jo", "", "Al", "Jo"))
    assert group_photos(found, GroupBy.CAMERA) == {"Acme T1 a": [0, 2], "Acme T1 b": [1]}
    assert group_photos(found, GroupBy.AUTHOR) == {"Jo": [0, 3], "Al": [2]}
    assert group_photos(dataset(tmp_path), GroupBy.CAMERA) == {}


def test_folders_of_farms_but_not_of_formats(tmp_path: Path) -> None:
    paths = [
        tmp_path / "images" / "train" / "farm a" / "1.jpg",
        tmp_path / "images" / "val" / "farm a" / "2.jpg",
        tmp_path / "images" / "train" / "farm b" / "north" / "3.jpg",
        tmp_path / "images" / "train" / "4.jpg",
    ]
    assert group_photos(dataset(tmp_path, *paths), GroupBy.FOLDER) == {"farm a": [0, 1], "farm b/north": [2]}


def test_visits_are_cut_at_pauses_of_each_camera(tmp_path: Path) -> None:
    shots = [("A", "12:00:00"), ("B", "12:01:00"), ("A", "12:29:00"), ("A", "12:59:00"), ("A", "13:30:00")]
    paths = [
        photo(tmp_path / f"{i}.jpg", model=model, time=f"2024:05:01 {time}") for i, (model, time) in enumerate(shots)
    ]
    found = group_photos(dataset(tmp_path, *paths), GroupBy.TIME, timedelta(minutes=30))
    assert found == {
        "2024-05-01 12:00:00 Acme A": [0, 2, 3],
        "2024-05-01 13:30:00 Acme A": [4],
        "2024-05-01 12:01:00 Acme B": [1],
    }
