"""The folder of a fetched dataset: written anew by each run, killed anywhere, and never over somebody's changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from herder.data.fetched_folder import FetchedFolder
from herder.data.formats import Format, read_dataset
from herder.data.records import Dataset, ImageRecord
from herder.errors import DataError, ResourceError

Maker = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path) -> FetchedFolder:
    return FetchedFolder(tmp_path / "out")


@pytest.fixture
def dataset(folder: FetchedFolder, make_photo: Maker) -> Callable[..., Dataset]:
    def make(count: int, split: str = "train") -> Dataset:
        box = np.array([[8, 8, 24, 24]], np.float32)
        photos = [folder.photos / f"{i}.jpg" for i in range(count)]
        for i, photo in enumerate(photos):
            if not photo.exists():
                make_photo(photo, seed=i)
        return Dataset(tuple(ImageRecord(p, 64, 48, box, np.array([0])) for p in photos), ("alpaca",), split=split)

    return make


Make = Callable[..., Dataset]


def tree(root: Path) -> dict[str, bytes]:
    """The dataset: everything but what lies in ``fetched``."""
    found = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in sorted(found.items()) if not name.startswith("fetched/")}


def test_photos_are_not_stored_twice(folder: FetchedFolder, dataset: Make) -> None:
    assert folder.place([dataset(2)], Format.YOLO)
    photo = folder.root / "images/train/0.jpg"
    assert photo.stat().st_ino == (folder.photos / "0.jpg").stat().st_ino
    assert len(read_dataset(folder.root)) == 2


def test_the_same_again_changes_nothing(folder: FetchedFolder, dataset: Make) -> None:
    folder.place([dataset(2)], Format.YOLO)
    (folder.root / "labels/train/0.txt").write_text("")  # by hand
    assert not folder.place([dataset(2)], Format.YOLO)
    assert (folder.root / "labels/train/0.txt").read_text() == ""


@pytest.mark.parametrize("change", ["labels/train/0.txt", "labels/train/mine.txt", "images/train/mine.jpg"])
def test_what_was_changed_is_never_written_over(folder: FetchedFolder, dataset: Make, change: str) -> None:
    folder.place([dataset(2)], Format.YOLO)
    (folder.root / change).write_text("mine")
    before = tree(folder.root)
    with pytest.raises(DataError, match=change.replace(".", r"\.")):
        folder.place([dataset(3)], Format.YOLO)
    assert tree(folder.root) == before
    assert not (folder.state / "dataset.new").exists()


def test_what_was_taken_away_is_not_put_back(folder: FetchedFolder, dataset: Make) -> None:
    folder.place([dataset(2)], Format.YOLO)
    (folder.root / "images/train/0.jpg").unlink()
    with pytest.raises(DataError, match=r"0\.jpg"):
        folder.place([dataset(3)], Format.YOLO)


def test_other_files_beside_it_stay(folder: FetchedFolder, dataset: Make) -> None:
    folder.place([dataset(1)], Format.YOLO)
    (folder.root / "notes.txt").write_text("mine")
    (folder.root / "annotations").mkdir()
    assert folder.place([dataset(2)], Format.YOLO)
    assert (folder.root / "notes.txt").read_text() == "mine"
    with pytest.raises(DataError, match="annotations: is there already"):
        folder.place([dataset(2)], Format.COCO)
    assert len(read_dataset(folder.root)) == 2


@pytest.mark.parametrize("format", [Format.YOLO, Format.COCO, Format.VOC])
def test_killed_at_any_rename(
    tmp_path: Path, make_photo: Maker, dataset: Make, folder: FetchedFolder, format: Format
) -> None:
    """Whatever was written before a kill, the next call ends with the dataset that it was to be."""
    small, large = dataset(1), dataset(3)
    wanted = FetchedFolder(tmp_path / "wanted")
    wanted.place([large], format)
    whole = tree(wanted.root)
    replace, calls = Path.replace, 0
    for stop in range(30):
        here = FetchedFolder(tmp_path / f"run{stop}")
        here.place([small], Format.YOLO)
        calls = 0

        def dying(self: Path, target: Path, stop: int = stop) -> Path:
            nonlocal calls
            calls += 1
            if calls > stop:
                raise KeyboardInterrupt
            return replace(self, target)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Path, "replace", dying)
            try:
                here.place([large], format)
                ended = True
            except KeyboardInterrupt:
                ended = False
        FetchedFolder(here.root).place([large], format)
        assert tree(here.root) == whole, stop
        assert not list(here.state.glob("dataset.[no]*")), stop
        if ended:
            break
    assert ended
    assert stop > 4


def test_folders_that_are_somebody_elses(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/x").write_text("")
    with pytest.raises(DataError, match="holds other things"):
        FetchedFolder(tmp_path / "a")
    with pytest.raises(DataError, match="is a file"):
        FetchedFolder(tmp_path / "a/x")
    with pytest.raises(ResourceError):
        FetchedFolder(tmp_path / "a/x/y")


def test_a_broken_record(folder: FetchedFolder, dataset: Make) -> None:
    folder.place([dataset(1)], Format.YOLO)
    (folder.state / "dataset.json").write_text("{")
    with pytest.raises(DataError, match=r"dataset\.json: cannot be read"):
        folder.place([dataset(2)], Format.YOLO)
