"""The folder of a fetched dataset: the dataset itself, and beside it in ``fetched/`` what was downloaded.

    data.yaml, images/, labels/, ...   the dataset, in whatever format was asked for
    fetched/manifest.sqlite            what is known of each photo
    fetched/photos/                    the photos as they came; those of the dataset are hard links to them
    fetched/dataset.json               which files of the dataset herder wrote
    quarantine/                        photos that were set aside, by reason

The dataset is written anew by every run. What somebody changed in it by hand is never written over: that is an error.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from herder.data.formats import Format, write_splits
from herder.data.records import Dataset
from herder.errors import DataError
from herder.files import write_atomic, writing
from herder.images import IMAGE_SUFFIXES

Files = dict[str, str]
"""What tells one state of a file from another, by its path: the size of a photo, the SHA-256 of anything else."""


@dataclass(frozen=True)
class FetchedFolder:
    """A folder that fetching fills, made where it is not there; with ``existing`` one that it has filled.

    Raises DataError for one that holds other things.
    """

    root: Path
    existing: bool = False

    def __post_init__(self) -> None:
        root = Path(self.root)
        object.__setattr__(self, "root", root)
        if self.existing:
            if not self.manifest.is_file():
                hint = "give the --out folder of another `herder data fetch`"
                raise DataError(f"{root}: holds nothing that was fetched ({self.manifest.name} is missing)", hint=hint)
            return
        if root.exists() and not root.is_dir():
            raise DataError(f"{root}: is a file", hint="give a folder")
        if root.is_dir() and any(root.iterdir()) and not self.state.is_dir():
            raise DataError(f"{root}: holds other things", hint="give a new folder: nothing is ever written over")
        with writing(root):
            self.photos.mkdir(parents=True, exist_ok=True)

    @property
    def state(self) -> Path:
        """Everything that is not the dataset itself."""
        return self.root / "fetched"

    @property
    def manifest(self) -> Path:
        """The manifest of the download."""
        return self.state / "manifest.sqlite"

    @property
    def photos(self) -> Path:
        """Photos as they came."""
        return self.state / "photos"

    @property
    def upright(self) -> Path:
        """Copies of photos that had to be turned."""
        return self.state / "upright"

    def place(self, datasets: Sequence[Dataset], format: Format) -> bool:
        """Write the dataset into the folder, in place of the one that an earlier run wrote; False: nothing is new.

        Raises DataError when the earlier one was changed by hand; it then stays. Killed at any time, the next call
        ends what was begun.
        """
        stage, old, record = self.state / "dataset.new", self.state / "dataset.old", self.state / "dataset.json"
        with writing(self.root):
            self._finish_exchange()
            shutil.rmtree(stage, ignore_errors=True)
        write_splits(datasets, stage, format, link=True)
        files = dict(_files(stage, sorted(path.name for path in stage.iterdir())))
        before = _read(record)
        with writing(self.root):
            if before is not None:
                if before == files:
                    shutil.rmtree(stage)
                    return False
                changed = self._changed(before)
                if changed:
                    shutil.rmtree(stage)
                    raise DataError(
                        f"{self.root / changed}: was changed since it was fetched, and would be written over",
                        hint="give another --out, or put it back as it was",
                    )
            theirs = _tops(files) - _tops(before or {})
            if taken := sorted(name for name in theirs if (self.root / name).exists()):
                shutil.rmtree(stage)
                raise DataError(f"{self.root / taken[0]}: is there already", hint="move it away, or give another --out")
            old.mkdir(exist_ok=True)
            exchange = {"files": files, "before": sorted(_tops(before or {}))}
            write_atomic(self.state / "exchange.json", json.dumps(exchange).encode())
            self._finish_exchange()
        return True

    def _finish_exchange(self) -> None:
        """Put a new dataset in the place of the old one, from wherever a kill left it."""
        plan, stage, old = self.state / "exchange.json", self.state / "dataset.new", self.state / "dataset.old"
        data = _load(plan)
        if data is None:
            return
        # A name that is still in the stage has not been exchanged: what lies in its place is the old one.
        waiting = {path.name for path in stage.iterdir()} if stage.is_dir() else set()
        for name in sorted((set(data["before"]) - _tops(data["files"])) | waiting):
            if (self.root / name).exists():
                _remove(old / name)
                (self.root / name).replace(old / name)
            if name in waiting:
                (stage / name).replace(self.root / name)
        write_atomic(self.state / "dataset.json", json.dumps({"files": data["files"]}, indent=0).encode())
        plan.unlink()
        shutil.rmtree(old, ignore_errors=True)
        shutil.rmtree(stage, ignore_errors=True)

    def _changed(self, before: Files) -> str:
        """A file of the dataset that is not as it was written, or is new or gone; "" for none."""
        now = dict(_files(self.root, sorted(_tops(before))))
        return next((name for name in sorted(now.keys() | before.keys()) if now.get(name) != before.get(name)), "")


def _files(root: Path, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The state of all files under these names of ``root``."""
    for name in names:
        top = root / name
        found = [top] if top.is_file() else [Path(here, file) for here, _, files in os.walk(top) for file in files]
        for path in sorted(found):
            yield path.relative_to(root).as_posix(), _state(path)


def _state(path: Path) -> str:
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return str(path.stat().st_size)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _tops(files: Mapping[str, str]) -> set[str]:
    return {name.partition("/")[0] for name in files}


def _load(path: Path) -> dict[str, Any] | None:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error})", hint="give another --out") from None
    if not isinstance(data, dict) or not isinstance(data.get("files"), dict):
        raise DataError(f"{path}: holds no list of files", hint="give another --out")
    return data


def _read(path: Path) -> Files | None:
    data = _load(path)
    return None if data is None else {str(name): str(state) for name, state in data["files"].items()}


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
