"""What changed between two versions of a dataset: photos, boxes, classes, and what is said of them.

Photos go together when they have the same name, whatever the folder; where several have one name, those of the same
bytes first, then those that are left in order; then, under whatever name, those of the same bytes. Boxes of one class
are paired by overlap, best first: an equal box is unchanged, one that overlaps by ``MOVED`` or more has moved, and one
of another class that does was relabelled. Classes are compared by name: a new order of ids is no change of a box.

Notation: N and M boxes of one photo, before and after.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from herder.boxes import iou_matrix
from herder.data.records import Dataset, ImageRecord
from herder.errors import DataError

MOVED = 0.5
"""Boxes that overlap by this IoU and more are the same animal, drawn anew."""

SAME_PIXELS = 0.005
"""Pixels by which corners may differ and the box be the same: half of what the fingerprint sees."""


@dataclass(frozen=True)
class BoxChanges:
    """How many boxes of a photo, or of a dataset, changed and how."""

    same: int = 0
    moved: int = 0
    relabelled: int = 0
    added: int = 0
    removed: int = 0
    ignore: int = 0
    """Boxes, of those above, whose ``ignore`` is another now."""
    flags: int = 0
    """Boxes, of those above, of which something else is known now."""

    def __add__(self, other: BoxChanges) -> BoxChanges:
        return BoxChanges(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @property
    def any(self) -> bool:
        """Whether anything changed."""
        return self != BoxChanges(same=self.same)


@dataclass(frozen=True)
class PhotoChange:
    """One photo that is in both and is not the same."""

    name: str
    pixels: bool
    """Whether its file has other bytes."""
    size: bool
    renamed: str
    """Its name now, where that is another."""
    split: tuple[str, str] | None
    """The split it was in and the one it is in, where they differ."""
    details: tuple[str, ...]
    """Which of licence, group and source (such as ``source.author``) changed."""
    boxes: BoxChanges

    def __str__(self) -> str:
        said = [word for word, true in (("other file", self.pixels), ("other size", self.size)) if true]
        said += [f"{count} {kind}" for kind, count in asdict(self.boxes).items() if count and kind != "same"]
        said += [f"now {self.renamed}"] if self.renamed else []
        said += [f"from {self.split[0] or 'no split'} to {self.split[1] or 'no split'}"] if self.split else []
        return f"{self.name}: {', '.join([*said, *self.details])}"

    @property
    def any(self) -> bool:
        """Whether anything changed."""
        return bool(self.pixels or self.size or self.renamed or self.split or self.details or self.boxes.any)


@dataclass(frozen=True)
class ClassChange:
    """The boxes of one class before and after; None where there is no such class."""

    name: str
    before: int | None
    after: int | None


@dataclass(frozen=True)
class DatasetDiff:
    """All that differs between two datasets, each taken as a whole."""

    before: str
    """Fingerprint."""
    after: str
    photos: tuple[int, int]
    """How many there were and are."""
    added: tuple[str, ...]
    """Names of photos that are only in the second."""
    removed: tuple[str, ...]
    changed: tuple[PhotoChange, ...]
    boxes: BoxChanges
    """Of all photos; the boxes of added and removed photos count as added and removed."""
    classes: tuple[ClassChange, ...]
    renumbered: bool
    """Whether a class has another id."""

    @property
    def same(self) -> bool:
        """Whether nothing differs, neither what training sees nor what is said of a photo."""
        return not (self.added or self.removed or self.changed or self.renumbered) and self.before == self.after

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain values for JSON."""
        return {"same": self.same, **asdict(self)}


def diff_datasets(before: Sequence[Dataset], after: Sequence[Dataset], *, pixels: bool = True) -> DatasetDiff:
    """Compare two datasets, each given as its splits with the same class names, as ``read_splits`` has them.

    With ``pixels`` photos are compared byte by byte, without by name and size alone.
    Raises DataError naming a photo that cannot be read.
    """
    was, now = ({id(record): part.split for part in parts for record in part} for parts in (before, after))
    old, new = _whole(before), _whole(after)
    pairs, removed, added = _pair_photos(old, new, pixels)
    changes = [_compare(a, b, old, new, (was[id(a)], now[id(b)]), pixels) for a, b in pairs]
    boxes = sum((change.boxes for change in changes), BoxChanges())
    boxes += BoxChanges(added=sum(map(len, added)), removed=sum(map(len, removed)))
    here, there = _class_boxes(old), _class_boxes(new)
    return DatasetDiff(
        old.fingerprint(),
        new.fingerprint(),
        (len(old), len(new)),
        tuple(sorted(record.path.name for record in added)),
        tuple(sorted(record.path.name for record in removed)),
        tuple(change for change in changes if change.any),
        boxes,
        tuple(ClassChange(name, here.get(name), there.get(name)) for name in dict.fromkeys([*here, *there])),
        any(old.class_names.index(name) != new.class_names.index(name) for name in here if name in there),
    )


def _whole(parts: Sequence[Dataset]) -> Dataset:
    return replace(parts[0], records=tuple(record for part in parts for record in part), split="")


def _class_boxes(dataset: Dataset) -> dict[str, int]:
    counts = Counter(c for record in dataset for c in record.classes.tolist())
    return {name: counts[i] for i, name in enumerate(dataset.class_names)}


Records = list[ImageRecord]


def _pair_photos(
    before: Dataset, after: Dataset, pixels: bool
) -> tuple[list[tuple[ImageRecord, ImageRecord]], Records, Records]:
    """Photos that are in both, those that are only in the first, and those that are only in the second."""
    old, new = _by_name(before), _by_name(after)
    pairs: list[tuple[ImageRecord, ImageRecord]] = []
    removed: Records = []
    added: Records = []
    for name in sorted(old.keys() | new.keys()):
        first, second = old.get(name, []), new.get(name, [])
        if pixels and len(first) + len(second) > 2:
            twins = list(_same_files(first, second))
            pairs += twins
            first, second = _without(first, [a for a, _ in twins]), _without(second, [b for _, b in twins])
        count = min(len(first), len(second))
        pairs += zip(first[:count], second[:count], strict=True)
        removed += first[count:]
        added += second[count:]
    twins = list(_same_files(removed, added)) if pixels and removed and added else []
    return (
        pairs + twins,
        _without(removed, [a for a, _ in twins]),
        _without(added, [b for _, b in twins]),
    )


def _without(records: Records, others: Records) -> Records:
    gone = set(map(id, others))
    return [record for record in records if id(record) not in gone]


def _by_name(dataset: Dataset) -> dict[str, Records]:
    found: dict[str, Records] = defaultdict(list)
    for record in dataset:
        found[record.path.name].append(record)
    return found


def _same_files(first: Records, second: Records) -> Iterator[tuple[ImageRecord, ImageRecord]]:
    """Pairs of the same bytes; only files of a size that both have are read."""
    sizes = [{_bytes(record.path) for record in records} for records in (first, second)]
    common = sizes[0] & sizes[1]
    waiting: dict[str, Records] = defaultdict(list)
    for record in second:
        if _bytes(record.path) in common:
            waiting[_digest(record.path)].append(record)
    for record in first:
        if _bytes(record.path) in common and (found := waiting[_digest(record.path)]):
            yield record, found.pop(0)


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise _unreadable(path, error) from None


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(f"{path}: cannot be read ({error.strerror})", hint="compare names and labels alone: --no-pixels")


def _compare(
    a: ImageRecord, b: ImageRecord, old: Dataset, new: Dataset, splits: tuple[str, str], pixels: bool
) -> PhotoChange:
    details = [name for name in ("licence", "group") if getattr(a, name) != getattr(b, name)]
    details += [f"source.{f.name}" for f in fields(a.source) if getattr(a.source, f.name) != getattr(b.source, f.name)]
    return PhotoChange(
        a.path.name,
        pixels and _other_file(a.path, b.path),
        (a.width, a.height) != (b.width, b.height),
        b.path.name if b.path.name != a.path.name else "",
        splits if splits[0] != splits[1] else None,
        tuple(details),
        compare_boxes(a, b, old.class_names, new.class_names),
    )


def _other_file(a: Path, b: Path) -> bool:
    if _bytes(a) != _bytes(b):
        return True
    return not a.samefile(b) and _digest(a) != _digest(b)


def compare_boxes(a: ImageRecord, b: ImageRecord, old_names: Sequence[str], new_names: Sequence[str]) -> BoxChanges:
    """How the boxes of a photo changed from ``a`` to ``b``."""
    iou = iou_matrix(a.boxes, b.boxes)  # (N, M)
    corner = np.abs(a.boxes[:, None] - b.boxes[None]).max(axis=2, initial=0)  # (N, M) pixels
    of_class = {name: i for i, name in enumerate(new_names)}
    classes = np.array([of_class.get(old_names[c], -1) for c in a.classes.tolist()], np.int64)  # (N,)
    alike = classes[:, None] == b.classes[None]  # (N, M)
    equal = corner <= SAME_PIXELS
    rows, columns = np.nonzero(equal | (iou >= MOVED))
    # First equal boxes of one class, then those of one class that overlap best, then those of another class.
    order = np.lexsort((columns, rows, -iou[rows, columns], ~equal[rows, columns], ~alike[rows, columns]))
    old, new = np.zeros(len(a), np.bool_), np.zeros(len(b), np.bool_)
    counts: Counter[str] = Counter()
    flags, more = a.flags.table(), b.flags.table()
    for i, j in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if old[i] or new[j]:
            continue
        old[i] = new[j] = True
        counts["relabelled" if not alike[i, j] else "same" if equal[i, j] else "moved"] += 1
        counts["ignore"] += bool(a.ignore[i] != b.ignore[j])
        counts["flags"] += bool((flags[i] != more[j]).any())
    return BoxChanges(**counts, added=int((~new).sum()), removed=int((~old).sum()))
