"""Which addresses may be fetched from: the scheme of each URL, and the address that is really connected to.

A list of photo URLs comes from elsewhere. It, or a server that redirects, must not make this machine read its own files
or ask the computers of its own network (server-side request forgery, https://owasp.org/www-community/attacks/
Server_Side_Request_Forgery). So every hop's scheme is checked, and a name is turned into addresses once: those that are
checked are those that are connected to, whatever the name points to a moment later (DNS rebinding).
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address

import httpcore
import httpx

from herder.data.download.counted_stream import CountedStream
from herder.data.download.failures import Failure
from herder.data.download.settings import DownloadConfig

_TRANSLATED = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("::/96"))
"""IPv6 networks whose last 32 bits are an IPv4 address: NAT64 (RFC 6052) and the old IPv4-compatible one (RFC 4291)."""

_METADATA = (IPv4Address("100.100.100.200"), IPv6Address("fd00:ec2::254"))
"""Where clouds tell a machine its own keys, where that is not link-local."""

_TRIED = 4
"""Addresses of one name that are tried, one after the other."""

SocketOption = tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]


def refusal(address: str, *, allow_private: bool) -> str:
    """Why this IP address is not fetched from, "" where it may be.

    ``allow_private`` opens private networks and this machine itself. Link-local addresses, where the machines of a
    cloud find their keys, stay closed, and so do those of no single computer (multicast, unspecified, reserved).

    >>> refusal("192.168.1.7", allow_private=False)
    'a private network'
    >>> refusal("169.254.169.254", allow_private=True)
    'link-local, where clouds keep the keys of their machines'
    >>> refusal("93.184.215.14", allow_private=False)
    ''
    """
    number = _unwrapped(ipaddress.ip_address(address.partition("%")[0]))
    if number.is_link_local or number in _METADATA:
        return "link-local, where clouds keep the keys of their machines"
    if number.is_unspecified or number.is_multicast:
        return "no computer's address"
    if number.is_loopback:
        return "" if allow_private else "this machine itself"
    if number.is_global:
        return ""
    if number.is_reserved:
        return "no computer's address"
    return "" if allow_private else "a private network"


def _unwrapped(number: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 address stands for, where it does."""
    if isinstance(number, IPv4Address):
        return number
    inner = number.ipv4_mapped or number.sixtofour or (number.teredo[1] if number.teredo else None)
    if inner is None and number not in (IPv6Address("::"), IPv6Address("::1")):
        inner = next((IPv4Address(int(number) & 0xFFFFFFFF) for net in _TRANSLATED if number in net), None)
    return inner or number


def checked_url(url: str | httpx.URL, config: DownloadConfig, *, base: httpx.URL | None = None) -> httpx.URL:
    """The URL, made whole with the one that led to it, once its scheme and host are known to be allowed.

    Raises Failure with reason ``refused-address`` otherwise.
    """
    try:
        found = httpx.URL(url) if base is None else base.join(url)
    except (httpx.InvalidURL, ValueError, TypeError) as error:
        raise Failure("refused-address", f"{str(url)[:200]!r} is no URL ({error})") from None
    schemes = ("https", "http") if config.allow_http else ("https",)
    by = "the server redirects to" if base is not None else "the address is"
    if found.scheme not in schemes:
        raise Failure("refused-address", f"{by} {str(found)[:200]}, and only {' and '.join(schemes)} are fetched")
    if not found.host:
        raise Failure("refused-address", f"{by} {str(found)[:200]}, which names no host")
    if found.port is not None and not 0 < found.port < 65_536:
        raise Failure("refused-address", f"{by} {str(found)[:200]}, and there is no port {found.port}")
    return found


async def resolve(host: str, port: int) -> list[str]:
    """The IP addresses of a host, in the order that the system prefers. Raises OSError where there are none."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Connects to addresses that were checked, and to no others."""

    def __init__(self, config: DownloadConfig) -> None:
        self._config = config
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[SocketOption] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to one of the host's addresses that may be used.

        Raises Failure with reason ``refused-address`` where none may, httpcore.ConnectError where none answers.
        """
        limit = timeout if timeout is not None else self._config.connect_timeout_s
        try:
            async with asyncio.timeout(limit):
                addresses = await resolve(host, port)
        except TimeoutError:
            raise httpcore.ConnectTimeout(f"the name {host} was not found within {limit:g} s") from None
        except (OSError, UnicodeError, OverflowError) as error:
            raise httpcore.ConnectError(f"the name {host} is not known ({error})") from None
        reasons = {address: refusal(address, allow_private=self._config.allow_private) for address in addresses}
        usable = [address for address, reason in reasons.items() if not reason][:_TRIED]
        if not usable:
            address, reason = next(iter(reasons.items()), ("no address", "unknown"))
            raise Failure("refused-address", f"{host} is {address}: {reason}")
        for i, address in enumerate(usable):
            try:
                share = limit / len(usable)
                stream = await self._inner.connect_tcp(address, port, share, local_address, socket_options)
                return CountedStream(stream)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if i == len(usable) - 1:
                    raise
        raise AssertionError("one address at least was tried")

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[SocketOption] | None = None
    ) -> httpcore.AsyncNetworkStream:
        """Never: no URL leads to a socket file."""
        raise Failure("refused-address", f"{path} is a file of this machine")

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)
