"""One attempt at one item: request, redirects, headers, and the bytes into a file beside the final one.

Nothing under a final name is touched here: the bytes go to ``name.part``, and the downloader renames it.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx

from herder.data.download.addresses import checked_url
from herder.data.download.connections import Connections
from herder.data.download.failures import Failure
from herder.data.download.items import DownloadItem
from herder.data.download.settings import DownloadConfig
from herder.data.download.sniffing import SNIFFED, check_content
from herder.files import writing

REDIRECTS = frozenset({301, 302, 303, 307, 308})

GONE = frozenset({404, 410})

RETRIED = frozenset({408, 425, 429, *range(500, 600)})
"""Statuses that may pass; RFC 9110 section 15, RFC 6585 for 429, RFC 8470 for 425."""

_DRAINED = 65_536
"""The rest of an answer up to so many bytes is read away, which is cheaper than a new connection."""

_OPEN = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


@dataclass(frozen=True, slots=True)
class Arrival:
    """What lies in the ``.part`` file after an attempt that worked."""

    size: int
    sha256: str
    status: int
    etag: str
    md5_check: str


async def fetch(
    connections: Connections, item: DownloadItem, url: httpx.URL, part: Path, config: DownloadConfig
) -> Arrival:
    """Fetch an item from its checked ``url`` into ``part``, checked as far as its headers and first bytes allow.

    Raises Failure when the item did not arrive, and ResourceError when it cannot be written; then ``part`` is gone.
    """
    try:
        async with asyncio.timeout(config.total_timeout_s):
            response = await _final_response(connections, url, config)
            try:
                return await _receive(response, item, part, config)
            finally:
                await response.aclose()
    except TimeoutError:
        message = f"not there after {config.total_timeout_s:g} s"
        raise Failure("timeout", message, retry=True, blames_host=True) from None


async def _final_response(connections: Connections, url: httpx.URL, config: DownloadConfig) -> httpx.Response:
    """The answer with status 200 at the end of all redirects; every hop's address is checked."""
    timeouts = {
        "connect": config.connect_timeout_s,
        "read": config.read_timeout_s,
        "write": config.read_timeout_s,
        "pool": None,
    }
    for _ in range(config.max_redirects + 1):
        # identity: Content-Length, size and MD5 are then those of the file itself.
        headers = {"User-Agent": config.user_agent, "Accept": "image/*,*/*;q=0.5", "Accept-Encoding": "identity"}
        request = httpx.Request("GET", url, headers=headers, extensions={"timeout": timeouts})
        response = await connections.handle_async_request(request)
        if response.status_code == 200:
            return response
        try:
            await _drain(response)
        finally:
            await response.aclose()
        if response.status_code not in REDIRECTS:
            raise status_failure(response)
        if not response.headers.get("Location"):
            raise Failure("redirects", "the server redirects to nowhere", status=response.status_code)
        url = checked_url(response.headers["Location"], config, base=url)
    raise Failure("redirects", f"more than {config.max_redirects} redirects", status=response.status_code)


async def _drain(response: httpx.Response) -> None:
    """Read away a short body, so that the connection can be used again."""
    length = response.headers.get("Content-Length", "")
    if length.isdecimal() and int(length) <= _DRAINED:
        async for _ in response.aiter_raw():
            pass


def status_failure(response: httpx.Response) -> Failure:
    """What a status other than success means for the item, its retries and its host."""
    status = response.status_code
    said = f"the server says {status} {response.reason_phrase}".rstrip()
    if status in GONE:
        return Failure("not-found", said, gone=True, status=status)
    if status not in RETRIED:
        return Failure("http-status", said, status=status)
    wait = retry_after(response.headers.get("Retry-After", ""))
    reason = "throttled" if status == 429 else "server-error"
    return Failure(reason, said, retry=True, blames_host=status >= 500, status=status, retry_after=wait)


def retry_after(text: str, now: datetime | None = None) -> float | None:
    """Seconds that a Retry-After header asks to wait, None where it says nothing; RFC 9110 section 10.2.3.

    >>> retry_after("120")
    120.0
    >>> retry_after("Fri, 31 Dec 1999 23:59:59 GMT", datetime(1999, 12, 31, 23, 59, 0, tzinfo=UTC))
    59.0
    """
    text = text.strip()
    if re.fullmatch(r"[0-9]{1,9}", text):
        return float(text)
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    date = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(0.0, (date - (now or datetime.now(UTC))).total_seconds())


async def _receive(response: httpx.Response, item: DownloadItem, part: Path, config: DownloadConfig) -> Arrival:
    """Write the body of a response to ``part``, with its digests on the way, and check what can be checked."""
    headers = response.headers
    if headers.get("Content-Encoding", "identity").strip().lower() not in ("identity", ""):
        raise Failure("encoded", f"the server sends {headers['Content-Encoding']} and not the file itself", status=200)
    length = _length(headers)
    if length is not None and length > config.max_bytes:
        raise Failure("too-large", f"{length:,} bytes, the limit is {config.max_bytes:,}", status=200)
    if item.size is not None and length not in (None, item.size):
        raise Failure("wrong-size", f"{length:,} bytes announced, {item.size:,} expected", retry=True, status=200)
    wanted = wanted_md5(item, headers)
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    size, head = 0, b""
    with writing(part):
        handle = os.open(part, _OPEN, 0o666)
    whole = False
    try:
        async for chunk in response.aiter_raw():
            size += len(chunk)
            if size > config.max_bytes:
                raise Failure("too-large", f"more than the limit of {config.max_bytes:,} bytes", status=200)
            if len(head) < SNIFFED:
                head += chunk[: SNIFFED - len(head)]
            # In this thread: a chunk's SHA-256 takes 40 microseconds, handing it to another thread takes longer.
            sha256.update(chunk)
            if wanted:
                md5.update(chunk)
            with writing(part):
                write_all(handle, chunk)
        check_content(head, size, headers.get("Content-Type", ""))
        if length is not None and size != length:
            raise Failure("truncated", f"{size:,} of {length:,} bytes came", retry=True, status=200)
        if item.size is not None and size != item.size:
            raise Failure("wrong-size", f"{size:,} bytes came, {item.size:,} expected", retry=True, status=200)
        for source, digest in wanted.items():
            if md5.hexdigest() != digest:
                message = f"MD5 {md5.hexdigest()} is not the {digest} of {source}"
                raise Failure("wrong-md5", message, retry=True, status=200)
        whole = True
    finally:
        os.close(handle)
        if not whole:
            part.unlink(missing_ok=True)
    return Arrival(size, sha256.hexdigest(), 200, headers.get("ETag", ""), next(iter(wanted), ""))


def write_all(handle: int, data: bytes) -> None:
    """Write all of ``data``: the system may take it in pieces. Raises OSError."""
    written = os.write(handle, data)
    while written < len(data):
        written += os.write(handle, data[written:])


def _length(headers: httpx.Headers) -> int | None:
    text = headers.get("Content-Length", "").strip()
    return int(text) if text.isdecimal() else None


def wanted_md5(item: DownloadItem, headers: httpx.Headers) -> dict[str, str]:
    """The MD5s in hex that the file must have, by who says so: ``given``, ``content-md5``, ``etag``.

    Sources: Content-MD5, RFC 1864; x-goog-hash, https://cloud.google.com/storage/docs/xml-api/reference-headers;
    S3's ETag, https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html: the MD5 of an object that was put in one
    piece and is not encrypted with a key of its own. Other servers' ETags may look like an MD5 and be none.
    """
    found: dict[str, str] = {}
    if item.md5 is not None:
        found["given"] = item.md5
    hashes = [text.strip() for text in headers.get("x-goog-hash", "").split(",")]
    google = next((text[4:] for text in hashes if text.startswith("md5=")), "")
    stated = google or headers.get("Content-MD5", "").strip()
    if stated:
        try:
            digest = base64.b64decode(stated, validate=True)
        except (binascii.Error, ValueError):
            digest = b""
        if len(digest) == 16:
            found["content-md5"] = digest.hex()
    tag = re.fullmatch(r'"([0-9a-fA-F]{32})"', headers.get("ETag", "").strip())
    own_key = headers.get("x-amz-server-side-encryption", "AES256") != "AES256" or any(
        name.startswith("x-amz-server-side-encryption-customer") for name in headers
    )
    if tag and not own_key and any(name.startswith("x-amz-") for name in headers):
        found["etag"] = tag[1].lower()
    return found
