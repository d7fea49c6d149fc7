"""Files on disk: those of users, those of killed runs, and a disk that is full."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest
from tests.data.download.conftest import PHOTO, QUICK, Server, leftovers

from herder.data.download import (
    DownloadItem,
    DownloadReport,
    Manifest,
    State,
    transfer,
)
from herder.errors import DataError, ResourceError

Fetch = Callable[..., DownloadReport]
Make = Callable[..., DownloadItem]


def test_a_file_of_the_users_is_never_replaced(server: Server, item: Make, fetch: Fetch, tmp_path: Path) -> None:
    theirs = tmp_path / "out/train/a.jpg"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"mine")
    report = fetch(item(), item("b.jpg"))
    assert (report.failures, theirs.read_bytes()) == ({"name-taken": 1}, b"mine")
    assert (leftovers(tmp_path), report.totals[State.DONE]) == ([], 1)


@pytest.mark.parametrize("content", [PHOTO, b""])
def test_the_same_photo_or_an_empty_file_is_no_obstacle(
    item: Make, fetch: Fetch, tmp_path: Path, content: bytes
) -> None:
    there = tmp_path / "out/train/a.jpg"
    there.parent.mkdir(parents=True)
    there.write_bytes(content)
    assert fetch(item()).complete
    assert (there.read_bytes(), leftovers(tmp_path)) == (PHOTO, [])


def test_a_part_that_is_a_link_is_not_followed(item: Make, fetch: Fetch, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "out/train").mkdir(parents=True)
    (tmp_path / "out/train/a.jpg.part").symlink_to(victim)
    with pytest.raises(ResourceError):
        fetch(item())
    assert victim.read_text() == "precious"


def test_a_photo_that_was_deleted_is_fetched_again(server: Server, item: Make, fetch: Fetch, tmp_path: Path) -> None:
    fetch(item(), item("b.jpg"))
    (tmp_path / "out/train/a.jpg").unlink()
    report = fetch(item(), item("b.jpg"))
    assert (report.lost, report.fetched, report.complete) == (1, 1, True)
    assert server.counts() == {"a.jpg": 2, "b.jpg": 1}


def test_a_whole_part_of_a_killed_run_is_only_renamed(server: Server, item: Make, fetch: Fetch, tmp_path: Path) -> None:
    fetch(item(), item("b.jpg"))
    folder = tmp_path / "out/train"
    (folder / "a.jpg").rename(folder / "a.jpg.part")
    (folder / "b.jpg").unlink()
    (folder / "b.jpg.part").write_bytes(PHOTO[:-1])
    report = fetch(item(), item("b.jpg"))
    assert (report.recovered, report.lost, report.complete) == (1, 1, True)
    assert server.counts() == {"a.jpg": 1, "b.jpg": 2}
    assert leftovers(tmp_path) == []


def test_what_is_quarantined_stays_away(server: Server, item: Make, fetch: Fetch, tmp_path: Path) -> None:
    fetch(item())
    with Manifest(tmp_path / "manifest.sqlite") as manifest:
        manifest.quarantine("a.jpg", "blank")
    (tmp_path / "out/train/a.jpg").unlink()
    report = fetch(item())
    assert (len(server.log), report.failures) == (1, {"blank": 1})


def test_a_full_disk_says_how_much_is_missing_and_goes_on_later(
    server: Server, item: Make, fetch: Fetch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = 20 * len(PHOTO)

    def write_all(handle: int, data: bytes) -> None:
        nonlocal room
        room -= len(data)
        if room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.write(handle, data)

    items = [item(f"{n}.jpg") for n in range(60)]
    with monkeypatch.context() as patch:
        patch.setattr(transfer, "write_all", write_all)
        with pytest.raises(
            ResourceError, match=r"No space left on device; 40 of 60 items are missing, about 0\.1 MB"
        ) as caught:
            fetch(*items)
    assert "free some space" in caught.value.hint
    assert leftovers(tmp_path) == []
    report = fetch(*items)
    assert (report.complete, report.fetched) == (True, 40)
    assert sum(server.counts().values()) <= 60 + QUICK["concurrency"]


def test_a_folder_that_is_a_file_is_a_clear_error(item: Make, fetch: Fetch, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("not a folder")
    with pytest.raises(ResourceError, match="out"):
        fetch(item())


def test_two_photos_of_one_name_are_refused(item: Make, fetch: Fetch) -> None:
    with pytest.raises(DataError, match="both"):
        fetch(item("a.jpg"), item("b.jpg", path=PurePosixPath("train/A.jpg")))
