"""Files set aside: moved or copied, listed, and never lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from herder.data.quality.quarantine import Handling, read_list, set_aside
from herder.data.records import Problem, Severity
from herder.errors import DataError, ResourceError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    for name in ("images/a.jpg", "images/b.jpg", "images/sub/a.jpg", "labels/a.txt", "all.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def files(folder: Path) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): p.read_text() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_moved_with_its_reason(root: Path) -> None:
    before = files(root)
    problems = [
        Problem(root / "images/a.jpg", "truncated", "ends early", "copy it again"),
        Problem(root / "images/sub/a.jpg", "truncated", "ends early"),
        Problem(root / "images/a.jpg", "size-mismatch", "other size"),
        Problem(root / "images/b.jpg", "exif-rotated", "turned", severity=Severity.NOTE),
        Problem(root / "labels/a.txt", "malformed-line", "line 3"),
        Problem(root / "all.json", "malformed-image", "images[3]"),
        Problem(root / "images/gone.jpg", "photo-missing", "no such file"),
    ]
    entries = set_aside(root, problems)
    home = root / "quarantine"
    after = files(root)
    listed = json.loads(after.pop("quarantine/quarantine.json"))["files"]
    assert after == {
        "images/b.jpg": "images/b.jpg",
        "labels/a.txt": "labels/a.txt",
        "all.json": "all.json",
        "quarantine/truncated/images/a.jpg": before["images/a.jpg"],
        "quarantine/truncated/images/sub/a.jpg": before["images/sub/a.jpg"],
    }
    assert [(e["was"], e["file"], e["reason"]) for e in listed] == [
        ("images/a.jpg", "truncated/images/a.jpg", "truncated"),
        ("images/sub/a.jpg", "truncated/images/sub/a.jpg", "truncated"),
        ("images/a.jpg", "truncated/images/a.jpg", "size-mismatch"),
        ("labels/a.txt", "", "malformed-line"),
        ("all.json", "", "malformed-image"),
        ("images/gone.jpg", "", "photo-missing"),
    ]
    assert (listed[0]["message"], listed[0]["hint"]) == ("ends early", "copy it again")
    assert read_list(home) == entries
    assert set_aside(root, problems) == entries  # the same call again changes nothing
    assert {k: v for k, v in files(root).items() if "json" not in k} == {
        k: v for k, v in after.items() if "json" not in k
    }


def test_fetched_again_and_broken_again(root: Path) -> None:
    problem = Problem(root / "images/a.jpg", "truncated", "ends early")
    set_aside(root, [problem])
    (root / "images/a.jpg").write_text("another")
    entries = set_aside(root, [problem])
    assert [entry.file for entry in entries] == ["truncated/images/a.jpg", "truncated/images/a-2.jpg"]
    assert (root / "quarantine/truncated/images/a.jpg").read_text() == "images/a.jpg"
    assert (root / "quarantine/truncated/images/a-2.jpg").read_text() == "another"


def test_killed_between_list_and_file(root: Path) -> None:
    problem = Problem(root / "images/a.jpg", "truncated", "ends early")
    entries = set_aside(root, [problem])
    (root / "quarantine/truncated/images/a.jpg").rename(root / "images/a.jpg")  # as it was before the move
    assert set_aside(root, [problem]) == entries
    assert not (root / "images/a.jpg").exists()
    assert (root / "quarantine/truncated/images/a.jpg").exists()


@pytest.mark.parametrize("handling", [Handling.COPY, Handling.LINK])
def test_the_original_stays(root: Path, tmp_path: Path, handling: Handling) -> None:
    before = files(root)
    outside = tmp_path / "a.jpg"
    outside.write_text("outside")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/a.jpg").write_text("too")
    problems = [
        Problem(path, "blank", "flat") for path in (root / "images/a.jpg", outside, tmp_path / "elsewhere/a.jpg")
    ]
    problems.append(Problem(root / "labels/a.txt", "malformed-line", "line 3"))
    kept = Problem(root / "images/b.jpg", "zero-area", "box 2")
    set_aside(root, [*problems, kept], into=tmp_path / "clean", handling=handling, keep={kept.path})
    assert files(root) == before
    found = files(tmp_path / "clean/quarantine")
    assert [entry["was"] for entry in json.loads(found.pop("quarantine.json"))["files"]][-1] == "images/b.jpg"
    assert found == {
        "blank/images/a.jpg": "images/a.jpg", "blank/a.jpg": "outside", "blank/a-2.jpg": "too",
        "malformed-line/labels/a.txt": "labels/a.txt",
    }  # fmt: skip


def test_a_file_elsewhere_is_never_moved(root: Path, tmp_path: Path) -> None:
    other = tmp_path / "other/a.jpg"
    other.parent.mkdir()
    other.write_text("mine")
    (root / "link").symlink_to(other.parent)
    for path in (other, root / "../other/a.jpg", root / "link/a.jpg"):
        with pytest.raises(DataError, match="is outside"):
            set_aside(root, [Problem(path, "blank", "flat")])
    assert other.read_text() == "mine"
    # A link inside is set aside as this link; what it points to stays.
    (root / "images/l.jpg").symlink_to(other)
    set_aside(root, [Problem(root / "images/l.jpg", "blank", "flat")])
    assert other.read_text() == "mine"
    assert (root / "quarantine/blank/images/l.jpg").is_symlink()


def test_nothing_to_do(root: Path) -> None:
    assert set_aside(root, []) == []
    assert not (root / "quarantine").exists()


def test_a_broken_list_and_a_folder_that_cannot_be(root: Path) -> None:
    (root / "quarantine").write_text("a file")
    with pytest.raises((DataError, ResourceError), match="quarantine"):
        set_aside(root, [Problem(root / "images/a.jpg", "blank", "flat")])
    (root / "quarantine").unlink()
    (root / "quarantine").mkdir()
    for text in ("{", "[]", '{"files": [{"x": 1}]}', '{"files": [3]}'):
        (root / "quarantine/quarantine.json").write_text(text)
        with pytest.raises(DataError, match="is no list of set aside files"):
            set_aside(root, [Problem(root / "images/a.jpg", "blank", "flat")])
    assert (root / "images/a.jpg").exists()
