"""Downloads from a server on the loopback that does whatever a bad server does."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest
from tests.data.download.conftest import PHOTO, QUICK, Asked, Server

from herder.data.download import (
    DownloadConfig,
    DownloadItem,
    DownloadProgress,
    DownloadReport,
    Manifest,
    Row,
    Shard,
    State,
    addresses,
    download,
    transfer,
)
from herder.errors import DataError, ResourceError

Fetch = Callable[..., DownloadReport]
Make = Callable[..., DownloadItem]


def row_of(folder: Path, key: str = "a.jpg") -> Row:
    with Manifest(folder / "manifest.sqlite") as manifest:
        row = manifest.row(key)
    assert row is not None
    return row


def leftovers(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.part"))


def test_a_photo_arrives(server: Server, item: Make, fetch: Fetch, tmp_path: Path) -> None:
    async def answer(asked: Asked) -> None:
        await asked.send(ETag='"abc"')

    server.answer = answer
    report = fetch(item(licence="CC BY", author="A. Author"))
    assert (tmp_path / "out/train/a.jpg").read_bytes() == PHOTO
    assert leftovers(tmp_path) == []
    row = row_of(tmp_path)
    outcome = row.outcome
    assert (outcome.state, outcome.attempts, outcome.size, outcome.etag) == (State.DONE, 1, len(PHOTO), '"abc"')
    assert outcome.sha256 == hashlib.sha256(PHOTO).hexdigest()
    assert (row.item.licence, row.item.author) == ("CC BY", "A. Author")
    assert report.complete
    assert (report.fetched, report.bytes, report.requests, report.retries) == (1, len(PHOTO), 1, 0)
    assert [(b.items, b.done, b.bytes) for b in report.batches] == [(1, 1, len(PHOTO))]
    assert report.as_dict()["totals"]["done"] == 1


def test_nothing_to_do(fetch: Fetch) -> None:
    report = fetch()
    assert (report.items, report.complete, report.batches) == (0, True, ())


def test_what_is_done_or_gone_is_not_asked_for_again(server: Server, item: Make, fetch: Fetch) -> None:
    async def answer(asked: Asked) -> None:
        await asked.send(410 if asked.path == "gone.jpg" else 200)

    server.answer = answer
    items = [item(), item("gone.jpg")]
    first, second = fetch(*items), fetch(*items)
    assert server.counts() == {"a.jpg": 1, "gone.jpg": 1}
    assert first.totals == second.totals
    assert (second.fetched, second.failures) == (0, {"not-found": 1})


@pytest.mark.parametrize(
    ("status", "state", "reason"), [(404, State.GONE, "not-found"), (403, State.FAILED, "http-status")]
)
def test_a_final_status_is_asked_for_once(
    server: Server, item: Make, fetch: Fetch, tmp_path: Path, status: int, state: State, reason: str
) -> None:
    async def answer(asked: Asked) -> None:
        await asked.send(status, b"no")

    server.answer = answer
    report = fetch(item())
    outcome = row_of(tmp_path).outcome
    assert (outcome.state, outcome.reason, outcome.http_status) == (state, reason, status)
    assert (len(server.log), report.failures) == (1, {reason: 1})


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_passing_status_is_retried(server: Server, item: Make, fetch: Fetch, status: int) -> None:
    async def answer(asked: Asked) -> None:
        await asked.send(status if asked.number < 3 else 200)

    server.answer = answer
    report = fetch(item())
    assert (report.complete, report.requests, report.retries, len(server.log)) == (True, 3, 2, 3)
    assert server.connections == 1, "short error pages are read away, and the connection is kept"


@pytest.mark.parametrize(
    "fault", ["reset", "hang up", "truncate", "hang", "hang in the middle", "wrong size", "garbage"]
)
def test_a_passing_fault_is_retried(server: Server, item: Make, fetch: Fetch, tmp_path: Path, fault: str) -> None:
    async def answer(asked: Asked) -> None:
        if asked.number > 1:
            await asked.send()
        elif fault == "reset":
            asked.reset()
        elif fault == "hang up":
            asked.hang_up()
        elif fault == "truncate":
            await asked.send(body=PHOTO[:700], length=len(PHOTO))
            asked.hang_up()
        elif fault == "hang":
            await asyncio.sleep(60)
        elif fault == "hang in the middle":
            await asked.send(body=PHOTO[:700], length=len(PHOTO))
            await asyncio.sleep(60)
        elif fault == "wrong size":
            await asked.send(body=PHOTO[:700])
        else:
            asked.writer.write(b"what?\r\n\r\n")

    server.answer = answer
    report = fetch(item(size=len(PHOTO)), read_timeout_s=0.3)
    assert (report.complete, report.retries) == (True, 1)
    assert (tmp_path / "out/train/a.jpg").read_bytes() == PHOTO
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("truncate", "truncated"),
        ("hang", "timeout"),
        ("reset", "connection"),
        ("drip", "timeout"),
        ("503", "server-error"),
    ],
)
def test_a_lasting_fault_ends_in_a_failure(
    server: Server, item: Make, fetch: Fetch, tmp_path: Path, fault: str, reason: str
) -> None:
    async def answer(asked: Asked) -> None:
        if fault == "truncate":
            await asked.send(body=PHOTO[:700], length=len(PHOTO))
            asked.hang_up()
        elif fault == "hang":
            await asyncio.sleep(60)
        elif fault == "drip":
            await asked.send(body=PHOTO[:9], length=len(PHOTO))
            while True:
                asked.writer.write(b"x")
                await asyncio.sleep(0.05)
        elif fault == "503":
            await asked.send(503)
        else:
            asked.reset()

    server.answer = answer
    report = fetch(item(), attempts=3, read_timeout_s=0.2, total_timeout_s=0.4)
    outcome = row_of(tmp_path).outcome
    assert (outcome.state, outcome.reason, outcome.attempts) == (State.FAILED, reason, 3)
    assert (report.failures, server.counts()["a.jpg"]) == ({reason: 1}, 3)
    assert not (tmp_path / "out/train/a.jpg").exists()
    assert leftovers(tmp_path) == []


def test_what_failed_is_tried_again_in_the_next_run(server: Server, item: Make, fetch: Fetch, tmp_path: Path) -> None:
    async def answer(asked: Asked) -> None:
        await asked.send(503 if asked.number <= 2 else 200)

    server.answer = answer
    assert fetch(item(), attempts=2).totals[State.FAILED] == 1
    assert fetch(item(), attempts=2).complete
    assert row_of(tmp_path).outcome.attempts == 3


@pytest.mark.parametrize("how", ["header", "chunked", "lie"])
def test_too_large_is_refused(server: Server, item: Make, fetch: Fetch, tmp_path: Path, how: str) -> None:
    async def answer(asked: Asked) -> None:
        if how == "chunked":
            chunks = (f"{len(PHOTO):x}\r\n".encode() + PHOTO + b"\r\n") * 100
            await asked.send(length=-1, body=chunks, Transfer_Encoding="chunked")
        else:
            await asked.send(body=PHOTO * 3, length=10**12 if how == "lie" else None)

    server.answer = answer
    report = fetch(item(), max_bytes=5000)
    assert report.failures == {"too-large": 1}
    assert (len(server.log), leftovers(tmp_path)) == (1, [])


@pytest.mark.parametrize(
    ("body", "headers", "reason"),
    [
        (b"<!doctype html><p>Sign in", {"Content_Type": "text/html"}, "html-page"),
        (b"<html>", {"Content_Type": "image/jpeg"}, "html-page"),
        (b"{}", {"Content_Type": "application/json"}, "not-a-photo"),
        (PHOTO, {"Content_Encoding": "gzip"}, "encoded"),
        (b"", {"Content_Type": "image/jpeg"}, "empty-file"),
    ],
)
def test_an_error_page_under_200_is_no_photo(
    server: Server, item: Make, fetch: Fetch, tmp_path: Path, body: bytes, headers: dict[str, str], reason: str
) -> None:
    async def answer(asked: Asked) -> None:
        await asked.send(body=body, **headers)

    server.answer = answer
    assert fetch(item(), attempts=2).failures == {reason: 1}
    assert list((tmp_path / "out/train").iterdir()) == []


def test_a_body_longer_than_content_length_spoils_no_other_photo(server: Server, fetch: Fetch, item: Make) -> None:
    async def answer(asked: Asked) -> None:
        lies = asked.path == "a.jpg" and asked.number == 1
        await asked.send(body=PHOTO + b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx" * lies, length=len(PHOTO))

    server.answer = answer
    items = [item(name) for name in ("a.jpg", "b.jpg", "c.jpg")]
    report = fetch(*items, concurrency=1)
    assert (report.complete, report.bytes) == (True, 3 * len(PHOTO))


def test_a_wrong_md5_is_retried_and_then_a_failure(server: Server, item: Make, fetch: Fetch, tmp_path: Path) -> None:
    right = hashlib.md5(PHOTO).hexdigest()

    async def answer(asked: Asked) -> None:
        damaged = asked.path == "bad.jpg" or asked.number == 1
        await asked.send(body=PHOTO[:-1] + b"?" if damaged else PHOTO, ETag=f'"{right}"', x_amz_request_id="1")

    server.answer = answer
    report = fetch(item(), item("bad.jpg"), item("given.jpg", md5=right.upper()), attempts=2)
    assert report.failures == {"wrong-md5": 1}
    assert row_of(tmp_path).outcome.md5_check == "etag"
    assert row_of(tmp_path, "given.jpg").outcome.md5_check == "given"


def test_redirects_are_followed(server: Server, item: Make, fetch: Fetch) -> None:
    async def answer(asked: Asked) -> None:
        if asked.path.endswith(".jpg"):
            await asked.send(302, b"", Location="/there")
        else:
            await asked.send()

    server.answer = answer
    assert fetch(item()).complete
    assert server.log == ["a.jpg", "there"]


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("file:///etc/passwd", "refused-address"),
        ("ftp://example.org/a.jpg", "refused-address"),
        ("http://169.254.169.254/latest/meta-data", "refused-address"),
        ("//[fe80::1]/", "refused-address"),
        ("http://127.0.0.1:99999/", "refused-address"),
        ("/a.jpg", "redirects"),
        ("", "redirects"),
    ],
)
def test_a_bad_redirect_is_refused(server: Server, item: Make, fetch: Fetch, location: str, reason: str) -> None:
    async def answer(asked: Asked) -> None:
        await asked.send(301, b"moved", Location=location)

    server.answer = answer
    report = fetch(item(), attempts=2, max_redirects=3)
    assert report.failures == {reason: 1}
    assert len(server.log) == (4 if location == "/a.jpg" else 1)


def test_a_redirect_to_a_private_address_is_refused(
    server: Server, item: Make, fetch: Fetch, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real = addresses.refusal
    # For this test 127.0.0.1 is a public address, so that there is a server to be redirected by.
    monkeypatch.setattr(addresses, "refusal", lambda a, **k: "" if a == "127.0.0.1" else real(a, **k))

    async def answer(asked: Asked) -> None:
        if asked.path == "secret":
            await asked.send()
        else:
            await asked.send(302, Location=server.url("secret", "127.0.0.2"))

    server.answer = answer
    assert fetch(item(), allow_private=False).failures == {"refused-address": 1}
    assert server.log == ["a.jpg"]
    assert "this machine itself" in row_of(tmp_path).outcome.last_error
    assert fetch(item(), allow_private=True).complete


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:{port}/a.jpg", "http://localhost:{port}/a.jpg", "file:///etc/passwd", "?"]
)
def test_private_addresses_are_refused_unless_allowed(server: Server, item: Make, fetch: Fetch, url: str) -> None:
    report = fetch(item(url=url.format(port=server.port)), allow_private=False)
    assert (report.failures, server.log) == ({"refused-address": 1}, [])


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


def test_transfers_are_bounded_and_retries_hold_no_place(server: Server, item: Make, fetch: Fetch) -> None:
    async def answer(asked: Asked) -> None:
        await asyncio.sleep(0.01)
        await asked.send(
            503 if asked.number == 1 and asked.path[0] in "0123" and len(asked.path) == 5 else 200, Retry_After="1"
        )

    server.answer = answer
    started = time.monotonic()
    report = fetch(*(item(f"{n}.jpg") for n in range(30)), concurrency=3, backoff_base_s=0)
    assert report.complete
    assert server.most_at_once <= 3
    assert server.connections <= 6
    # More than three waits of a second each, three places: they were waited for side by side.
    assert time.monotonic() - started < 8


def test_the_rate_is_kept(server: Server, item: Make, fetch: Fetch) -> None:
    started = time.monotonic()
    fetch(*(item(f"{n}.jpg") for n in range(30)), rate=40, concurrency=30)
    # 4 at once, 26 more at 40 a second.
    assert 0.6 < time.monotonic() - started < 3


def test_retry_after_is_waited_for(server: Server, item: Make, fetch: Fetch) -> None:
    times: list[float] = []

    async def answer(asked: Asked) -> None:
        times.append(time.monotonic())
        await asked.send(503 if asked.number == 1 else 200, Retry_After="1")

    server.answer = answer
    assert fetch(item(), backoff_base_s=0).complete
    assert 1 <= times[1] - times[0] < 2


def test_too_many_requests_pauses_the_whole_host(server: Server, item: Make, fetch: Fetch) -> None:
    times: dict[str, float] = {}

    async def answer(asked: Asked) -> None:
        times[f"{asked.path}{asked.number}"] = time.monotonic()
        await asked.send(429 if asked.path == "a.jpg" and asked.number == 1 else 200, Retry_After="1")

    server.answer = answer
    assert fetch(*(item(f"{c}.jpg") for c in "abc"), concurrency=1).complete
    assert times["b.jpg1"] - times["a.jpg1"] >= 0.99
    assert fetch(item("d.jpg")).complete


def test_a_dead_host_is_given_up_and_others_go_on(server: Server, item: Make, fetch: Fetch) -> None:
    async def answer(asked: Asked) -> None:
        if asked.path.startswith("dead"):
            asked.reset()
        else:
            await asked.send()

    server.answer = answer
    dead = [item(f"dead{n}.jpg", url=server.url(f"dead{n}", "127.0.0.3")) for n in range(40)]
    alive = [item(f"b{n}.jpg") for n in range(40)]
    report = fetch(*dead, *alive, breaker_failures=5, breaker_trials=2, breaker_seconds=0.1, backoff_cap_s=0.05)
    assert report.totals[State.DONE] == 40
    assert report.failures["host-down"] > 30
    asked = sum(path.startswith("dead") for path in server.log)
    # 5 open the breaker, those under way with them, and two trials, one at a time.
    assert asked <= 5 + 4 + 2


def test_a_host_that_comes_back_is_used_again(server: Server, item: Make, fetch: Fetch) -> None:
    async def answer(asked: Asked) -> None:
        await asked.send(503 if len(server.log) <= 8 else 200)

    server.answer = answer
    report = fetch(*(item(f"{n}.jpg") for n in range(20)), breaker_failures=4, attempts=10, breaker_trials=20)
    assert (report.complete, report.failures) == (True, {})


def test_an_unknown_host_is_a_failure(item: Make, fetch: Fetch) -> None:
    report = fetch(item(url="http://nowhere.invalid/a.jpg"), attempts=1)
    assert report.failures == {"connection": 1}


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


def test_stop_keeps_what_arrived(server: Server, item: Make, tmp_path: Path) -> None:
    stop = threading.Event()

    async def answer(asked: Asked) -> None:
        if len(server.log) > 10:
            stop.set()
            await asyncio.sleep(60)
        await asked.send()

    server.answer = answer
    items = [item(f"{n}.jpg") for n in range(30)]
    config = DownloadConfig(**QUICK)
    with Manifest(tmp_path / "m.sqlite") as manifest:
        first = download(items, tmp_path / "out", config, manifest=manifest, stop=stop)
        assert first.stopped
        assert 0 < first.fetched <= 10
        assert len(list((tmp_path / "out/train").iterdir())) == first.fetched == first.totals[State.DONE]
        server.answer = lambda asked: asked.send()
        second = download(items, tmp_path / "out", config, manifest=manifest)
    assert (second.complete, second.stopped, second.fetched) == (True, False, 30 - first.fetched)


def test_progress_reaches_its_total(item: Make, tmp_path: Path) -> None:
    seen: list[DownloadProgress] = []
    with Manifest(tmp_path / "m.sqlite") as manifest:
        items = [item(f"{n}.jpg") for n in range(7)]
        download(items, tmp_path, DownloadConfig(**QUICK), manifest=manifest, progress=seen.append)
    assert (seen[-1].total, seen[-1].ended, seen[-1].failed, seen[-1].bytes) == (7, 7, 0, 7 * len(PHOTO))


def test_shards_divide_the_work(server: Server, item: Make, tmp_path: Path) -> None:
    items = [item(f"{n}.jpg") for n in range(20)]
    for k in (1, 2):
        with Manifest(tmp_path / f"{k}.sqlite") as manifest:
            report = download(items, tmp_path, DownloadConfig(**QUICK), manifest=manifest, shard=Shard(k, 2))
            assert report.complete
            assert 0 < report.items < 20
    assert server.counts() == {f"{n}.jpg": 1 for n in range(20)}


def test_inside_a_running_event_loop(item: Make, fetch: Fetch) -> None:
    async def cell() -> DownloadReport:
        return fetch(item())

    assert asyncio.run(cell()).complete


def test_retries_are_not_logged(server: Server, item: Make, fetch: Fetch, caplog: pytest.LogCaptureFixture) -> None:
    async def answer(asked: Asked) -> None:
        await asked.send(503 if asked.number == 1 else 200)

    server.answer = answer
    with caplog.at_level(logging.WARNING):
        assert fetch(item()).retries == 1
    assert caplog.records == []
