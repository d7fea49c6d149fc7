"""A server on the loopback that does whatever a bad server does, and keeps a log of what it was asked."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path, PurePosixPath

import pytest

from herder.data.download import DownloadConfig, DownloadItem, DownloadReport, Manifest, Row, download

PHOTO = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 8
"""The beginning of a JPEG, and 2 KiB."""

Answer = Callable[["Asked"], Awaitable[None]]


class Asked:
    """One request: its path, its number among those for this path (from 1), and the way back."""

    def __init__(self, path: str, number: int, writer: asyncio.StreamWriter) -> None:
        self.path = path
        self.number = number
        self.writer = writer

    async def send(self, status: int = 200, body: bytes = PHOTO, length: int | None = None, **headers: str) -> None:
        """Answer; ``length`` is what Content-Length claims where that is a lie, -1 leaves it out."""
        lines = [f"HTTP/1.1 {status} Because"]
        if length != -1:
            lines.append(f"Content-Length: {len(body) if length is None else length}")
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        await self.writer.drain()

    def hang_up(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        """Break the connection off with RST."""
        self.writer.transport.abort()


class Server:
    """HTTP/1.1 with keep-alive in a thread of its own; ``answer`` may be changed at any time."""

    def __init__(self) -> None:
        self.answer: Answer = lambda asked: asked.send()
        self.log: list[str] = []
        self.connections = 0
        self.most_at_once = 0
        self._busy = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run)
        self._ready = threading.Event()

    def start(self) -> None:
        self._thread.start()
        self._ready.wait(10)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}/{path}"

    def counts(self) -> Counter[str]:
        return Counter(self.log)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        # All of 127.0.0.0/8 leads here, so that there are several hosts.
        server = await asyncio.start_server(self._connection, "0.0.0.0", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                path = head.split(b" ")[1].decode()[1:]
                self.log.append(path)
                self._busy += 1
                self.most_at_once = max(self.most_at_once, self._busy)
                try:
                    await self.answer(Asked(path, self.log.count(path), writer))
                finally:
                    self._busy -= 1
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    server.start()
    yield server
    server.close()


@pytest.fixture
def item(server: Server) -> Callable[..., DownloadItem]:
    """An item of the server by its name."""

    def make(name: str = "a.jpg", **facts: object) -> DownloadItem:
        facts = {"url": server.url(name), "path": PurePosixPath("train", name), **facts}
        return DownloadItem(key=name, **facts)

    return make


QUICK = {"allow_private": True, "backoff_base_s": 0.01, "read_timeout_s": 2.0, "breaker_seconds": 0.2, "concurrency": 4}


@pytest.fixture
def fetch(tmp_path: Path) -> Callable[..., DownloadReport]:
    """Download into ``tmp_path / "out"`` with short waits; the manifest lies in ``tmp_path``."""

    def run(*items: DownloadItem, manifest: Manifest | None = None, **settings: object) -> DownloadReport:
        config = DownloadConfig(**{**QUICK, **settings})
        if manifest is not None:
            return download(items, tmp_path / "out", config, manifest=manifest)
        with Manifest(tmp_path / "manifest.sqlite") as own:
            return download(items, tmp_path / "out", config, manifest=own)

    return run


def row_of(folder: Path, key: str = "a.jpg") -> Row:
    with Manifest(folder / "manifest.sqlite") as manifest:
        row = manifest.row(key)
    assert row is not None
    return row


def leftovers(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.part"))
