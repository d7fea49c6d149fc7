"""Connections that are kept open between transfers: an httpx transport for many small files from few hosts.

httpx's own pool looks at every connection for every request, and where all are busy it wakes all that wait for one; at
32 at a time that costs more than the transfers themselves. Here the downloader bounds the number of transfers, so that
nobody ever waits: a transfer takes an idle connection of its host, or opens a new one.
"""

from __future__ import annotations

import ssl
from collections import OrderedDict
from collections.abc import AsyncIterable, AsyncIterator

import httpcore
import httpx

from herder.data.download.addresses import GuardedBackend
from herder.data.download.counted_stream import CountedStream
from herder.data.download.failures import Failure
from herder.data.download.settings import DownloadConfig

KEEP_ALIVE_S = 15.0
"""An idle connection is closed after so many seconds; servers commonly close theirs after 5 to 60."""

Origin = tuple[bytes, bytes, int]
"""Scheme, host and port."""

_PORTS = {b"http": 80, b"https": 443}


class Connections(httpx.AsyncBaseTransport):
    """HTTP/1.1 with keep-alive to addresses that ``addresses`` allows; proxies of the environment are not used.

    Raises Failure for whatever goes wrong on the way. At most ``config.concurrency`` idle connections are kept.
    """

    def __init__(self, config: DownloadConfig) -> None:
        self._config = config
        self._backend = GuardedBackend(config)
        self._ssl: ssl.SSLContext | None = None
        # Idle connections, the longest idle first; the value is the origin.
        self._idle: OrderedDict[httpcore.AsyncHTTPConnection, Origin] = OrderedDict()
        self._by_origin: dict[Origin, list[httpcore.AsyncHTTPConnection]] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request and return the response as soon as its headers are there; its stream must be closed."""
        url = request.url
        origin = (url.raw_scheme, url.raw_host, url.port or _PORTS[url.raw_scheme])
        connection = await self._take(origin)
        asked = httpcore.Request(
            request.method,
            httpcore.URL(scheme=origin[0], host=origin[1], port=origin[2], target=url.raw_path),
            headers=request.headers.raw,
            extensions=request.extensions,
        )
        try:
            answer = await connection.handle_async_request(asked)
        except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
            await connection.aclose()
            raise as_failure(error, url) from error
        except BaseException:
            await connection.aclose()
            raise
        assert isinstance(answer.stream, AsyncIterable)
        return httpx.Response(
            answer.status,
            headers=answer.headers,
            stream=_Body(self, connection, origin, answer, url),
            extensions=answer.extensions,
        )

    async def aclose(self) -> None:
        """Close what is idle."""
        idle = list(self._idle)
        self._idle.clear()
        self._by_origin.clear()
        for connection in idle:
            await connection.aclose()

    async def _take(self, origin: Origin) -> httpcore.AsyncHTTPConnection:
        kept = self._by_origin.get(origin, [])
        while kept:
            connection = kept.pop()
            del self._idle[connection]
            if not kept:
                del self._by_origin[origin]
            if not connection.has_expired():
                return connection
            await connection.aclose()
            kept = self._by_origin.get(origin, [])
        if origin[0] == b"https" and self._ssl is None:
            self._ssl = httpx.create_ssl_context()
        return httpcore.AsyncHTTPConnection(
            httpcore.Origin(*origin),
            ssl_context=self._ssl,
            keepalive_expiry=KEEP_ALIVE_S,
            network_backend=self._backend,
        )

    async def give_back(self, connection: httpcore.AsyncHTTPConnection, origin: Origin, *, whole: bool) -> None:
        """Keep a connection for the next transfer, unless its answer was not read to its end or not the ``whole``."""
        if not (whole and connection.is_idle()):
            await connection.aclose()
            return
        self._idle[connection] = origin
        self._by_origin.setdefault(origin, []).append(connection)
        if len(self._idle) > self._config.concurrency:
            oldest, its_origin = self._idle.popitem(last=False)
            kept = self._by_origin[its_origin]
            kept.remove(oldest)
            if not kept:
                del self._by_origin[its_origin]
            await oldest.aclose()


class _Body(httpx.AsyncByteStream):
    """The bytes of a response; closing it gives the connection back, or closes it where bytes are left unread."""

    def __init__(
        self,
        connections: Connections,
        connection: httpcore.AsyncHTTPConnection,
        origin: Origin,
        answer: httpcore.Response,
        url: httpx.URL,
    ) -> None:
        self._connections = connections
        self._connection = connection
        self._origin = origin
        self._answer = answer
        self._url = url
        self._open = True

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._answer.aiter_stream():
                yield chunk
        except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise as_failure(error, self._url, started=True) from error

    async def aclose(self) -> None:
        """Let go of the connection."""
        if self._open:
            self._open = False
            await self._answer.aclose()
            await self._connections.give_back(self._connection, self._origin, whole=self._is_whole())

    def _is_whole(self) -> bool:
        """Whether exactly the bytes came that Content-Length announced."""
        lengths = [value for name, value in self._answer.headers if name.lower() == b"content-length"]
        stream = self._answer.extensions.get("network_stream")
        return isinstance(stream, CountedStream) and lengths == [b"%d" % (stream.body_bytes or 0)]


def as_failure(error: Exception, url: httpx.URL, *, started: bool = False) -> Failure:
    """What an error of the network means; ``started``: the response's headers were there."""
    host = url.host
    if isinstance(error, httpcore.ConnectTimeout):
        return Failure("timeout", f"{host}: no connection in time", retry=True, blames_host=True)
    if isinstance(error, httpcore.TimeoutException):
        said = "the server fell silent in the middle" if started else "the server did not answer in time"
        return Failure("timeout", f"{host}: {said}", retry=True, blames_host=True)
    text = str(error) or type(error).__name__
    if started and isinstance(error, httpcore.RemoteProtocolError):
        return Failure("truncated", f"{host}: the photo ends early ({text})", retry=True)
    what = "cannot be connected to" if isinstance(error, httpcore.ConnectError) else "broke the connection off"
    return Failure("connection", f"{host}: {what} ({text})", retry=True, blames_host=True)
