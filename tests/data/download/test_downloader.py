"""Downloads from a server on the loopback: the whole way, stopping, and going on."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Callable
from pathlib import Path

from tests.data.download.conftest import PHOTO, QUICK, Asked, Server, leftovers, row_of

from herder.data.download import (
    DownloadConfig,
    DownloadItem,
    DownloadProgress,
    DownloadReport,
    Manifest,
    Shard,
    State,
    download,
)

Fetch = Callable[..., DownloadReport]
Make = Callable[..., DownloadItem]


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
