"""Redirects that are followed, and those that are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.data.download.conftest import Asked, Server, row_of

from herder.data.download import (
    DownloadItem,
    DownloadReport,
    addresses,
)

Fetch = Callable[..., DownloadReport]
Make = Callable[..., DownloadItem]


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
