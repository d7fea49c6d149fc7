"""What every reader does with labels: read the text within limits, check each box, build the record.

Notation: N boxes of one photo; W, H sides of the upright photo in pixels.
"""

from __future__ import annotations

import codecs
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from herder.data.formats.details import NO_DETAILS, NO_FLAGS, Details, FlagRow, box_flags
from herder.data.records import ImageRecord, Problem, Severity
from herder.errors import DataError

LABEL_BYTES = 10_000_000
"""The largest text or XML label file that is read: a hundred thousand boxes in one photo are no photo of animals."""

SETTINGS_BYTES = 1_000_000
"""The largest ``data.yaml`` or list of class names that is read."""

JSON_BYTES = 1_000_000_000
"""The largest COCO file that is read; all of COCO 2017 train is half of it."""

ROUNDING = 1.0
"""Pixels by which a box may pass the border and still count as rounding: it is cut without a word."""


@dataclass(frozen=True, slots=True)
class Row:
    """One label as a file states it, not yet checked: an xyxy box in pixels, and where it stands."""

    where: str
    """Such as ``line 3``."""
    class_id: int
    box: tuple[float, float, float, float]
    ignore: bool = False
    flags: FlagRow = NO_FLAGS


def read_text(path: Path, limit: int) -> str:
    """The text of a UTF-8 file, with or without BOM, with any kind of line ends, as lines that end with ``\\n``.

    Raises DataError when the file is missing, cannot be read, is larger than ``limit`` bytes or is not UTF-8 text.
    """
    try:
        size = path.stat().st_size
        if size > limit:
            raise DataError(
                f"{path}: {size:,} bytes is past the limit of {limit:,}",
                hint="this is no label file; split or remove it",
            )
        data = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file", hint="check the path") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})", hint="check its permissions") from None
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DataError(f"{path}: is UTF-16 text", hint="save it as UTF-8")
    try:
        text = data.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}: line {line}: is not UTF-8 text", hint="save it as UTF-8, or remove it") from None
    if "\0" in text:
        raise DataError(f"{path}: holds zero bytes and is no text file", hint="copy it again, or remove it")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def load_json(path: Path) -> Any:
    """The content of a JSON file. Raises DataError naming the line when it is no JSON, or too large."""
    text = read_text(path, JSON_BYTES)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{path}: line {error.lineno}: is not JSON ({error.msg})", hint="export it again") from None
    except (RecursionError, ValueError) as error:  # nested too deep, or a number of a million digits
        raise DataError(f"{path}: is not usable JSON ({error})", hint="export it again") from None


def read_class_names(path: Path) -> tuple[str, ...]:
    """Class names from a text file, one a line; the first is class 0.

    Raises DataError when there is none, a line between is empty, or a name comes twice.
    """
    lines = [line.strip() for line in read_text(path, SETTINGS_BYTES).rstrip().split("\n")]
    for number, line in enumerate(lines, 1):
        if not line:
            raise DataError(f"{path}: line {number}: no class name", hint="write one class name a line")
    return checked_names(path, lines)


def checked_names(path: Path, names: Sequence[str]) -> tuple[str, ...]:
    """The names as they are. Raises DataError when there is none or one comes twice."""
    if not names:
        raise DataError(f"{path}: no class names", hint="name at least one class")
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise DataError(f"{path}: the class name {twice[0]!r} comes twice", hint="give each class its own name")
    return tuple(names)


def as_problem(path: Path, reason: str, error: DataError) -> Problem:
    """What a reader raised about one file, as a finding that sets this file aside."""
    return Problem(path, reason, error.message.removeprefix(f"{path}: "), error.hint)


def build_record(
    photo: Path,
    size: tuple[int, int],
    rows: Sequence[Row],
    label: Path,
    class_names: Sequence[str],
    *,
    lost: int = 0,
    details: Details = NO_DETAILS,
) -> tuple[ImageRecord | None, list[Problem]]:
    """Check each label and build the record of one photo of ``size`` (W, H).

    Boxes past the border are cut (a note), other bad ones set aside. ``lost`` labels were unreadable before they came
    here. When labels were given and none is left the photo is set aside as well, and the record is None: as background
    it would teach that the animal in it is none.
    """
    kept: dict[tuple[float | bool, ...], FlagRow] = {}
    problems: list[Problem] = []
    for row in rows:
        found, box = check_row(row, size, label, class_names)
        if found:
            problems.append(found)
        if box is None:
            continue
        key = (*box, row.class_id, row.ignore)
        if key in kept:
            problems.append(Problem(label, "duplicate-box", f"{row.where}: the same box again", "remove the line"))
        kept.setdefault(key, row.flags)
    if (rows or lost) and not kept:
        message = "none of its labels can be used, and as background it would mislead"
        problems.append(Problem(photo, "no-usable-box", message, f"repair {label.name}"))
        return None, problems
    values = np.array([key[:4] for key in kept], np.float64).reshape(-1, 4)
    classes = np.array([key[4] for key in kept], np.int64)
    ignore = np.array([key[5] for key in kept], np.bool_)
    boxes, flags = values.astype(np.float32), box_flags(list(kept.values()))
    return ImageRecord(
        photo, *size, boxes, classes, ignore, details.licence, details.group, details.source, flags
    ), problems


def check_row(
    row: Row, size: tuple[int, int], label: Path, class_names: Sequence[str]
) -> tuple[Problem | None, tuple[float, ...] | None]:
    """What is wrong with one label, and its box cut at the border of the photo (W, H); None for a box without use."""
    width, height = size
    x1, y1, x2, y2 = row.box
    if not all(map(math.isfinite, row.box)):
        return Problem(label, "not-finite", f"{row.where}: NaN or infinite coordinate", "draw the box again"), None
    if not 0 <= row.class_id < len(class_names):
        message = f"{row.where}: class {row.class_id}, but there are {len(class_names)} classes, from 0"
        return Problem(label, "class-out-of-range", message, "add the class name, or correct the id"), None
    if x2 <= x1 or y2 <= y1:
        message = f"{row.where}: the box has no area (width {x2 - x1:g}, height {y2 - y1:g} pixels)"
        return Problem(label, "zero-area", message, "draw the box again or remove it"), None
    if x2 <= 0 or y2 <= 0 or x1 >= width or y1 >= height:
        message = f"{row.where}: the box {_text(row.box)} is wholly outside the photo of {width} x {height}"
        return Problem(label, "box-outside", message, "draw the box again or remove it"), None
    box = max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height))
    cut = np.asarray(box, np.float32)
    if cut[2] <= cut[0] or cut[3] <= cut[1]:
        return Problem(label, "zero-area", f"{row.where}: the box is thinner than its rounding", "remove it"), None
    if max(abs(a - b) for a, b in zip(box, row.box, strict=True)) <= ROUNDING:
        return None, box
    message = f"{row.where}: the box {_text(row.box)} passes the border of the photo of {width} x {height} and was cut"
    return Problem(label, "box-clipped", message, severity=Severity.NOTE), box


def _text(box: Sequence[float]) -> str:
    return ", ".join(f"{value:.6g}" for value in box)
