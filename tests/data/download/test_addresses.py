"""What may be connected to, and that nothing else is."""

from __future__ import annotations

import asyncio
import ipaddress

import httpcore
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from herder.data.download import DownloadConfig, addresses
from herder.data.download.addresses import GuardedBackend, checked_url, refusal
from herder.data.download.failures import Failure

PUBLIC = ["8.8.8.8", "93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "::ffff:8.8.8.8", "64:ff9b::808:808"]
PRIVATE = ["10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fc00::1", "::ffff:10.0.0.1", "64:ff9b::a00:1"]
PRIVATE += ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", "::127.0.0.1", "2002:7f00:1::", "2002:a00:1::"]
NEVER = ["169.254.169.254", "::ffff:169.254.169.254", "fe80::1%eth0", "0.0.0.0", "::", "224.0.0.1", "ff02::1"]
NEVER += ["255.255.255.255", "240.0.0.1", "100.100.100.200", "fd00:ec2::254", "64:ff9b::a9fe:a9fe"]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_open(address: str) -> None:
    assert refusal(address, allow_private=False) == ""


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_need_leave(address: str) -> None:
    assert refusal(address, allow_private=False)
    assert refusal(address, allow_private=True) == ""


@pytest.mark.parametrize("address", NEVER)
def test_some_addresses_are_never_open(address: str) -> None:
    assert refusal(address, allow_private=True)
    assert refusal(address, allow_private=False)


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_nothing_that_the_standard_calls_not_global_is_open(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if not address.is_global:
        assert refusal(str(address), allow_private=False)


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "ftp://a/b", "gopher://a", "data:image/png;base64,", "a.jpg", "", "http://", "http://[::1"],
)
def test_other_schemes_are_refused(url: str) -> None:
    with pytest.raises(Failure) as caught:
        checked_url(url, DownloadConfig())
    assert (caught.value.reason, caught.value.retry) == ("refused-address", False)


def test_http_can_be_closed() -> None:
    with pytest.raises(Failure, match="only https"):
        checked_url("http://example.org/a.jpg", DownloadConfig(allow_http=False))
    base = httpx.URL("https://example.org/photos/a.jpg")
    assert str(checked_url("../b.jpg", DownloadConfig(allow_http=False), base=base)) == "https://example.org/b.jpg"


def test_the_address_that_was_checked_is_the_one_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that points elsewhere at the second look (DNS rebinding) finds no second look."""
    looked: list[str] = []
    connected: list[str] = []

    async def resolve(host: str, port: int) -> list[str]:
        looked.append(host)
        return ["10.0.0.1", "8.8.8.8"] if len(looked) == 1 else ["127.0.0.1"]

    async def connect(self: object, host: str, *rest: object, **more: object) -> httpcore.AsyncNetworkStream:
        connected.append(host)
        raise httpcore.ConnectError("nobody there")

    monkeypatch.setattr(addresses, "resolve", resolve)
    monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", connect)
    with pytest.raises(httpcore.ConnectError):
        asyncio.run(GuardedBackend(DownloadConfig()).connect_tcp("photos.example", 80, 1.0))
    assert (looked, connected) == (["photos.example"], ["8.8.8.8"])
    with pytest.raises(Failure, match=r"photos.example is 127\.0\.0\.1"):
        asyncio.run(GuardedBackend(DownloadConfig()).connect_tcp("photos.example", 80, 1.0))
    assert connected == ["8.8.8.8"]


def test_the_next_address_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    async def resolve(host: str, port: int) -> list[str]:
        return ["2606:2800::1", "8.8.8.8"]

    async def connect(self: object, host: str, *rest: object, **more: object) -> str:
        tried.append(host)
        if ":" in host:
            raise httpcore.ConnectTimeout
        return "a stream"

    monkeypatch.setattr(addresses, "resolve", resolve)
    monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", connect)
    asyncio.run(GuardedBackend(DownloadConfig()).connect_tcp("photos.example", 80, 1.0))
    assert tried == ["2606:2800::1", "8.8.8.8"]


def test_socket_files_are_never_opened() -> None:
    with pytest.raises(Failure):
        asyncio.run(GuardedBackend(DownloadConfig()).connect_unix_socket("/var/run/docker.sock"))
