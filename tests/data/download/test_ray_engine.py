"""Shards on a Ray cluster of this one machine."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.data.download.conftest import PHOTO, QUICK, Asked, Server

from herder.data.download import DownloadConfig, DownloadItem, DownloadProgress, Manifest, State
from herder.data.download.ray_engine import download_on_ray
from herder.errors import ConfigError, MissingExtraError


@pytest.fixture
def cluster() -> Iterator[None]:
    ray = pytest.importorskip("ray")
    yield
    ray.shutdown()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.usefixtures("cluster")
def test_shards_arrive_and_are_merged(server: Server, item: Callable[..., DownloadItem], tmp_path: Path) -> None:
    async def answer(asked: Asked) -> None:
        await asked.send(404 if asked.path == "7.jpg" else 503 if asked.number == 1 and asked.path[0] == "1" else 200)

    server.answer = answer
    items = [item(f"{n}.jpg") for n in range(40)]
    seen: list[DownloadProgress] = []
    with Manifest(tmp_path / "manifest.sqlite") as manifest:
        report = download_on_ray(
            items, tmp_path / "out", DownloadConfig(**QUICK), manifest=manifest, shards=3, progress=seen.append
        )
        assert (report.fetched, report.failures) == (39, {"not-found": 1})
        assert manifest.counts()[State.DONE] == 39
        again = download_on_ray(items, tmp_path / "out", DownloadConfig(**QUICK), manifest=manifest, shards=2)
        assert (again.fetched, again.totals) == (0, report.totals)
    assert server.counts()["7.jpg"] == 1
    assert sum(server.counts().values()) == 40 + 11
    assert all((tmp_path / f"out/train/{n}.jpg").read_bytes() == PHOTO for n in range(40) if n != 7)
    assert seen[-1].total == 40
    assert [path.name for path in tmp_path.iterdir() if "shard" in path.name] == []


def test_no_shards_is_a_mistake(tmp_path: Path) -> None:
    with Manifest(tmp_path / "m.sqlite") as manifest, pytest.raises(ConfigError, match="shards = 0"):
        download_on_ray([], tmp_path, manifest=manifest, shards=0)


def test_without_ray_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with Manifest(tmp_path / "m.sqlite") as manifest, pytest.raises(MissingExtraError, match="Ray"):
        download_on_ray([], tmp_path, manifest=manifest, shards=1)
