"""One request for a table: addresses checked at each redirect, and what the answer says of ranges made plain."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import httpx

from herder.data.download.addresses import checked_url
from herder.data.download.connections import Connections
from herder.data.download.failures import Failure
from herder.data.download.settings import DownloadConfig
from herder.data.download.transfer import REDIRECTS, status_failure


@dataclass(frozen=True)
class Answer:
    """An answer with status 200, 206, 304 or 416; it must be closed."""

    response: httpx.Response
    start: int
    """The first byte that comes, 0 but for a range."""
    total: int | None
    """Bytes of the whole table, None where the server does not say."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.response.status_code

    @property
    def headers(self) -> httpx.Headers:
        """All headers."""
        return self.response.headers

    def chunks(self) -> AsyncIterator[bytes]:
        """The bytes, as they come: gathered into larger chunks, those of a broken connection would be lost."""
        return self.response.aiter_raw()

    async def aclose(self) -> None:
        """Let go of the connection."""
        await self.response.aclose()


async def request(connections: Connections, url: str, headers: Mapping[str, str], config: DownloadConfig) -> Answer:
    """Ask for ``url`` and follow redirects. Raises Failure for every answer that brings no table."""
    timeouts = {
        "connect": config.connect_timeout_s,
        "read": config.read_timeout_s,
        "write": config.read_timeout_s,
        "pool": None,
    }
    # identity: lengths and ranges are then those of the file itself.
    sent = {"User-Agent": config.user_agent, "Accept-Encoding": "identity", **headers}
    place = checked_url(url, config)
    for _ in range(config.max_redirects + 1):
        asked = httpx.Request("GET", place, headers=sent, extensions={"timeout": timeouts})
        response = await connections.handle_async_request(asked)
        status = response.status_code
        if status in (200, 206, 304, 416):
            return await _answer(response)
        await response.aclose()
        if status not in REDIRECTS:
            raise status_failure(response)
        place = checked_url(response.headers.get("Location", ""), config, base=place)
    raise Failure("redirects", f"more than {config.max_redirects} redirects")


async def _answer(response: httpx.Response) -> Answer:
    headers = response.headers
    if headers.get("Content-Encoding", "identity").strip().lower() not in ("identity", ""):
        await response.aclose()
        raise Failure("encoded", f"the server sends {headers['Content-Encoding']} and not the file itself")
    if response.status_code == 206:
        found = re.fullmatch(r"bytes ([0-9]+)-[0-9]+/([0-9]+|\*)", headers.get("Content-Range", "").strip())
        if found is None:
            await response.aclose()
            raise Failure("wrong-size", f"no usable Content-Range: {headers.get('Content-Range', '')!r}")
        return Answer(response, int(found[1]), int(found[2]) if found[2].isdecimal() else None)
    length = headers.get("Content-Length", "").strip()
    return Answer(response, 0, int(length) if length.isdecimal() else None)
