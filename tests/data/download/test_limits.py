"""How many at a time, how fast, and when a host is left alone."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

import pytest
from tests.data.download.conftest import Asked, Server

from herder.data.download import (
    DownloadItem,
    DownloadReport,
    State,
)

Fetch = Callable[..., DownloadReport]
Make = Callable[..., DownloadItem]


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


def test_retries_are_not_logged(server: Server, item: Make, fetch: Fetch, caplog: pytest.LogCaptureFixture) -> None:
    async def answer(asked: Asked) -> None:
        await asked.send(503 if asked.number == 1 else 200)

    server.answer = answer
    with caplog.at_level(logging.WARNING):
        assert fetch(item()).retries == 1
    assert caplog.records == []
