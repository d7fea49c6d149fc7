"""A connection that counts the bytes of each answer, so that none spills over into the next one.

A server that sends more than its Content-Length says would have the rest read as the beginning of the next answer on
the same connection: one wrong photo, under another one's name. So a connection is used again only where the bytes that
came are exactly those that were announced.
"""

from __future__ import annotations

import ssl
from typing import Any

import httpcore

_HEAD_BYTES = 100_000
"""Headers of more bytes are not looked at; h11 refuses them anyway."""


class CountedStream(httpcore.AsyncNetworkStream):
    """The stream ``inner`` with a count of the body's bytes since the last request was written."""

    def __init__(self, inner: httpcore.AsyncNetworkStream) -> None:
        self._inner = inner
        self._head: bytearray | None = bytearray()
        self.body_bytes: int | None = None
        """Bytes that came after the end of the headers, None while that has not come."""

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read, and count."""
        data = await self._inner.read(max_bytes, timeout)
        if self.body_bytes is not None:
            self.body_bytes += len(data)
        elif self._head is not None:
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end >= 0:
                self.body_bytes = len(self._head) - end - 4
            if end >= 0 or len(self._head) > _HEAD_BYTES:
                self._head = None
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write a request, and start to count anew."""
        if buffer:
            self._head, self.body_bytes = bytearray(), None
        await self._inner.write(buffer, timeout)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._inner.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        """The same connection with TLS, counted inside of it."""
        return CountedStream(await self._inner.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        """What the connection below says."""
        return self._inner.get_extra_info(info)
