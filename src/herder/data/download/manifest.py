"""The manifest of a download: what is known of each item, in SQLite, so that a run can be killed at any moment.

Source: SQLite's write-ahead log, https://www.sqlite.org/wal.html. ``synchronous`` is NORMAL: after a kill nothing is
lost, since the log is in the system's cache; after a power cut the last moments may be, but the file stays sound, and
then those photos are fetched again. FULL would wait for the disk at each commit, which costs more than a second fetch.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from itertools import islice
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Self

from herder.data.download.items import DownloadItem
from herder.data.download.manifest_schema import COLUMNS, FACTS, INSERT, UPDATE, open_database, speaking
from herder.data.download.shards import Shard, slot_of
from herder.data.download.states import Outcome, Row, State
from herder.errors import DataError

PAGE = 500
"""Items that are read at a time: memory does not grow with their number."""


class Manifest:
    """The items of a download and their states, in the SQLite file at ``path``, which is made where there is none.

    Only one process may hold it open: a second one gets a ResourceError. Raises DataError for a file that is no
    manifest, that is broken, or that a newer herder wrote. Use it in a ``with`` block, or ``close`` it.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._database, self._lock = open_database(self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Write everything into the one file and let go of it; more than once does no harm."""
        self._database.close()
        self._lock.close()

    def add(self, items: Iterable[DownloadItem]) -> int:
        """Take up items that are not there yet, and return how many; what is known of the others stays.

        A new URL, licence and so on of a known item is noted. Raises DataError when two items have the same path (on
        disks that do not tell upper from lower case as well), or an item another path than before.
        """
        source, before = iter(items), self._count()
        while batch := list(islice(source, PAGE)):
            with self._transaction():
                for item in batch:
                    self._add(item)
        return self._count() - before

    def _add(self, item: DownloadItem) -> None:
        values = (item.key, slot_of(item.key), *_facts(item))
        try:
            changed = self._database.execute(INSERT, values).rowcount
        except sqlite3.IntegrityError:
            changed = 0
        if changed == 0:
            path = str(item.path)
            other = self._database.execute("SELECT key FROM items WHERE path = ?", (path,)).fetchone()
            known = self._database.execute("SELECT path FROM items WHERE key = ?", (item.key,)).fetchone()
            if known is not None and known[0] != path:
                raise DataError(
                    f"{self.path}: {item.key} goes to {known[0]} there, and now to {path}",
                    hint="choose a new folder for another layout",
                )
            raise DataError(
                f"{self.path}: {path} is the file of both {other[0]} and {item.key}",
                hint="give each photo a name of its own (case does not count)",
            )

    def pending(self, shard: Shard | None = None) -> Iterator[DownloadItem]:
        """The items that are to be fetched, in the order they came, page by page; items may be finished meanwhile."""
        for row in self.rows(State.PENDING, shard):
            yield row.item

    def rows(self, state: State | None = None, shard: Shard | None = None) -> Iterator[Row]:
        """The rows in this state (None: all), in the order they came, read page by page."""
        where, values = _where(state, shard)
        last = 0
        while True:
            query = f"SELECT rowid, {', '.join(COLUMNS)} FROM items WHERE rowid > ?{where} ORDER BY rowid LIMIT {PAGE}"
            with speaking(self.path):
                page = self._database.execute(query, (last, *values)).fetchall()
            if not page:
                return
            yield from (self._row(values) for _, *values in page)
            last = page[-1][0]

    def row(self, key: str) -> Row | None:
        """The row of one item, None where there is none."""
        with speaking(self.path):
            found = self._database.execute(f"SELECT {', '.join(COLUMNS)} FROM items WHERE key = ?", (key,)).fetchone()
        return None if found is None else self._row(found)

    def record(self, outcomes: Sequence[Outcome]) -> None:
        """Write what came of these items, all in one transaction."""
        now = time.time()
        with self._transaction():
            self._database.executemany(
                UPDATE,
                [self._new_values(o, now) for o in outcomes],
            )

    @staticmethod
    def _new_values(o: Outcome, now: float) -> tuple[str | int | float | None, ...]:
        ended = None if o.state is State.PENDING else now
        checks = (o.http_status, o.size, o.sha256, o.etag, o.md5_check)
        return (o.state, o.attempts, o.reason, o.last_error, *checks, ended, o.key)

    def finish(self, key: str, *, size: int, sha256: str, etag: str = "", http_status: int | None = 200) -> None:
        """Note that an item lies under its final name."""
        self.record([Outcome(key, State.DONE, 0, "", "", http_status, size, sha256, etag)])

    def fail(self, key: str, reason: str, error: str, *, http_status: int | None = None, gone: bool = False) -> None:
        """Note that an item could not be had."""
        self.record([Outcome(key, State.GONE if gone else State.FAILED, 0, reason, error, http_status)])

    def quarantine(self, key: str, reason: str, error: str = "") -> None:
        """Note that a check set the file of an item aside: it counts as fetched and is never fetched again."""
        with self._transaction():
            self._database.execute(
                "UPDATE items SET state = ?, reason = ?, last_error = ? WHERE key = ?",
                (State.QUARANTINED, reason, error, key),
            )

    def retry_failed(self, shard: Shard | None = None) -> int:
        """Make what failed pending again, and return how many; what is gone stays so."""
        where, values = _where(State.FAILED, shard)
        with self._transaction():
            query = f"UPDATE items SET state = ? WHERE rowid > 0{where}"
            return self._database.execute(query, (State.PENDING, *values)).rowcount

    def counts(self, shard: Shard | None = None) -> dict[State, int]:
        """How many items are in each state, states without any too."""
        where, values = _where(None, shard)
        with speaking(self.path):
            query = f"SELECT state, count(*) FROM items WHERE rowid > 0{where} GROUP BY state"
            found: Mapping[str, int] = dict(self._database.execute(query, values).fetchall())
        return {state: found.get(state, 0) for state in State}

    def reasons(self, shard: Shard | None = None) -> dict[str, int]:
        """How many items are gone, failed or quarantined for each reason, most first."""
        where, values = _where(None, shard)
        query = f"SELECT reason, count(*) AS n FROM items WHERE state NOT IN (?, ?){where} GROUP BY reason"
        with speaking(self.path):
            rows = self._database.execute(f"{query} ORDER BY n DESC, reason", (State.DONE, State.PENDING, *values))
            return dict(rows.fetchall())

    def total_bytes(self) -> int:
        """Bytes of all that is done."""
        with speaking(self.path):
            query = "SELECT coalesce(sum(size), 0) FROM items WHERE state = ?"
            return int(self._database.execute(query, (State.DONE,)).fetchone()[0])

    def merge(self, other: Manifest) -> int:
        """Take over what another manifest says of items it has finished or given up, and return how many.

        Items that are not here yet are taken up. What is done or quarantined here stays as it is.
        """
        taken = 0
        source = (row for row in other.rows() if row.state is not State.PENDING)
        while batch := list(islice(source, PAGE)):
            self.add(row.item for row in batch)
            settled = (State.DONE, State.QUARANTINED)
            kept = [row.outcome for row in batch if (mine := self.row(row.item.key)) and mine.state not in settled]
            self.record(kept)
            taken += len(kept)
        return taken

    def _count(self) -> int:
        with speaking(self.path):
            return int(self._database.execute("SELECT count(*) FROM items").fetchone()[0])

    def _row(self, values: Sequence[Any]) -> Row:
        named = dict(zip(COLUMNS, values, strict=True))
        try:
            item = DownloadItem(
                path=PurePosixPath(named["path"]),
                size=named["size_expected"],
                **{f.name: named[f.name] for f in fields(DownloadItem) if f.name not in ("path", "size")},
            )
            kept = {f.name: named[f.name] for f in fields(Outcome) if f.name != "state"}
            outcome = Outcome(state=State(named["state"]), **kept)
        except (ValueError, TypeError, DataError) as error:
            raise DataError(f"{self.path}: the row of {named['key']!r} makes no sense ({error})") from None
        return Row(item, outcome, named["finished_at"])

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with speaking(self.path):
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._database.execute("COMMIT")
            except BaseException:
                # A full disk may have ended the transaction already.
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise


def _facts(item: DownloadItem) -> tuple[str | int | None, ...]:
    """What an item brings with it, in the order of ``FACTS``."""
    return tuple(
        str(item.path) if name == "path" else getattr(item, "size" if name == "size_expected" else name)
        for name in FACTS
    )


def _where(state: State | None, shard: Shard | None) -> tuple[str, tuple[str | int, ...]]:
    """The end of a WHERE clause for rows of this state and shard, and its values."""
    values: list[str | int] = []
    text = ""
    if state is not None:
        text += " AND state = ?"
        values.append(state)
    if shard is not None:
        text += " AND slot % ? = ?"
        values += [shard.count, shard.index - 1]
    return text, tuple(values)
