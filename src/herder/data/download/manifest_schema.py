"""The SQLite file of a manifest: its table, how it is opened, and what SQLite's complaints mean."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from herder.errors import DataError, HerderError, ResourceError
from herder.files import writing

VERSION = 1
"""Version of the table, kept in the file's ``user_version``; a change of the table raises it."""

APPLICATION_ID = 0x68657264
"""What the file's header says it is: "herd"."""

FACTS = ("url", "path", "split", "size_expected", "md5", "licence", "author", "page", "title")
"""What an item brings with it."""

OUTCOME = ("attempts", "reason", "last_error", "http_status", "size", "sha256", "etag", "md5_check")
"""What came of it."""

COLUMNS = ("key", *FACTS, "state", *OUTCOME, "finished_at")

# NOCASE, so that a.jpg and A.jpg, one file on many disks, are told apart nowhere.
_TABLE = """
CREATE TABLE items (
    key TEXT PRIMARY KEY NOT NULL,
    slot INTEGER NOT NULL,
    url TEXT NOT NULL,
    path TEXT NOT NULL UNIQUE COLLATE NOCASE,
    split TEXT NOT NULL,
    size_expected INTEGER,
    md5 TEXT,
    licence TEXT NOT NULL,
    author TEXT NOT NULL,
    page TEXT NOT NULL,
    title TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'pending'
        CHECK (state IN ('pending', 'done', 'gone', 'failed', 'quarantined')),
    attempts INTEGER NOT NULL DEFAULT 0,
    reason TEXT NOT NULL DEFAULT '',
    last_error TEXT NOT NULL DEFAULT '',
    http_status INTEGER,
    size INTEGER,
    sha256 TEXT NOT NULL DEFAULT '',
    etag TEXT NOT NULL DEFAULT '',
    md5_check TEXT NOT NULL DEFAULT '',
    finished_at REAL
)
"""

INSERT = f"""
INSERT INTO items (key, slot, {", ".join(FACTS)}) VALUES ({", ".join("?" * (2 + len(FACTS)))})
ON CONFLICT (key) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in FACTS if name != "path")}
WHERE path = excluded.path
"""

UPDATE = """
UPDATE items SET state = ?, attempts = attempts + ?, reason = ?, last_error = ?, http_status = ?, size = ?, sha256 = ?,
etag = ?, md5_check = ?, finished_at = ? WHERE key = ?
"""

WAL_PAGES = 4000
"""Pages of 4 KiB after which the log is written back, which waits for the disk: every 16 MiB."""


def open_database(path: Path) -> tuple[sqlite3.Connection, sqlite3.Connection]:
    """The manifest at ``path``, made where there is none, and the lock that holds off other processes.

    The lock is an open transaction on a small file beside it: the system lets go of it however the process ends.
    Raises ResourceError while another process has it, DataError for a file that is no manifest, broken or too new.
    """
    if path.is_dir():
        raise DataError(f"{path}: is a folder, wanted the file of a manifest", hint="give a file name")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    lock = _take_lock(path.with_name(f"{path.name}.lock"), path)
    try:
        with speaking(path):
            # The event loop's thread is not always the one that opened the manifest; never two at a time use it.
            database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            try:
                _prepare(database, path)
            except BaseException:
                database.close()
                raise
    except BaseException:
        lock.close()
        raise
    return database, lock


def _take_lock(path: Path, manifest: Path) -> sqlite3.Connection:
    lock = sqlite3.connect(path, isolation_level=None, timeout=0.2, check_same_thread=False)
    try:
        with speaking(path):
            lock.execute("BEGIN EXCLUSIVE")
    except HerderError as error:
        lock.close()
        if isinstance(error.__cause__, sqlite3.OperationalError) and "locked" in str(error.__cause__):
            raise ResourceError(
                f"{manifest}: another herder is at work with it", hint="wait for it to end, or give another folder"
            ) from None
        raise
    return lock


def _prepare(database: sqlite3.Connection, path: Path) -> None:
    """Bring the file to the present version of the table."""
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
    database.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")
    version = database.execute("PRAGMA user_version").fetchone()[0]
    made_by = database.execute("PRAGMA application_id").fetchone()[0]
    empty = database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
    if empty and version == 0:
        database.execute("BEGIN IMMEDIATE")
        database.execute(_TABLE)
        database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        database.execute(f"PRAGMA user_version = {VERSION}")
        database.execute("COMMIT")
        return
    if made_by != APPLICATION_ID:
        raise DataError(f"{path}: is a SQLite file, but no manifest of herder", hint="give another file name")
    if version != VERSION:
        kind = "newer" if version > VERSION else "older"
        raise DataError(
            f"{path}: is of a {kind} herder (manifest version {version}, this one reads {VERSION})",
            hint="install that herder, or download into a new folder",
        )
    names = {row[1] for row in database.execute("PRAGMA table_info(items)")}
    if missing := set(COLUMNS) - names:
        raise DataError(f"{path}: has no column {min(missing)}", hint="restore the file, or download into a new folder")


@contextmanager
def speaking(path: Path) -> Iterator[None]:
    """Turn SQLite's complaints about ``path`` into a DataError or ResourceError that says what to do."""
    try:
        yield
    except sqlite3.ProgrammingError:
        raise
    except sqlite3.OperationalError as error:
        code = (error.sqlite_errorcode or 0) & 0xFF if hasattr(error, "sqlite_errorcode") else 0
        hint = {
            sqlite3.SQLITE_FULL: "the disk is full: free some space, then run the same again: it goes on",
            sqlite3.SQLITE_READONLY: "you may not write here: choose another folder, or ask for the right to write",
            sqlite3.SQLITE_CANTOPEN: "check that the folder is there and may be written to",
        }.get(code, "check the disk and the path")
        raise ResourceError(f"{path}: cannot be used: {error}", hint=hint) from error
    except sqlite3.DatabaseError as error:
        raise DataError(
            f"{path}: is no sound manifest: {error}", hint="restore the file, or download into a new folder"
        ) from error
