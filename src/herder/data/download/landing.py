"""From ``.part`` files to photos under their final names, in step with the manifest.

The order is what makes a kill harmless: the bytes are in ``name.part``; the manifest says done, with size and SHA-256;
the file is renamed. Killed before the second step, the item is fetched again; killed before the third, the part is
known to be whole, and the next run renames it. A final name never holds less than the whole photo.

Nothing waits for the disk (no fsync a photo): what a power cut takes, the next run sees by a file's size and fetches
again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from herder.data.download.items import PART_SUFFIX, DownloadItem
from herder.data.download.manifest import PAGE, Manifest
from herder.data.download.shards import Shard
from herder.data.download.states import Outcome, State
from herder.files import writing


def part_of(final: Path) -> Path:
    """Where the bytes of a photo go until all of them are there."""
    return final.with_name(final.name + PART_SUFFIX)


class Landing:
    """The files of a download under ``root``, and their manifest."""

    def __init__(self, root: Path, manifest: Manifest) -> None:
        self._root = root
        self._manifest = manifest
        self._folders: set[Path] = set()

    def prepare(self, item: DownloadItem) -> tuple[Path, Path]:
        """The final path of an item and that of its part, their folder made. Raises ResourceError."""
        final = self._root / item.path
        if final.parent not in self._folders:
            with writing(final.parent):
                final.parent.mkdir(parents=True, exist_ok=True)
            self._folders.add(final.parent)
        return final, part_of(final)

    def land(self, ended: Sequence[tuple[DownloadItem, Outcome]]) -> list[Outcome]:
        """Record what came of these items, and give those that arrived their final names.

        A file of that name that was there before is never replaced: the same bytes count as arrived, others as the
        failure ``name-taken``. Returns what was recorded. Raises ResourceError when the disk says no.
        """
        settled: list[Outcome] = []
        moves: list[tuple[Path, Path]] = []
        for item, outcome in ended:
            final, part = self.prepare(item)
            if outcome.state is State.DONE:
                if os.path.lexists(final) and not _is_empty(final):
                    outcome = _compare(final, outcome)
                    with writing(part):
                        part.unlink(missing_ok=True)
                else:
                    moves.append((part, final))
            settled.append(outcome)
        self._manifest.record(settled)
        for part, final in moves:
            with writing(final):
                part.replace(final)
        return settled

    def recover(self, shard: Shard | None) -> tuple[int, int]:
        """Bring disk and manifest together after a run that was killed: (photos renamed, photos lost).

        A photo that the manifest calls done and that lies there as a whole part is renamed; one that is missing or has
        another size is pending again.
        """
        renamed, lost, open_again = 0, 0, list[Outcome]()
        for row in self._manifest.rows(State.DONE, shard):
            final, part = self._root / row.item.path, part_of(self._root / row.item.path)
            try:
                there = final.stat().st_size == row.outcome.size
            except OSError:
                there = False
            if there:
                continue
            if not os.path.lexists(final) and digest(part) == row.outcome.sha256:
                with writing(final):
                    part.replace(final)
                renamed += 1
                continue
            lost += 1
            open_again.append(Outcome(row.item.key, State.PENDING))
            if len(open_again) >= PAGE:
                self._manifest.record(open_again)
                open_again.clear()
        self._manifest.record(open_again)
        return renamed, lost


def _is_empty(path: Path) -> bool:
    """Whether a file of no bytes lies there, as a power cut leaves it: nobody loses anything by it."""
    return path.is_file() and not path.is_symlink() and path.stat().st_size == 0


def _compare(final: Path, outcome: Outcome) -> Outcome:
    if digest(final) == outcome.sha256:
        return outcome
    message = f"{final} was there before and holds something else; move it away, or choose another folder"
    return Outcome(outcome.key, State.FAILED, outcome.attempts, "name-taken", message, outcome.http_status)


def digest(path: Path) -> str:
    """SHA-256 in hex of a file, "" where there is none that can be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
