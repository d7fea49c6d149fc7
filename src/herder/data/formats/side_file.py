"""``herder.json`` beside the ``data.yaml`` of a YOLO folder: what lines of ``class x y w h`` cannot say.

For each photo, by its path from the folder: licence, group, source, the flags of its boxes, and the boxes to be ignored
(a herd, a COCO crowd), which have no line in the label file: another reader would take them for animals. An entry is
bound to its label file by a digest. Once somebody edits the labels, flags of lines are not used any more, for nobody
knows which line they belong to; all else still is.

    {"version": 1, "photos": {"images/train/a.jpg": {
      "licence": "CC BY 2.0", "group": "farm 1", "source": {"author": "Jo", "url": "https://..."},
      "labels": "0f1e2d3c4b5a6978",                            first 16 digits of the label file's SHA-256
      "flags": {"occluded": [1, 0]},                           a number for each box of the record: 1, 0 or -1
      "ignored": [{"box": 1, "line": "0 0.5 0.5 1 1"}]}}}      which box of the record it is, and its label

Other readers of YOLO pass over this file. Notation: N boxes of one record.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from herder.data.formats.details import (
    NO_DETAILS,
    NO_FLAGS,
    Details,
    FlagRow,
    flags_of,
    source_fields,
    source_of,
    text_of,
)
from herder.data.formats.labels import Row, load_json
from herder.data.formats.yolo_labels import label_lines, label_text, parse_line
from herder.data.records import BoxFlags, ImageRecord, Problem, Severity
from herder.errors import DataError

SIDE_FILE = "herder.json"
VERSION = 1


@dataclass(frozen=True)
class SideFile:
    """A side file as read; its entries are checked one by one, when their photo is read."""

    path: Path
    photos: Mapping[str, Any]

    def add(
        self, photo: Path, text: str, rows: Sequence[Row], size: tuple[int, int]
    ) -> tuple[list[Row], Details, list[Problem]]:
        """The rows of a photo of ``size`` (W, H), from the ``text`` of its label file, with all that is told here.

        An entry that makes no sense is a finding, and the rows are as they were.
        """
        name = Path(os.path.relpath(photo, self.path.parent)).as_posix()
        entry = self.photos.get(name)
        if entry is None:
            return list(rows), NO_DETAILS, []
        try:
            details = _details(entry)
            full, stale = _merge(entry, text, rows, size)
        except ValueError as error:
            message = f"{name}: {error}; all that is said of this photo is left out"
            return list(rows), NO_DETAILS, [Problem(self.path, "malformed-details", message, "correct or remove it")]
        if not stale:
            return full, details, []
        message = f"{name}: its labels were changed since, and the flags of their boxes are not used"
        return full, details, [Problem(self.path, "stale-flags", message, "flag them anew", Severity.NOTE)]


def read_side_file(folder: Path) -> SideFile | None:
    """The side file in ``folder``, or None where there is none.

    Raises DataError when it is damaged or from a newer herder: without it boxes to be ignored would be lost unseen.
    """
    path = folder / SIDE_FILE
    if not path.is_file():
        return None
    data = load_json(path)
    if not isinstance(data, dict) or not isinstance(data.get("photos"), dict) or "version" not in data:
        raise DataError(
            f"{path}: no version and photos", hint="write the dataset again, or give this file another name"
        )
    if data["version"] != VERSION:
        raise DataError(f"{path}: is of version {data['version']!r}, known is {VERSION}", hint="update herder")
    return SideFile(path, data["photos"])


def _details(entry: object) -> Details:
    """Licence, group and source that an entry tells. Raises ValueError for a bad entry."""
    if not isinstance(entry, dict) or not isinstance(entry.get("source", {}), dict):
        raise ValueError("it or its source is no object")
    return Details(text_of(entry.get("licence")), text_of(entry.get("group")), source_of(entry.get("source", {})))


def _merge(entry: Mapping[str, Any], text: str, rows: Sequence[Row], size: tuple[int, int]) -> tuple[list[Row], bool]:
    """All rows of a photo in their old order, and whether flags were given up. Raises ValueError for a bad entry."""
    ignored = _ignored(entry.get("ignored", []), size)
    columns = entry.get("flags", {})
    if not isinstance(columns, dict) or not all(isinstance(column, list) for column in columns.values()):
        raise ValueError("flags are no lists by name")
    same = entry.get("labels") == digest(text)
    count = len(rows) + len(ignored)
    if same and (any(len(column) != count for column in columns.values()) or max(ignored, default=-1) >= count):
        raise ValueError(f"flags and ignored are not those of {count} boxes")

    def flags(i: int) -> FlagRow:
        return flags_of({name: column[i] for name, column in columns.items() if i < len(column)})

    if not same:
        return [*rows, *(replace(row, flags=flags(i)) for i, row in ignored.items())], bool(columns)
    lines = iter(rows)
    return [replace(ignored[i] if i in ignored else next(lines), flags=flags(i)) for i in range(count)], False


def _ignored(items: object, size: tuple[int, int]) -> dict[int, Row]:
    """The box to be ignored at each place of the record. Raises ValueError when something is no label."""
    if not isinstance(items, list):
        raise ValueError("ignored is no list")
    found: dict[int, Row] = {}
    for item in items:
        place, line = (item.get("box"), item.get("line")) if isinstance(item, dict) else (None, None)
        if type(place) is not int or place < 0 or place in found or not isinstance(line, str):
            raise ValueError(f"ignored: {str(item)[:60]} has no box of its own and line")
        row, _ = parse_line(line.split(), f"box {place}", size)
        found[place] = replace(row, ignore=True)
    return found


def digest(text: str) -> str:
    """What binds an entry to the text of its label file."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def side_entry(record: ImageRecord) -> dict[str, Any]:
    """What lines cannot say of a record; empty where they say it all."""
    told = {"licence": record.licence, "group": record.group, "source": source_fields(record.source)}
    entry: dict[str, Any] = {key: value for key, value in told.items() if value}
    table = record.flags.table()  # (N, 5)
    flags = {
        name: column.tolist()
        for name, column in zip(BoxFlags.names(), table.T, strict=True)
        if (column != NO_FLAGS[0]).any()
    }
    lines = label_lines(record) if record.ignore.any() else []
    ignored = [{"box": i, "line": lines[i]} for i in np.flatnonzero(record.ignore).tolist()]
    if flags or ignored:
        entry["labels"] = digest(label_text(record))
    return entry | ({"flags": flags} if flags else {}) | ({"ignored": ignored} if ignored else {})


def side_text(entries: Mapping[str, Mapping[str, Any]]) -> str:
    """The side file of entries by photo: a line a photo, so that versions can be compared line by line."""
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in entries.items())
    return f'{{"version": {VERSION}, "photos": {{\n{lines}\n}}}}\n'
