"""What becomes of an item, as the manifest keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from herder.data.download.items import DownloadItem


class State(StrEnum):
    """What has become of an item."""

    PENDING = "pending"
    """To be fetched."""
    DONE = "done"
    """On disk under its final name, whole."""
    GONE = "gone"
    """The server says that it does not exist (404 or 410): never asked for again."""
    FAILED = "failed"
    """Given up in this run; the next run tries again."""
    QUARANTINED = "quarantined"
    """Fetched, but set aside by a check; never fetched again."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an item: the new values of its row."""

    key: str
    state: State
    attempts: int = 0
    """Attempts of this run; the manifest adds them up over all runs."""
    reason: str = ""
    """A short fixed key, such as ``html-page``, to count failures by."""
    last_error: str = ""
    """What went wrong, in a sentence."""
    http_status: int | None = None
    size: int | None = None
    """Bytes on disk."""
    sha256: str = ""
    """In hex."""
    etag: str = ""
    """As the server gave it, with its quotes."""
    md5_check: str = ""
    """What the MD5 was compared with and agreed to: ``given``, ``content-md5``, ``etag``, or "" for nothing."""


@dataclass(frozen=True, slots=True)
class Row:
    """An item of the manifest with all that is known of it."""

    item: DownloadItem
    outcome: Outcome
    finished_at: float | None
    """Seconds since 1970, None while pending."""

    @property
    def state(self) -> State:
        """What has become of the item."""
        return self.outcome.state
