"""The shards of a download on the machines of a Ray cluster; https://docs.ray.io/en/latest/ray-core/walkthrough.html.

Ray decides where each shard runs; a shard is the same ``download`` as on one machine. All machines must see the folder
``root`` under the same path (a shared disk). Each shard has a manifest of its own beside the main one, so that no two
processes write to the same file; they are merged at the end, and at the beginning where a run before was killed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from herder.data.download.downloader import download
from herder.data.download.items import DownloadItem
from herder.data.download.landing import Landing
from herder.data.download.manifest import Manifest
from herder.data.download.report import Batch, DownloadProgress, DownloadReport
from herder.data.download.settings import DownloadConfig
from herder.data.download.shards import Shard
from herder.data.download.states import State
from herder.errors import ConfigError, DataError, MissingExtraError, ResourceError

POLL_S = 0.5
"""How often progress is gathered and shown."""


def download_on_ray(
    items: Iterable[DownloadItem],
    root: Path,
    config: DownloadConfig | None = None,
    *,
    manifest: Manifest,
    shards: int,
    address: str | None = None,
    progress: Callable[[DownloadProgress], None] | None = None,
) -> DownloadReport:
    """Fetch ``items`` into ``root`` in ``shards`` shares on a Ray cluster, and return what came of all of them.

    ``address`` is the cluster's, None that of the environment (RAY_ADDRESS) or else Ray on this machine alone. The
    settings' ``rate`` is that of all shards together, ``concurrency`` that of each. A shard whose machine is lost is
    started again by Ray and goes on. Ctrl-C stops the shards; what arrived is kept.

    Raises MissingExtraError without Ray, ResourceError where the cluster cannot be reached or a shard breaks off (a
    full disk), ConfigError for fewer than one shard, DataError where two items have the same path.
    """
    if shards < 1:
        raise ConfigError(f"shards = {shards}: must be 1 or more", hint="give one share at least")
    ray = _start_ray(address)
    config = config or DownloadConfig()
    each = replace(config, rate=None if config.rate is None else config.rate / shards)
    _merge_left_over(manifest)
    Landing(root, manifest).recover(None)
    manifest.add(items)
    manifest.retry_failed()
    total, started = manifest.counts()[State.PENDING], time.monotonic()
    work = [Shard(i, shards) for i in range(1, shards + 1)]
    for shard in work:
        with Manifest(_path_of(manifest, shard)) as own:
            # What an earlier run of other shares left is found on disk or fetched by this one.
            own.add(manifest.pending(shard))
    board = ray.remote(_Board).remote()
    task = ray.remote(_run_shard).options(num_cpus=1, max_retries=3)
    running: dict[Any, Shard] = {}
    for shard in work:
        own_path = str(_path_of(manifest, shard).resolve())
        running[task.remote(str(root.resolve()), asdict(each), own_path, str(shard), board)] = shard
    reports: list[DownloadReport] = []
    try:
        while running:
            ended, _ = ray.wait(list(running), timeout=POLL_S)
            for one in ended:
                shard = running.pop(one)
                reports.append(_result(ray, one, shard))
            if progress is not None:
                progress(_sum(total, ray.get(board.seen.remote()), time.monotonic() - started))
    finally:
        for one in running:
            ray.cancel(one)
        if running:
            ray.wait(list(running), num_returns=len(running), timeout=30)
        _merge_left_over(manifest)
    return _together(reports, manifest, time.monotonic() - started)


def _start_ray(address: str | None) -> ModuleType:
    try:
        # Before the import: Ray would tell its makers that it is used.
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        import ray
    except ModuleNotFoundError:
        raise MissingExtraError("downloading on a Ray cluster", "cluster") from None
    if not ray.is_initialized():
        where = address or os.environ.get("RAY_ADDRESS")
        try:
            ray.init(address=where, include_dashboard=None if where else False, log_to_driver=False)
        except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
            raise ResourceError(f"Ray at {where or 'this machine'}: {error}", hint="check --ray-address") from error
    found: ModuleType = ray
    return found


class _Board:
    """Where the shards write how far they are: an actor, one for all."""

    def __init__(self) -> None:
        self._seen: dict[str, DownloadProgress] = {}

    def report(self, shard: str, progress: DownloadProgress) -> None:
        self._seen[shard] = progress

    def seen(self) -> list[DownloadProgress]:
        return list(self._seen.values())


def _run_shard(
    root: str, settings: dict[str, Any], manifest: str, shard: str, board: Any
) -> DownloadReport | Exception:
    """One share, on some machine of the cluster; an error of ours comes back as a value, and so as it is."""
    told = 0.0

    def tell(progress: DownloadProgress) -> None:
        nonlocal told
        if time.monotonic() - told >= POLL_S or progress.ended == progress.total:
            told = time.monotonic()
            board.report.remote(shard, progress)

    try:
        with Manifest(Path(manifest)) as own:
            return download((), Path(root), DownloadConfig(**settings), manifest=own, progress=tell)
    except (ResourceError, DataError) as error:
        return type(error)(error.message, hint=error.hint)


def _result(ray: ModuleType, task: Any, shard: Shard) -> DownloadReport:
    try:
        found = ray.get(task)
    except ray.exceptions.RayError as error:
        hint = "see what Ray says of its machines, then run the same again: it goes on"
        raise ResourceError(f"shard {shard}: {str(error).strip().splitlines()[0]}", hint=hint) from error
    if isinstance(found, ResourceError | DataError):
        raise type(found)(f"shard {shard}: {found.message}", hint=found.hint)
    assert isinstance(found, DownloadReport)
    return found


def _path_of(manifest: Manifest, shard: Shard) -> Path:
    return manifest.path.with_name(f"{manifest.path.name}.shard-{shard.index}-of-{shard.count}")


def _merge_left_over(manifest: Manifest) -> None:
    """Take over what the shards' manifests say, and remove them."""
    for path in sorted(manifest.path.parent.glob(f"{manifest.path.name}.shard-*-of-*")):
        if path.name.endswith((".lock", "-wal", "-shm", "-journal")):
            continue
        with Manifest(path) as own:
            manifest.merge(own)
        for ending in ("", ".lock", "-wal", "-shm"):
            path.with_name(path.name + ending).unlink(missing_ok=True)


def _sum(total: int, seen: list[DownloadProgress], seconds: float) -> DownloadProgress:
    return DownloadProgress(
        total, sum(p.ended for p in seen), sum(p.failed for p in seen), sum(p.bytes for p in seen), seconds
    )


def _together(reports: list[DownloadReport], manifest: Manifest, seconds: float) -> DownloadReport:
    """One report of all shards; their batches keep their times, which lay side by side."""
    batches = (batch for report in reports for batch in report.batches)
    return DownloadReport(
        totals=manifest.counts(),
        failures=manifest.reasons(),
        fetched=sum(r.fetched for r in reports),
        bytes=sum(r.bytes for r in reports),
        seconds=seconds,
        requests=sum(r.requests for r in reports),
        retries=sum(r.retries for r in reports),
        recovered=sum(r.recovered for r in reports),
        lost=sum(r.lost for r in reports),
        stopped=any(r.stopped for r in reports),
        batches=tuple(Batch(i, b.items, b.done, b.bytes, b.seconds) for i, b in enumerate(batches, 1)),
    )
