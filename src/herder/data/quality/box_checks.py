"""Boxes asked whether they make sense: one by one, with the others of their photo, and class by class.

Notation: N boxes of one photo; W, H sides of the upright photo in pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from herder.boxes import area
from herder.data.quality.config import QualityConfig
from herder.data.records import Dataset, ImageRecord, Problem, Severity

ROUNDING = 1.0
"""Pixels by which a box may pass the border of the photo: rounding, no slip."""

_TEXT = {
    "not-finite": ("has a NaN or infinite coordinate", "draw the box again"),
    "zero-area": ("has no area: its corners are in the wrong order or the same", "draw the box again or remove it"),
    "box-outside": ("is outside the photo, wholly or by more than a pixel", "draw the box again or remove it"),
    "class-out-of-range": ("has a class without a name", "add the class name, or correct the id"),
    "duplicate-box": ("is there already", "remove it"),
    "tiny-box": ("", "remove it if it is a slip"),
    "extreme-aspect": ("", "remove it if it is a slip"),
    "whole-photo-box": ("", "draw it anew if the animal is smaller"),
}


@dataclass(frozen=True)
class BoxFinding:
    """What is wrong with the boxes of one photo, and which of them (N,) can be used."""

    problems: tuple[Problem, ...]
    usable: NDArray[np.bool_]


def check_boxes(record: ImageRecord, class_names: Sequence[str], config: QualityConfig | None = None) -> BoxFinding:
    """Check every box of a photo.

    Set aside: ``not-finite``, ``zero-area``, ``box-outside``, ``class-out-of-range``, ``duplicate-box``.
    Notes: ``tiny-box``, ``extreme-aspect``, ``whole-photo-box``, ``twin-boxes``.
    """
    config = config or QualityConfig()
    problems: list[Problem] = []
    usable = np.ones(len(record), np.bool_)
    for reason, wrong in _useless(record, class_names).items():
        for i in np.flatnonzero(wrong & usable).tolist():
            message = f"box {i + 1} ({_name(record, i, class_names)}) {_TEXT[reason][0]}"
            problems.append(Problem(record.path, reason, message, _TEXT[reason][1]))
        usable &= ~wrong
    problems += _notes(record, class_names, usable, config)
    return BoxFinding(tuple(problems), usable)


def check_classes(dataset: Dataset, config: QualityConfig | None = None) -> list[Problem]:
    """Notes on classes without a box, and on those with far fewer boxes than the most frequent one."""
    config = config or QualityConfig()
    names = dataset.class_names
    found = np.concatenate([np.zeros(0, np.int64), *(record.classes for record in dataset)])
    counts = np.bincount(found[(found >= 0) & (found < len(names))], minlength=len(names))
    notes: list[Problem] = []
    for i, (name, count) in enumerate(zip(names, counts.tolist(), strict=True)):
        if not count:
            hint = "remove the name, or add photos of it"
            notes.append(
                Problem(dataset.root, "class-without-box", f"class {i} ({name}) has no box", hint, Severity.NOTE)
            )
        elif config.max_imbalance and counts.max() > config.max_imbalance * count:
            most = int(counts.argmax())
            message = f"class {i} ({name}) has {count:,} boxes, class {most} ({names[most]}) has {counts[most]:,}"
            hint = "add photos of it, or draw some: herder data synthesize"
            notes.append(Problem(dataset.root, "class-imbalance", message, hint, Severity.NOTE))
    return notes


def _useless(record: ImageRecord, class_names: Sequence[str]) -> dict[str, NDArray[np.bool_]]:
    """Which boxes (N,) cannot be used, by reason; the first reason counts."""
    x1, y1, x2, y2 = record.boxes.T
    finite = np.isfinite(record.boxes).all(axis=1)
    outside = (x1 < -ROUNDING) | (y1 < -ROUNDING) | (x2 > record.width + ROUNDING) | (y2 > record.height + ROUNDING)
    keys = np.column_stack([record.boxes.astype(np.float64), record.classes, record.ignore])
    again = np.ones(len(record), np.bool_)
    again[np.unique(keys, axis=0, return_index=True)[1]] = False  # the first of each kind is none
    return {
        "not-finite": ~finite,
        "zero-area": (x2 <= x1) | (y2 <= y1),
        "box-outside": outside,
        "class-out-of-range": (record.classes < 0) | (record.classes >= len(class_names)),
        "duplicate-box": again,
    }


def _notes(
    record: ImageRecord, class_names: Sequence[str], usable: NDArray[np.bool_], config: QualityConfig
) -> Iterator[Problem]:
    photo = float(record.width * record.height)
    for i in np.flatnonzero(usable).tolist():
        width, height = (record.boxes[i, 2:] - record.boxes[i, :2]).tolist()
        size = f"box {i + 1} ({_name(record, i, class_names)}) is {width:.3g} x {height:.3g} pixels"
        if min(width, height) < config.min_box_side:
            yield _note(record, "tiny-box", size)
        elif config.max_aspect and max(width, height) > config.max_aspect * min(width, height):
            yield _note(record, "extreme-aspect", f"{size}, {max(width / height, height / width):.0f} to 1")
        elif config.whole_photo and width * height > config.whole_photo * photo:
            share = f"covers {width * height / photo:.0%} of the photo"
            yield _note(record, "whole-photo-box", f"box {i + 1} ({_name(record, i, class_names)}) {share}")
    for i, j in _twins(record, usable, config.twin_iou):
        message = f"boxes {i + 1} and {j + 1} ({_name(record, j, class_names)}) are almost the same"
        yield Problem(record.path, "twin-boxes", message, "remove one if it is one animal", Severity.NOTE)


def _note(record: ImageRecord, reason: str, message: str) -> Problem:
    return Problem(record.path, reason, message, _TEXT[reason][1], Severity.NOTE)


def _twins(record: ImageRecord, usable: NDArray[np.bool_], iou: float) -> Iterator[tuple[int, int]]:
    """Pairs of boxes of one class that overlap so much that they probably mean one animal."""
    boxes, areas = record.boxes, area(record.boxes)
    order = [i for i in np.argsort(boxes[:, 0], kind="stable").tolist() if usable[i]]
    for at, i in enumerate(order):
        for j in order[at + 1 :]:
            if boxes[j, 0] >= boxes[i, 2]:
                break  # sorted by the left side: no later box can overlap
            if record.classes[i] != record.classes[j] or record.ignore[i] != record.ignore[j]:
                continue
            low = np.minimum(boxes[i, 2:], boxes[j, 2:])
            sides = np.clip(low - np.maximum(boxes[i, :2], boxes[j, :2]), 0, None)
            overlap = float(sides[0] * sides[1])
            if overlap > iou * (float(areas[i] + areas[j]) - overlap):
                yield min(i, j), max(i, j)


def _name(record: ImageRecord, index: int, class_names: Sequence[str]) -> str:
    class_id = int(record.classes[index])
    return class_names[class_id] if 0 <= class_id < len(class_names) else f"class {class_id}"
