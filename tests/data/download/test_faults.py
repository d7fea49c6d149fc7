"""What a bad server sends, and what becomes of it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.data.download.conftest import PHOTO, Asked, Server, leftovers, row_of

from herder.data.download import (
    DownloadItem,
    DownloadReport,
    State,
)

Fetch = Callable[..., DownloadReport]
Make = Callable[..., DownloadItem]


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
