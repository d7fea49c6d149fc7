"""Taking over what other machines have fetched: their photos, by the manifests that lie beside them.

Each ``--shard k/n`` fills a folder of its own and knows of no other; once the folders are in one place, their photos
come into one here. A photo counts only if its bytes have the SHA-256 that its manifest says.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from herder.data.download.items import DownloadItem
from herder.data.download.landing import Landing, digest
from herder.data.download.manifest import PAGE, Manifest
from herder.data.download.states import Outcome, State
from herder.files import writing


def take_over(items: Iterable[DownloadItem], root: Path, manifest: Manifest, photos: Path, their: Path) -> int:
    """Bring into ``root`` the photos of ``items`` that lie in the folder ``photos``; return how many came.

    They are hard links where the disk allows, copies elsewhere; the other folder stays as it is. What its manifest
    calls gone is gone here too. Everything else (failed, set aside, not the same bytes) is left to be fetched.
    Raises DataError where ``their`` cannot be read, ResourceError when the disk says no.
    """
    landing = Landing(root, manifest)
    taken = 0
    # A copy, with what waits in the log: reading would otherwise write to the folder that is to stay as it is.
    with tempfile.TemporaryDirectory(prefix="herder-join-") as copy:
        for ending in ("", "-wal"):
            source = their.with_name(their.name + ending)
            if source.is_file():
                shutil.copyfile(source, Path(copy) / source.name)
        with Manifest(Path(copy) / their.name) as theirs:
            found = _found(items, manifest, theirs)
            while batch := list(islice(found, PAGE)):
                manifest.add(item for item, _, _ in batch)
                ended = [
                    (item, outcome) for item, outcome, path in batch if _brought(item, outcome, photos / path, landing)
                ]
                taken += sum(outcome.state is State.DONE for outcome in landing.land(ended))
    return taken


def _found(
    items: Iterable[DownloadItem], manifest: Manifest, theirs: Manifest
) -> Iterator[tuple[DownloadItem, Outcome, Path]]:
    """Items that are not settled here and are settled there, with what is known there and the path of their photo."""
    for item in items:
        mine, row = manifest.row(item.key), theirs.row(item.key)
        if row is None or row.state not in (State.DONE, State.GONE):
            continue
        # The same key with another address is another photo.
        if row.item.url != item.url or (mine is not None and mine.state in (State.DONE, State.QUARANTINED)):
            continue
        yield item, row.outcome, Path(row.item.path)


def _brought(item: DownloadItem, outcome: Outcome, source: Path, landing: Landing) -> bool:
    """Put the bytes of a photo beside its final name; whether that could be done."""
    if outcome.state is State.GONE:
        return True
    if source.is_symlink() or digest(source) != outcome.sha256:
        return False
    _, part = landing.prepare(item)
    with writing(part):
        part.unlink(missing_ok=True)
        try:
            os.link(source, part)
        except OSError:
            shutil.copyfile(source, part)
    return True
