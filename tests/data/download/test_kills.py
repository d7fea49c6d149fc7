"""Ctrl-C, kill -9, and what is left after them."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.data.download.conftest import PHOTO, Asked, Server

from herder.data.download import Manifest, Row, State

SCRIPT = """
import signal, sys
from pathlib import Path, PurePosixPath
# Where the tests run in the background, a shell lets its children ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
from herder.data.download import DownloadConfig, DownloadItem, Manifest, download
base, root, count = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
items = (DownloadItem(f"{n}", f"{base}{n}", PurePosixPath(f"train/{n}.jpg"), author=f"{n}") for n in range(count))
config = DownloadConfig(allow_private=True, concurrency=16, backoff_base_s=0.02, breaker_failures=1000)
with Manifest(root / "manifest.sqlite") as manifest:
    print("ready", flush=True)
    report = download(items, root, config, manifest=manifest)
print(report.complete)
"""


def start(server: Server, root: Path, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT, server.url(""), str(root), str(count)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


def body(path: str) -> bytes:
    return PHOTO * (1 + int(path) % 40) + path.encode()


async def faulty(asked: Asked) -> None:
    """3 % errors, 1 % resets, 0.5 % truncated, at the first request of a photo; 1 % are gone. 10 ms away."""
    await asyncio.sleep(0.01)
    chance = random.Random(asked.path).random()
    if chance > 0.99:
        await asked.send(404, b"")
    elif asked.number > 1 or chance > 0.045:
        await asked.send(body=body(asked.path), ETag=f'"{asked.path}"')
    elif chance < 0.03:
        await asked.send(503, b"later")
    elif chance < 0.04:
        asked.reset()
    else:
        await asked.send(body=body(asked.path)[:100], length=len(body(asked.path)))
        asked.hang_up()


def settled(root: Path) -> list[tuple[object, ...]]:
    """What the manifest says, without attempts and times, which a kill may change."""

    def facts(row: Row) -> tuple[object, ...]:
        o = row.outcome
        return (row.item, o.state, o.reason, o.last_error, o.http_status, o.size, o.sha256, o.etag, o.md5_check)

    with Manifest(root / "manifest.sqlite") as manifest:
        return [facts(row) for row in manifest.rows()]


def wait_for(condition: Callable[[], bool], child: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert child.poll() is None, child.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.slow
def test_three_kills_change_nothing_in_the_end(server: Server, tmp_path: Path) -> None:
    count = 3000
    server.answer = faulty
    root = tmp_path / "killed"
    finished: set[str] = set()
    seen = 0
    for kill in (1, 2, 3):
        child = start(server, root, count)
        wait_for(lambda goal=kill * count // 4: len(set(server.log)) >= goal, child)
        child.kill()
        child.communicate()
        # Nothing that was finished at the last kill was asked for since.
        assert not finished & set(server.log[seen:])
        seen = len(server.log)
        photos = list((root / "train").glob("*.jpg"))
        finished = {photo.stem for photo in photos}
        assert all(photo.read_bytes() == body(photo.stem) for photo in photos), "a final name holds the whole photo"
        assert len(finished) >= kill * count // 4 - 100
    child = start(server, root, count)
    said, complaints = child.communicate(timeout=120)
    assert (child.returncode, complaints) == (0, "")
    assert said == "False\n", "some are gone"
    assert not finished & set(server.log[seen:])
    killed_log = server.counts()

    server.log.clear()
    undisturbed = tmp_path / "undisturbed"
    child = start(server, undisturbed, count)
    child.communicate(timeout=120)
    assert settled(root) == settled(undisturbed)
    assert {p.name for p in (root / "train").iterdir()} == {p.name for p in (undisturbed / "train").iterdir()}
    # Beyond the retries, at most what was under way at the three kills was asked for twice.
    assert 0 <= sum(killed_log.values()) - sum(server.counts().values()) <= 3 * (16 + 40)


def test_ctrl_c_keeps_what_arrived_and_leaves_no_parts(server: Server, tmp_path: Path) -> None:
    async def answer(asked: Asked) -> None:
        if len(server.log) > 40:
            await asked.send(body=PHOTO[:100], length=len(PHOTO))
            await asyncio.sleep(60)
        await asked.send()

    server.answer = answer
    child = start(server, tmp_path, 200)
    # The server may have sent a photo that the child has not written yet: what is on disk counts.
    wait_for(lambda: len(server.log) > 50 and len(list((tmp_path / "train").glob("*.jpg"))) == 40, child)
    child.send_signal(signal.SIGINT)
    _, complaints = child.communicate(timeout=20)
    assert complaints.strip().endswith("KeyboardInterrupt")
    photos = {photo.stem for photo in (tmp_path / "train").iterdir()}
    with Manifest(tmp_path / "manifest.sqlite") as manifest:
        assert {row.item.key for row in manifest.rows(State.DONE)} == photos
        assert manifest.counts()[State.PENDING] == 200 - len(photos)
    assert len(photos) == 40
