"""The manifest keeps what it is told, and says clearly what it cannot read."""

from __future__ import annotations

import sqlite3
from pathlib import Path, PurePosixPath

import pytest

from herder.data.download import DownloadItem, Manifest, Outcome, Shard, State
from herder.data.download.manifest import PAGE
from herder.errors import DataError, ResourceError


def item(name: str, **facts: object) -> DownloadItem:
    return DownloadItem(
        key=name, **{"url": f"https://example.org/{name}", "path": PurePosixPath(f"{name}.jpg"), **facts}
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "manifest.sqlite"


def test_an_item_comes_back_as_it_was(path: Path) -> None:
    given = item("a", split="val", size=7, md5="0" * 32, licence="CC BY", author="A. Öz", page="p", title="A herd")
    with Manifest(path) as manifest:
        manifest.add([given])
    with Manifest(path) as manifest:
        assert list(manifest.pending()) == [given]
        row = manifest.row("a")
    assert row is not None
    assert (row.state, row.outcome.attempts, row.finished_at) == (State.PENDING, 0, None)


def test_an_empty_manifest(path: Path) -> None:
    with Manifest(path) as manifest:
        assert list(manifest.pending()) == []
        assert set(manifest.counts().values()) == {0}
        assert manifest.total_bytes() == 0
        assert manifest.row("a") is None


def test_adding_again_changes_no_state_but_notes_a_new_url(path: Path) -> None:
    with Manifest(path) as manifest:
        assert manifest.add([item("a"), item("b")]) == 2
        manifest.finish("a", size=10, sha256="f" * 64, etag='"x"')
        assert manifest.add([item("a", url="https://mirror.example/a", licence="CC0"), item("c")]) == 1
        row = manifest.row("a")
        assert row is not None
        assert (row.state, row.item.url, row.item.licence) == (State.DONE, "https://mirror.example/a", "CC0")
        assert manifest.total_bytes() == 10


def test_states_counts_and_reasons(path: Path) -> None:
    with Manifest(path) as manifest:
        manifest.add(item(name) for name in "abcdef")
        manifest.finish("a", size=1, sha256="0" * 64)
        manifest.fail("b", "html-page", "a web page")
        manifest.fail("c", "not-found", "404", http_status=404, gone=True)
        manifest.finish("d", size=2, sha256="1" * 64)
        manifest.quarantine("d", "blank", "all of one colour")
        manifest.fail("e", "html-page", "a web page")
        wanted = {State.PENDING: 1, State.DONE: 1, State.GONE: 1, State.FAILED: 2, State.QUARANTINED: 1}
        assert manifest.counts() == wanted
        assert list(manifest.reasons().items()) == [("html-page", 2), ("blank", 1), ("not-found", 1)]
        assert [row.item.key for row in manifest.rows(State.FAILED)] == ["b", "e"]
        assert manifest.retry_failed() == 2
        assert [i.key for i in manifest.pending()] == ["b", "e", "f"]


def test_attempts_add_up_over_runs(path: Path) -> None:
    with Manifest(path) as manifest:
        manifest.add([item("a")])
        manifest.record([Outcome("a", State.FAILED, 5, "timeout", "silence")])
        manifest.record([Outcome("a", State.DONE, 2, size=3, sha256="0" * 64)])
        row = manifest.row("a")
        assert row is not None
        assert row.outcome == Outcome("a", State.DONE, 7, size=3, sha256="0" * 64)
        assert row.finished_at is not None


def test_pages_lose_nothing_while_items_end(path: Path) -> None:
    count = 2 * PAGE + 7
    with Manifest(path) as manifest:
        manifest.add(item(f"{n}") for n in range(count))
        seen = []
        for found in manifest.pending():
            seen.append(found.key)
            manifest.finish(found.key, size=1, sha256="0" * 64)
        assert seen == [f"{n}" for n in range(count)]


def test_shards_divide_the_rows(path: Path) -> None:
    with Manifest(path) as manifest:
        manifest.add(item(f"{n}") for n in range(100))
        parts = [{i.key for i in manifest.pending(Shard(k, 3))} for k in (1, 2, 3)]
        assert sum(map(len, parts)) == 100 == len(set().union(*parts))
        assert all(Shard(1, 3).owns(key) for key in parts[0])
        assert manifest.counts(Shard(2, 3))[State.PENDING] == len(parts[1])


def test_two_items_of_one_path_are_named(path: Path) -> None:
    with Manifest(path) as manifest, pytest.raises(DataError, match=r"A\.jpg is the file of both a and b"):
        manifest.add([item("a"), item("b", path=PurePosixPath("A.jpg"))])


def test_a_known_item_cannot_move(path: Path) -> None:
    with Manifest(path) as manifest:
        manifest.add([item("a")])
        with pytest.raises(DataError, match=r"a goes to a\.jpg there, and now to train/a\.jpg"):
            manifest.add([item("a", path=PurePosixPath("train/a.jpg"))])


def test_only_one_at_a_time(path: Path) -> None:
    with Manifest(path), pytest.raises(ResourceError, match="another herder"):
        Manifest(path)
    Manifest(path).close()


def test_merging_takes_over_what_is_settled(path: Path, tmp_path: Path) -> None:
    with Manifest(path) as main, Manifest(tmp_path / "other.sqlite") as other:
        main.add([item("a"), item("b"), item("c")])
        main.finish("c", size=9, sha256="9" * 64)
        other.add([item("a"), item("b"), item("c"), item("new")])
        other.record([Outcome("a", State.DONE, 3, size=5, sha256="5" * 64, etag='"e"', http_status=200)])
        other.fail("c", "timeout", "silence")
        other.fail("new", "not-found", "404", gone=True)
        assert main.merge(other) == 2
        a, c = main.row("a"), main.row("c")
        assert a is not None
        assert c is not None
        assert a.outcome == Outcome("a", State.DONE, 3, "", "", 200, 5, "5" * 64, '"e"', "")
        assert c.outcome.size == 9
        assert main.counts() == {**dict.fromkeys(State, 0), State.DONE: 2, State.PENDING: 1, State.GONE: 1}


@pytest.mark.parametrize(
    "content", [b"not a database, but long enough to look at" * 100, b"SQLite format 3\0" + b"\xff" * 5000]
)
def test_a_broken_file_is_a_data_error_and_stays(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(DataError, match="no sound manifest"):
        Manifest(path)
    assert path.read_bytes() == content


def test_a_file_cut_in_the_middle(path: Path) -> None:
    with Manifest(path) as manifest:
        manifest.add(item(f"{n}", title="x" * 200) for n in range(400))
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(DataError), Manifest(path) as manifest:
        list(manifest.rows())


def test_another_programs_database_is_left_alone(path: Path) -> None:
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE items (key TEXT)")
    database.commit()
    database.close()
    with pytest.raises(DataError, match="no manifest of herder"):
        Manifest(path)


@pytest.mark.parametrize(("version", "word"), [(99, "newer"), (0, "older")])
def test_another_version_says_so(path: Path, version: int, word: str) -> None:
    Manifest(path).close()
    database = sqlite3.connect(path)
    database.execute(f"PRAGMA user_version = {version}")
    database.close()
    with pytest.raises(DataError, match=word):
        Manifest(path)


def test_a_folder_is_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="folder"):
        Manifest(tmp_path)


def test_a_row_without_sense_is_named(path: Path) -> None:
    with Manifest(path) as manifest:
        manifest.add([item("a")])
    database = sqlite3.connect(path)
    database.execute("UPDATE items SET path = '../../etc/passwd'")
    database.commit()
    database.close()
    with Manifest(path) as manifest, pytest.raises(DataError, match="the row of 'a'"):
        list(manifest.pending())


def test_a_full_disk_keeps_what_was_there(path: Path) -> None:
    with Manifest(path) as manifest:
        manifest.add([item("a")])
        pages = manifest._database.execute("PRAGMA page_count").fetchone()[0]
        manifest._database.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(ResourceError, match="full"):
            manifest.add(item(f"{n}", title="x" * 500) for n in range(500))
        assert [i.key for i in manifest.pending()] == ["a"]
