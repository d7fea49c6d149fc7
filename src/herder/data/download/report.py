"""What came of a download: totals, reasons, and how fast it went."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from herder.data.download.states import State

BATCH_ITEMS = 500
"""Items of one row of throughput."""


@dataclass(frozen=True)
class Batch:
    """Throughput of some hundred items that ended one after the other."""

    number: int
    """From 1."""
    items: int
    done: int
    bytes: int
    seconds: float

    @property
    def items_per_second(self) -> float:
        """Items that ended, whatever their end, a second."""
        return self.items / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True)
class DownloadReport:
    """What came of one run, and the states of all its items at its end."""

    totals: dict[State, int]
    """Items of this shard in each state, those of earlier runs among them."""
    failures: dict[str, int]
    """How many items are gone, failed or quarantined for each reason, over all runs."""
    fetched: int = 0
    """Photos that arrived in this run."""
    bytes: int = 0
    """Their bytes."""
    seconds: float = 0.0
    requests: int = 0
    """Attempts of this run, retries among them; a redirect is part of its attempt."""
    retries: int = 0
    recovered: int = 0
    """Photos of an earlier run that was killed, whole on disk, that only had to be renamed."""
    lost: int = 0
    """Photos of earlier runs that were no longer on disk, and were to be fetched again."""
    stopped: bool = False
    """Whether somebody asked the run to stop before its end."""
    batches: tuple[Batch, ...] = ()

    @property
    def items(self) -> int:
        """All items."""
        return sum(self.totals.values())

    @property
    def complete(self) -> bool:
        """Whether every item arrived."""
        return self.totals[State.DONE] == self.items

    @property
    def items_per_second(self) -> float:
        """Photos that arrived a second."""
        return self.fetched / self.seconds if self.seconds > 0 else 0.0

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON holds it."""
        totals = {str(state): count for state, count in self.totals.items()}
        rows = [{**asdict(batch), "items_per_second": batch.items_per_second} for batch in self.batches]
        return {**asdict(self), "totals": totals, "batches": rows, "items_per_second": self.items_per_second}


@dataclass(frozen=True)
class DownloadProgress:
    """How far a run is."""

    total: int
    """Items to be fetched in this run."""
    ended: int
    """Items that arrived or were given up."""
    failed: int
    bytes: int
    seconds: float


@dataclass
class Tally:
    """Counts of a run as it goes."""

    fetched: int = 0
    failed: int = 0
    bytes: int = 0
    requests: int = 0
    retries: int = 0
    batches: list[Batch] = field(default_factory=list)
    _open: Counter[str] = field(default_factory=Counter)
    _since: float = 0.0

    def begin(self, now: float) -> None:
        """Start the clock of the first batch; seconds."""
        self._since = now

    def end_item(self, size: int | None, now: float) -> None:
        """Count an item that arrived with ``size`` bytes, or was given up (None)."""
        self._open["items"] += 1
        if size is None:
            self.failed += 1
        else:
            self.fetched += 1
            self.bytes += size
            self._open["done"] += 1
            self._open["bytes"] += size
        if self._open["items"] >= BATCH_ITEMS:
            self.close_batch(now)

    def close_batch(self, now: float) -> None:
        """End the batch that is open, where it holds anything."""
        if self._open["items"]:
            counts = self._open
            row = Batch(len(self.batches) + 1, counts["items"], counts["done"], counts["bytes"], now - self._since)
            self.batches.append(row)
            self._open, self._since = Counter(), now
