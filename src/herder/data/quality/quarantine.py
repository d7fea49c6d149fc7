"""Where files go that failed a check: ``quarantine/<reason>/``, with a list of what was wrong beside them."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path, PurePosixPath
from typing import Any

from herder.data.records import Problem, Severity
from herder.errors import DataError
from herder.files import write_atomic, writing

FOLDER = "quarantine"
LIST = "quarantine.json"
"""The list of what was set aside, in the folder."""

LABEL_SUFFIXES = (".txt", ".xml")
"""Label files of one photo each; a COCO file holds those of all photos, and stays where it is."""


class Handling(Enum):
    """How a file comes into quarantine."""

    MOVE = "move"
    """For files that herder fetched itself."""
    COPY = "copy"
    """For files of others: the original stays."""
    LINK = "link"
    """A second name for the same file, where both lie on one disk; else a copy."""


@dataclass(frozen=True)
class Entry:
    """One finding in the list: where the file was, where it is now ("": it was not taken along), and what is wrong."""

    file: str
    was: str
    reason: str
    message: str
    hint: str


def set_aside(
    root: Path,
    problems: Iterable[Problem],
    *,
    into: Path | None = None,
    handling: Handling = Handling.MOVE,
    keep: Collection[Path] = (),
) -> list[Entry]:
    """Bring every file under ``root`` that a problem sets aside into ``quarantine/<reason>/``, and write the list.

    The folder is made in ``into`` (None: in ``root``); below the reason a file keeps its path under ``root``. A file
    with several problems goes where the first one says, and stands in the list for each. Listed alone are the files in
    ``keep``, which are still used, COCO files, and, where files are moved, labels: other lines of them may be good.
    Notes do nothing. The list is written before a file is touched and keeps what it held, so that after a crash the
    same call goes on.
    Files outside ``root`` are never moved: DataError. ResourceError where the disk is full.
    """
    home = (into or root) / FOLDER
    entries = read_list(home)
    places: dict[Path, PurePosixPath] = {}
    for problem in problems:
        if problem.severity is not Severity.SET_ASIDE:
            continue
        was, below = _inside(root, problem.path, handling)
        known = next((e.file for e in reversed(entries) if e.was == was and e.file), "")
        if problem.path not in places and problem.path not in keep and _taken_along(problem.path, handling):
            again = known and not (home / known).exists()  # a crash came between the list and the file
            place = (
                PurePosixPath(known) if again else _free(home, PurePosixPath(problem.reason) / below, places.values())
            )
            places[problem.path] = place
        file = str(places.get(problem.path, known))
        entry = Entry(file, was, problem.reason, problem.message, problem.hint)
        entries += [entry] if entry not in entries else []
    if entries:
        write_atomic(home / LIST, _text(entries).encode())
    for source, place in places.items():
        _bring(source, home / place, handling)
    return entries


def read_list(home: Path) -> list[Entry]:
    """The list in a quarantine folder; empty where there is none. Raises DataError where it is broken."""
    path = home / LIST
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return [Entry(**{key: str(value) for key, value in item.items()}) for item in data["files"]]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path}: is no list of set aside files ({error})", hint="move it away, and try again"
        ) from None


def _text(entries: Sequence[Entry]) -> str:
    data: dict[str, Any] = {"made by": "herder", "files": [asdict(entry) for entry in entries]}
    return json.dumps(data, ensure_ascii=False, indent=1) + "\n"


def _inside(root: Path, path: Path, handling: Handling) -> tuple[str, PurePosixPath]:
    """The path under ``root``, twice; of a file elsewhere, which may be copied but not moved, its path and its name."""
    try:
        # The folder is resolved and the file is not: a photo that is a link is set aside as this link.
        relative = (path.parent.resolve() / path.name).relative_to(root.resolve()).as_posix()
    except ValueError:
        if handling is Handling.MOVE:
            raise DataError(f"{path}: is outside {root} and is not moved", hint="set it aside by hand") from None
        return str(path), PurePosixPath(path.name)
    return relative, PurePosixPath(relative)


def _taken_along(path: Path, handling: Handling) -> bool:
    others = (".json", *LABEL_SUFFIXES) if handling is Handling.MOVE else (".json",)
    return path.is_file() and path.suffix.lower() not in others


def _free(home: Path, place: PurePosixPath, taken: Collection[PurePosixPath]) -> PurePosixPath:
    """The place, with a number where another file took it."""
    free, number = place, 1
    while free in taken or (home / free).exists():
        number += 1
        free = place.with_name(f"{place.stem}-{number}{place.suffix}")
    return free


def _bring(source: Path, target: Path, handling: Handling) -> None:
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        if handling is Handling.MOVE:
            source.replace(target)  # the same disk: the folder lies in the dataset
            return
        if handling is Handling.LINK and _linked(source, target):
            return
        shutil.copyfile(source, target)


def _linked(source: Path, target: Path) -> bool:
    try:
        os.link(source.resolve(), target)
    except OSError as error:
        if error.errno in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP):
            return False
        raise
    return True
