"""Tables from the network, kept on disk: fetched once, asked about with their ETag, and gone on with where broken off.

Sources: conditional requests and ranges, RFC 9110 sections 13 and 14. A table lies in the cache as ``DIGEST-name.csv``
with ``DIGEST-name.csv.json`` beside it, which says what the server called it. What is under way is ``.part``; only a
whole one takes the final name.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from herder.data.download import DownloadConfig, DownloadItem
from herder.data.download.connections import Connections
from herder.data.download.failures import Failure
from herder.data.download.transfer import wanted_md5
from herder.data.open_images.table_request import Answer, request
from herder.errors import DataError
from herder.files import write_atomic, writing

MAX_BYTES = 20_000_000_000
"""A table of more bytes is refused."""

PASSING = frozenset({"timeout", "connection", "truncated", "server-error", "throttled"})
"""Failures with which a table of the cache is still used: the network may be away."""

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there and those of the whole table, None where the server does not say."""


@dataclass(frozen=True)
class TableFacts:
    """What is known of a table in the cache, or of a part of one."""

    url: str
    size: int | None = None
    etag: str = ""
    last_modified: str = ""

    @property
    def validator(self) -> str:
        """What a range may be asked for with: a strong ETag, "" where there is none."""
        return self.etag if self.etag.startswith('"') else ""


def fetch_table(
    url: str,
    cache: Path,
    config: DownloadConfig | None = None,
    *,
    progress: Progress | None = None,
    notice: Callable[[str], None] | None = None,
) -> Path:
    """The file of the table at ``url`` in the folder ``cache``, fetched where it is not there or has changed.

    Without a network the table that is in the cache is used, and ``notice`` is told. Two processes that want the same
    table fetch it once. Raises DataError when it cannot be had, ResourceError when it cannot be written.
    """
    name = f"{hashlib.sha256(url.encode()).hexdigest()[:12]}-{_plain_name(url)}"
    tell = notice or (lambda text: None)
    with writing(cache):
        cache.mkdir(parents=True, exist_ok=True)
    with _only_one(cache / f"{name}.lock", lambda: tell(f"waiting for another herder that fetches {url}")):
        table = _Table(url, cache / name, config or DownloadConfig(), progress or (lambda done, total: None))
        try:
            _run(table.refresh())
        except Failure as failure:
            if table.known is not None and failure.reason in PASSING:
                tell(f"{url}: {failure.message}; the copy in {cache} is used")
            else:
                hint = {
                    "refused-address": "--allow-private fetches from this machine or a private network",
                    "not-found": "check the address of the tables",
                    "too-large": "check the address of the tables",
                }.get(failure.reason, "run the same again: it goes on where it stopped")
                raise DataError(f"{url}: {failure.message}", hint=hint) from None
        return table.path


class _Table:
    """One table of the cache."""

    def __init__(self, url: str, path: Path, config: DownloadConfig, progress: Progress) -> None:
        self.path = path
        self._url = url
        self._config = config
        self._progress = progress
        self._part = path.with_name(f"{path.name}.part")
        self.known = _facts(path, url, whole=True)

    async def refresh(self) -> None:
        """Bring the file up to date. Raises Failure, ResourceError."""
        connections = Connections(self._config)
        try:
            for attempt in range(1, self._config.attempts + 1):
                try:
                    return await self._attempt(connections)
                except Failure as failure:
                    if not failure.retry or attempt == self._config.attempts:
                        raise
                    await asyncio.sleep(self._wait(attempt, failure))
        finally:
            await connections.aclose()

    def _wait(self, attempt: int, failure: Failure) -> float:
        """Seconds until the next attempt: exponential backoff with full jitter, not before the server wants it."""
        c = self._config
        jitter = random.uniform(0, min(c.backoff_cap_s, c.backoff_base_s * 2.0 ** (attempt - 1)))
        return max(jitter, min(failure.retry_after or 0.0, c.retry_after_cap_s))

    async def _attempt(self, connections: Connections) -> None:
        headers: dict[str, str] = {}
        begun = None
        if self.known is not None:
            if self.known.etag:
                headers["If-None-Match"] = self.known.etag
            elif self.known.last_modified:
                headers["If-Modified-Since"] = self.known.last_modified
        elif (begun := _facts(self._part, self._url, whole=False)) is not None:
            headers |= {"Range": f"bytes={self._part.stat().st_size}-", "If-Range": begun.validator}
        answer = await request(connections, self._url, headers, self._config)
        try:
            if answer.status == 304 and self.known is not None:
                return
            if answer.status == 416:
                _remove(self._part)
                raise Failure("wrong-size", "the server has no more of it: it is fetched anew", retry=True)
            await self._receive(answer)
        finally:
            await answer.aclose()

    async def _receive(self, answer: Answer) -> None:
        """Write the answer's bytes to the part, and give it the final name once it is whole."""
        there = self._part.stat().st_size if answer.status == 206 else 0
        if answer.start != there:
            _remove(self._part)
            raise Failure("wrong-size", f"byte {there} was asked for, {answer.start} came", retry=True)
        if answer.total is not None and answer.total > MAX_BYTES:
            raise Failure("too-large", f"{answer.total:,} bytes, the limit is {MAX_BYTES:,}")
        headers = answer.headers
        facts = TableFacts(self._url, answer.total, headers.get("ETag", ""), headers.get("Last-Modified", ""))
        _remove(self._part, keep=there > 0)
        write_atomic(_beside(self._part), json.dumps(asdict(facts)).encode())
        size = there
        with writing(self._part):
            file = self._part.open("ab")
        try:
            async for chunk in answer.chunks():
                if size == 0 and chunk.lstrip()[:1] == b"<":
                    raise Failure("html-page", "the server sends a web page in place of the table")
                size += len(chunk)
                if size > MAX_BYTES:
                    raise Failure("too-large", f"more than the limit of {MAX_BYTES:,} bytes")
                with writing(self._part):
                    file.write(chunk)
                self._progress(size, answer.total)
        except Failure as failure:
            if failure.reason == "truncated":
                raise _cut(size, answer.total) from failure
            raise
        finally:
            with writing(self._part):
                file.close()
        if answer.total is not None and size != answer.total:
            if size > answer.total:
                _remove(self._part)
            raise _cut(size, answer.total)
        self._check_md5(answer)
        with writing(self.path):
            self._part.replace(self.path)
        # After the file: killed between the two, the sizes or the ETag tell that the facts are old.
        whole = TableFacts(self._url, size, facts.etag, facts.last_modified)
        write_atomic(_beside(self.path), json.dumps(asdict(whole), indent=2).encode())
        _remove(self._part)
        self.known = whole

    def _check_md5(self, answer: Answer) -> None:
        wanted = wanted_md5(DownloadItem("table", self._url, PurePosixPath("table.csv")), answer.headers)
        if not wanted:
            return
        with self._part.open("rb") as file:
            found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        for source, digest in wanted.items():
            if found != digest:
                _remove(self._part)
                raise Failure("wrong-md5", f"MD5 {found} is not the {digest} of {source}", retry=True)


def _cut(size: int, total: int | None) -> Failure:
    of = "" if total is None else f" of {total:,}"
    return Failure("truncated", f"the table ends early: {size:,}{of} bytes came", retry=True)


def _plain_name(url: str) -> str:
    name = PurePosixPath(url.partition("?")[0]).name
    return re.sub(r"[^A-Za-z0-9._-]", "_", name)[-100:].lstrip(".") or "table"


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _facts(path: Path, url: str, *, whole: bool) -> TableFacts | None:
    """What is known of a file of the cache, None where that does not fit the file, or a part cannot be gone on with."""
    try:
        size = path.stat().st_size
        data: Any = json.loads(_beside(path).read_text(encoding="utf-8"))
        facts = TableFacts(**data)
        usable = facts.url == url and (facts.size == size if whole else bool(facts.validator) and size > 0)
    except (OSError, ValueError, TypeError):  # not there, or not what this herder writes: it is fetched anew
        return None
    return facts if usable else None


def _remove(part: Path, *, keep: bool = False) -> None:
    """Take away a part and its facts; with ``keep`` the part stays."""
    with writing(part):
        _beside(part).unlink(missing_ok=True)
        if not keep:
            part.unlink(missing_ok=True)


def _run(work: Any) -> None:
    """Run a coroutine to its end, in a notebook too, whose own event loop is busy."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(work)
    else:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(asyncio.run, work).result()


@contextmanager
def _only_one(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold off other processes: an open transaction on a small file, which the system ends however the process does."""
    with writing(path):
        path.touch()
    lock = sqlite3.connect(path, isolation_level=None, timeout=0.2)
    told = False
    try:
        while True:
            try:
                lock.execute("BEGIN EXCLUSIVE")
                break
            except sqlite3.OperationalError as error:
                if "locked" not in str(error):
                    raise DataError(f"{path}: {error}", hint="remove this file") from None
                if not told:
                    waiting()
                told = True
                time.sleep(0.2)
        yield
    finally:
        lock.close()
