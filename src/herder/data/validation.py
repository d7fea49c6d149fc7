"""A dataset looked at closely before a long training: every photo decoded, every box asked whether it makes sense.

Reading a dataset checks headers and labels; what only shows in the pixels, or by comparing photos, is found here.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from herder.boxes import area
from herder.data.formats.labels import as_problem
from herder.data.records import Dataset, ImageRecord, Problem, Severity
from herder.errors import DataError
from herder.images import read_image

TINY = 3.0
"""A box with a side of fewer pixels holds nothing to learn from, and is often a slip of the mouse."""

SHOWN = 10
"""So many findings of one kind are written out in a report for people; the rest is counted."""


@dataclass(frozen=True)
class CheckReport:
    """What ``check_dataset`` found; ``usable`` is the dataset without what was set aside."""

    usable: Dataset
    problems: tuple[Problem, ...]
    """Everything found, on reading and now."""
    photos: int
    """Photos looked at: those that could be read."""
    boxes: int

    @property
    def set_aside(self) -> tuple[Problem, ...]:
        """The findings that cost a photo or a box."""
        return tuple(problem for problem in self.problems if problem.severity is Severity.SET_ASIDE)

    @property
    def clean(self) -> bool:
        """Whether nothing had to be set aside; notes do not count."""
        return not self.set_aside

    def counts(self) -> dict[str, int]:
        """How often each reason occurs, the most frequent first."""
        return dict(Counter(problem.reason for problem in self.problems).most_common())

    def render(self, shown: int = SHOWN) -> str:
        """The report as text: findings by kind, at most ``shown`` of each, and a summary line."""
        groups: dict[tuple[str, str], list[Problem]] = defaultdict(list)
        for problem in self.problems:
            groups[problem.severity.value, problem.reason].append(problem)
        lines: list[str] = []
        # What was set aside stands last, right above the summary, where a person looks first.
        for (severity, reason), found in sorted(groups.items()):
            lines.append(f"{severity}: {reason} ({len(found)})")
            lines += [f"  {problem}" for problem in found[:shown]]
            if len(found) > shown:
                lines.append(f"  ... and {len(found) - shown} more")
        notes = len(self.problems) - len(self.set_aside)
        lines.append(
            f"{len(self.usable)} photos with {sum(map(len, self.usable))} boxes can be used; "
            f"{len(self.set_aside)} findings set aside, {notes} notes"
        )
        return "\n".join(lines)


def check_dataset(
    dataset: Dataset,
    *,
    decode: bool = True,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> CheckReport:
    """Look closely at a dataset that was read.

    With ``decode`` each photo is decoded in full by ``workers`` threads (None: one a core), which finds damaged and
    changed files and photos that are there twice, byte by byte; ``progress`` is called with the number of photos done.
    Raises DataError when nothing is left to use.
    """
    problems = list(dataset.problems)
    digests: dict[str, Path] = {}
    kept: list[ImageRecord] = []
    looks = _look_at_all(dataset.records, decode, workers or os.cpu_count() or 1)
    for number, (record, (digest, damage)) in enumerate(zip(dataset.records, looks, strict=True), 1):
        if progress is not None:
            progress(number)
        if damage is not None:
            problems.append(damage)
            continue
        kept.append(record)
        problems += check_record(record, dataset.class_names)
        first = digests.setdefault(digest, record.path) if digest else record.path
        if first != record.path:
            message = f"the same file as {first}"
            hint = "keep one of them, above all where one is for training and one for validation"
            problems.append(Problem(record.path, "duplicate-photo", message, hint, Severity.NOTE))
    problems += _unused_classes(dataset)
    if not kept:
        raise DataError(f"{dataset.root}: no photo can be used", hint=f"first: {problems[0]}" if problems else "")
    usable = replace(dataset, records=tuple(kept), problems=tuple(problems))
    return CheckReport(usable, tuple(problems), len(dataset), sum(map(len, dataset)))


def check_record(record: ImageRecord, class_names: Sequence[str]) -> list[Problem]:
    """Notes on boxes that are allowed but look like slips: tiny ones, and one drawn twice with small differences."""
    notes: list[Problem] = []
    sides = record.boxes[:, 2:] - record.boxes[:, :2]  # (N, 2)
    for i in np.flatnonzero((sides < TINY).any(axis=1)).tolist():
        message = f"box {i + 1} ({_name(record, i, class_names)}) is {sides[i, 0]:.3g} x {sides[i, 1]:.3g} pixels"
        notes.append(Problem(record.path, "tiny-box", message, "remove it if it is a slip", Severity.NOTE))
    for i, j in _twins(record):
        message = f"boxes {i + 1} and {j + 1} ({_name(record, j, class_names)}) are almost the same"
        notes.append(Problem(record.path, "twin-boxes", message, "remove one if it is one animal", Severity.NOTE))
    return notes


def _twins(record: ImageRecord, iou: float = 0.95) -> list[tuple[int, int]]:
    """Pairs of boxes of one class that overlap so much that they probably mean one animal."""
    order = np.argsort(record.boxes[:, 0], kind="stable").tolist()
    areas = area(record.boxes)
    pairs: list[tuple[int, int]] = []
    for at, i in enumerate(order):
        for j in order[at + 1 :]:
            if record.boxes[j, 0] >= record.boxes[i, 2]:
                break  # sorted by the left side: no later box can overlap
            if record.classes[i] != record.classes[j] or record.ignore[i] != record.ignore[j]:
                continue
            low = np.minimum(record.boxes[i, 2:], record.boxes[j, 2:])
            sides = np.clip(low - np.maximum(record.boxes[i, :2], record.boxes[j, :2]), 0, None)
            overlap = float(sides[0] * sides[1])
            if overlap > iou * (float(areas[i] + areas[j]) - overlap):
                pairs.append((min(i, j), max(i, j)))
    return pairs


def _name(record: ImageRecord, index: int, class_names: Sequence[str]) -> str:
    class_id = int(record.classes[index])
    return class_names[class_id] if 0 <= class_id < len(class_names) else f"class {class_id}"


def _unused_classes(dataset: Dataset) -> list[Problem]:
    used = {int(c) for record in dataset.records for c in record.classes}
    hint = "remove the name, or add photos of it"
    return [
        Problem(dataset.root, "class-without-box", f"class {i} ({name}) has no box", hint, Severity.NOTE)
        for i, name in enumerate(dataset.class_names)
        if i not in used
    ]


def _look_at_all(records: Sequence[ImageRecord], decode: bool, workers: int) -> Iterator[tuple[str, Problem | None]]:
    if not decode:
        yield from (("", None) for _ in records)
        return
    # Decoders let go of the interpreter's lock, so that threads are enough.
    with ThreadPoolExecutor(max_workers=max(1, workers)) as pool:
        yield from pool.map(_look_at, records)


def _look_at(record: ImageRecord) -> tuple[str, Problem | None]:
    """SHA-256 of the file, and what is wrong with its pixels."""
    try:
        height, width = read_image(record.path).shape[:2]
        with record.path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except DataError as error:
        return "", as_problem(record.path, "photo-broken", error)
    except OSError as error:
        return "", Problem(record.path, "photo-broken", f"cannot be read ({error.strerror})", "check its permissions")
    if (width, height) != (record.width, record.height):
        message = f"is {width} x {height} now, but was {record.width} x {record.height} when its labels were read"
        return digest, Problem(record.path, "size-mismatch", message, "read the dataset again")
    return digest, None
