"""The label files of YOLO: a text file a photo, a line a box: ``class centre_x centre_y width height``.

Notation: N boxes of one photo.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from herder.boxes import BoxFormat, convert
from herder.data.formats.labels import LABEL_BYTES, Row, read_text
from herder.data.records import ImageRecord, Problem, Severity


def read_label(path: Path, size: tuple[int, int]) -> tuple[list[Row], list[Problem]]:
    """The rows of a label file for a photo of ``size`` (W, H), and its lines that are no labels.

    Raises DataError when the file is no UTF-8 text or too large.
    """
    return parse_label(read_text(path, LABEL_BYTES), path, size)


def parse_label(text: str, path: Path, size: tuple[int, int]) -> tuple[list[Row], list[Problem]]:
    """``read_label`` of the ``text`` that was read from ``path``."""
    rows: list[Row] = []
    problems: list[Problem] = []
    for number, line in enumerate(text.split("\n"), 1):
        words = line.split()
        if not words:
            continue
        try:
            row, polygon = parse_line(words, f"line {number}", size)
        except ValueError as error:
            hint = "a line is: class centre_x centre_y width height"
            problems.append(Problem(path, "malformed-line", f"line {number}: {error}", hint))
            continue
        rows.append(row)
        if polygon and not any(problem.reason == "polygon" for problem in problems):
            message = f"line {number}: a polygon; the box around it is used"
            problems.append(Problem(path, "polygon", message, severity=Severity.NOTE))
    return rows, problems


def parse_line(words: Sequence[str], where: str, size: tuple[int, int]) -> tuple[Row, bool]:
    """The row of one line, for a photo of ``size`` (W, H), and whether it was a polygon.

    Raises ValueError when it is no label.
    """
    if len(words) == 6:
        raise ValueError("6 numbers: predictions with a score are no labels")
    if len(words) < 5 or len(words) % 2 == 0:
        raise ValueError(f"{len(words)} numbers, wanted 5")
    try:
        values = [float(word) for word in words]
    except ValueError:
        raise ValueError(f"{' '.join(words)[:60]!r} is not all numbers") from None
    if not values[0].is_integer() or not abs(values[0]) < 1e6:
        raise ValueError(f"class {words[0]} is no class number")
    width, height = size
    if len(words) == 5:
        cx, cy, w, h = values[1:]
        box = (cx - w / 2) * width, (cy - h / 2) * height, (cx + w / 2) * width, (cy + h / 2) * height
    else:
        xs, ys = np.array(values[1::2]) * width, np.array(values[2::2]) * height
        box = float(xs.min()), float(ys.min()), float(xs.max()), float(ys.max())
    return Row(where, int(values[0]), box), len(words) > 5


def label_text(record: ImageRecord) -> str:
    """The label file of a record: a line a box that is not to be ignored."""
    return "".join(f"{line}\n" for line, ignore in zip(label_lines(record), record.ignore, strict=True) if not ignore)


def label_lines(record: ImageRecord) -> list[str]:
    """The line of each box (N); 12 digits keep it exact in float32."""
    boxes = convert(record.boxes, BoxFormat.XYXY, BoxFormat.CXCYWH)  # (N, 4)
    fractions = boxes / [record.width, record.height, record.width, record.height]
    lines = zip(record.classes.tolist(), fractions.tolist(), strict=True)
    return [f"{c} " + " ".join(f"{value:.12f}" for value in row) for c, row in lines]
