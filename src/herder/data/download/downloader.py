"""Downloading many photos: bounded transfers, retries, a rate limit, and a manifest that survives anything."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

import httpx
import stamina
from aiolimiter import AsyncLimiter

from herder.data.download.addresses import checked_url
from herder.data.download.connections import Connections
from herder.data.download.failures import Failure
from herder.data.download.host_gate import HostGate, HostGates
from herder.data.download.items import DownloadItem
from herder.data.download.landing import Landing
from herder.data.download.manifest import Manifest
from herder.data.download.report import DownloadProgress, DownloadReport, Tally
from herder.data.download.retries import backoff, quiet_retries
from herder.data.download.settings import DownloadConfig
from herder.data.download.shards import Shard
from herder.data.download.states import Outcome, State
from herder.data.download.transfer import Arrival, fetch
from herder.errors import HerderError, ResourceError

WAITING = 3
"""Workers for each transfer: those that wait for a retry hold no connection, and others go on meanwhile."""

COMMIT_S = 0.01
"""What ends within so many seconds is written to the manifest together."""

TICK_S = 0.1
"""How often progress is shown and a wish to stop is noticed."""


def download(
    items: Iterable[DownloadItem],
    root: Path,
    config: DownloadConfig | None = None,
    *,
    manifest: Manifest,
    shard: Shard | None = None,
    progress: Callable[[DownloadProgress], None] | None = None,
    stop: threading.Event | None = None,
) -> DownloadReport:
    """Fetch ``items`` into the folder ``root`` and return what came of them; one that fails stops no other.

    Items that ``manifest`` knows as done, gone or quarantined are not asked for again; what failed in an earlier run is
    tried again, and so is a photo that is no longer on disk. With a ``shard`` only its share of the items is taken up.
    ``progress`` is called about ten times a second. Once ``stop`` is set, or on Ctrl-C (which is then raised as
    KeyboardInterrupt), transfers are broken off, what arrived is kept, and the same call goes on later.

    Raises ResourceError when the disk is full or not to be written to, which says how much is missing; DataError when
    two items have the same path.
    """
    run = _Run(root, config or DownloadConfig(), manifest, shard, progress, stop)
    manifest.add(item for item in items if shard is None or shard.owns(item.key))
    manifest.retry_failed(shard)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(run.run())
    else:
        # In a notebook, whose event loop is busy with the cell that called.
        _in_thread(run)
    return run.report()


def _in_thread(run: _Run) -> None:
    raised: list[BaseException] = []

    def work() -> None:
        try:
            asyncio.run(run.run())
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=work, name="herder-download")
    thread.start()
    try:
        thread.join()
    except BaseException:
        run.stop.set()
        thread.join()
        raise
    if raised:
        raise raised[0]


class _Run:
    """One run of ``download``."""

    def __init__(
        self,
        root: Path,
        config: DownloadConfig,
        manifest: Manifest,
        shard: Shard | None,
        progress: Callable[[DownloadProgress], None] | None,
        stop: threading.Event | None,
    ) -> None:
        self.stop = stop or threading.Event()
        self._config = config
        self._root = root
        self._manifest = manifest
        self._shard = shard
        self._progress = progress
        self._landing = Landing(root, manifest)
        self._tally = Tally()
        self._ended: deque[tuple[DownloadItem, Outcome]] = deque()
        self._commit: asyncio.TimerHandle | None = None
        self._broken: BaseException | None = None
        self._total = self._recovered = self._lost = 0
        self._started = time.monotonic()
        self._seconds = 0.0
        self._stopped = False

    async def run(self) -> None:
        """Fetch everything that is pending."""
        self._started = time.monotonic()
        self._tally.begin(self._started)
        self._recovered, self._lost = self._landing.recover(self._shard)
        self._total = self._manifest.counts(self._shard)[State.PENDING]
        self._pending = self._manifest.pending(self._shard)
        config = self._config
        self._gates = HostGates(config)
        self._slots = asyncio.Semaphore(config.concurrency)
        self._limiter = None
        if config.rate is not None:
            # A tenth of a second's requests may come at once, so that timers need not be exact.
            burst = max(1.0, config.rate / 10)
            self._limiter = AsyncLimiter(burst, burst / config.rate)
        self._connections = Connections(config)
        workers = {asyncio.create_task(self._work()) for _ in range(min(config.concurrency * WAITING, self._total))}
        try:
            with quiet_retries():
                await self._watch(workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            await self._connections.aclose()
            if self._commit is not None:
                self._commit.cancel()
            # What arrived is kept, even where something else broke the run off.
            self._land_timely()
            self._tally.close_batch(time.monotonic())
            self._seconds = time.monotonic() - self._started
        if self._broken is not None:
            raise self._with_missing(self._broken)
        self._show()

    async def _watch(self, workers: set[asyncio.Task[None]]) -> None:
        """Wait for the workers; break off when one breaks, the disk says no, or somebody wants to stop."""
        running = workers
        while running:
            ended, running = await asyncio.wait(running, timeout=TICK_S, return_when=asyncio.FIRST_EXCEPTION)
            for worker in ended:
                if (error := worker.exception()) is not None:
                    self._broken = self._broken or error
            self._show()
            if self._broken is not None:
                return
            if running and self.stop.is_set():
                self._stopped = True
                return

    async def _work(self) -> None:
        """Take one pending item after the other until there is none."""
        for item in self._pending:
            outcome = await self._outcome(item)
            self._ended.append((item, outcome))
            if self._commit is None:
                self._commit = asyncio.get_running_loop().call_later(COMMIT_S, self._land_timely)

    async def _outcome(self, item: DownloadItem) -> Outcome:
        """Try an item as often as the settings allow, and say what came of it."""
        tried = 0
        try:
            url = checked_url(item.url, self._config)
            gate = await self._gates.gate(f"{url.host}:{url.port or url.scheme}")
            retrying = stamina.retry_context(on=self._wait_after, attempts=self._config.attempts, timeout=None)
            async for attempt in retrying:
                with attempt:
                    tried = attempt.num
                    arrival = await self._attempt(item, url, gate, tried)
        except Failure as failure:
            state = State.GONE if failure.gone else State.FAILED
            return Outcome(item.key, state, tried, failure.reason, failure.message, failure.status)
        return Outcome(
            item.key,
            State.DONE,
            tried,
            http_status=arrival.status,
            size=arrival.size,
            sha256=arrival.sha256,
            etag=arrival.etag,
            md5_check=arrival.md5_check,
        )

    async def _attempt(self, item: DownloadItem, url: httpx.URL, gate: HostGate, number: int) -> Arrival:
        """One attempt, as soon as the host and the limits let it go."""
        _, part = self._landing.prepare(item)
        while True:
            if (wait := gate.delay()) > 0:
                await asyncio.sleep(wait)
                continue
            async with self._slots:
                if self._limiter is not None:
                    await self._limiter.acquire()
                # Meanwhile the host may have gone down, or asked for a pause.
                if gate.delay() > 0:
                    continue
                self._tally.requests += 1
                self._tally.retries += number > 1
                try:
                    async with gate:
                        return await fetch(self._connections, item, url, part, self._config)
                except Failure as failure:
                    failure.attempt = number
                    if failure.reason == "throttled" and failure.retry_after:
                        gate.pause(min(failure.retry_after, self._config.retry_after_cap_s))
                    raise

    def _wait_after(self, error: Exception) -> bool | float:
        return backoff(error, self._config)

    def _land_timely(self) -> None:
        self._commit = None
        try:
            self._land()
        except HerderError as error:
            # The first error is the cause, and is raised once all workers have ended.
            self._broken = self._broken or error

    def _land(self) -> None:
        """Write what ended to the manifest, and give photos their names."""
        ended = list(self._ended)
        self._ended.clear()
        now = time.monotonic()
        for outcome in self._landing.land(ended):
            self._tally.end_item(outcome.size if outcome.state is State.DONE else None, now)

    def _show(self) -> None:
        if self._progress is not None:
            t = self._tally
            ended, seconds = t.fetched + t.failed, time.monotonic() - self._started
            self._progress(DownloadProgress(self._total, ended, t.failed, t.bytes, seconds))

    def _with_missing(self, error: BaseException) -> BaseException:
        """The error, with how much is missing where the disk is to blame."""
        if not isinstance(error, ResourceError):
            return error
        t = self._tally
        left = self._total - t.fetched - t.failed
        about = f", about {left * t.bytes / t.fetched / 1e6:,.1f} MB" if t.fetched else ""
        return ResourceError(
            f"{error.message}; {left:,} of {self._total:,} items are missing{about}",
            hint=f"{error.hint}; then run the same again: it goes on where it stopped",
        )

    def report(self) -> DownloadReport:
        """What came of the run."""
        t = self._tally
        return DownloadReport(
            totals=self._manifest.counts(self._shard),
            failures=self._manifest.reasons(self._shard),
            fetched=t.fetched,
            bytes=t.bytes,
            seconds=self._seconds,
            requests=t.requests,
            retries=t.retries,
            recovered=self._recovered,
            lost=self._lost,
            stopped=self._stopped,
            batches=tuple(t.batches),
        )
