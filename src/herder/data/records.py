"""What the data room hands on: records of labelled photos, and what was found wrong with them.

Notation: N boxes of one photo.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from herder.boxes import FloatArray, IntArray, as_boxes

FlagArray = NDArray[np.int8]

UNKNOWN = -1
"""A flag that nobody has looked at."""

_NOT_TEXT = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")
"""Control characters, line ends, halves of characters: what XML or UTF-8 cannot hold, or a table would break at."""


def one_line(text: str) -> str:
    """The text of one line that every label format can hold, without blanks at its ends.

    >>> one_line("A herd\\nin the snow ")
    'A herd in the snow'
    """
    return _NOT_TEXT.sub(" ", text).strip()


class Severity(Enum):
    """How much a finding matters."""

    NOTE = "note"
    """Kept as it is; the owner may want to know."""
    SET_ASIDE = "set aside"
    """The photo or box is left out; everything else goes on."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong with one file: where, what, and what to do."""

    path: Path
    reason: str
    """A short fixed key, such as ``box-outside``, to count by."""
    message: str
    """What is wrong, with the line or field."""
    hint: str = ""
    """What to do."""
    severity: Severity = Severity.SET_ASIDE

    def __str__(self) -> str:
        text = f"{self.path}: {self.message}"
        return f"{text} ({self.hint})" if self.hint else text


@dataclass(frozen=True)
class PhotoSource:
    """Where a photo comes from and who took it, as its licence asks to be told: a line of text each, "" not known."""

    url: str = ""
    """The address of the photo itself."""
    page: str = ""
    """The page that shows and describes it."""
    author: str = ""
    title: str = ""
    licence_url: str = ""
    """The address of the licence's text, where the licence is given by its name."""

    def __post_init__(self) -> None:
        for f in fields(self):
            object.__setattr__(self, f.name, one_line(getattr(self, f.name)))

    def __bool__(self) -> bool:
        """Whether anything is known."""
        return self != PhotoSource()


@dataclass(frozen=True, eq=False)
class BoxFlags:
    """What annotators said of each box: (N,) int8 each, 1 yes, 0 no, -1 not known. Given nothing, nothing is known.

    Source: Open Images V7, https://storage.googleapis.com/openimages/web/factsfigures_v7.html, whose columns IsOccluded
    and so on these are. Training and evaluation go by ``ImageRecord.ignore`` alone; the flags tell why.

    >>> BoxFlags(group_of=[0, 1]).occluded.tolist()
    [-1, -1]
    """

    occluded: FlagArray = field(default_factory=lambda: np.zeros(0, np.int8))
    """Something stands before the animal."""
    truncated: FlagArray = field(default_factory=lambda: np.zeros(0, np.int8))
    """The animal goes on past the border of the photo."""
    group_of: FlagArray = field(default_factory=lambda: np.zeros(0, np.int8))
    """One box around more than five animals that hide each other."""
    depiction: FlagArray = field(default_factory=lambda: np.zeros(0, np.int8))
    """A drawing, a toy or a statue, not a living animal."""
    inside: FlagArray = field(default_factory=lambda: np.zeros(0, np.int8))
    """The photo was taken inside of what the box holds, such as a car."""

    def __post_init__(self) -> None:
        given = {f.name: np.asarray(getattr(self, f.name)).reshape(-1) for f in fields(self)}
        count = max(map(len, given.values()))
        for name, values in given.items():
            if len(values) not in (0, count):
                raise ValueError(f"flags: {len(values)} of {name}, but {count} of another")
            # Whole numbers are the rule, and are compared cheaply: large datasets have a million of these.
            whole = values.dtype.kind in "biu" and (not len(values) or UNKNOWN <= values.min() <= values.max() <= 1)
            if not whole and not np.isin(values, (UNKNOWN, 0, 1)).all():
                raise ValueError(f"flags: {name} holds {np.setdiff1d(values, (UNKNOWN, 0, 1))[0]}, wanted 1, 0 or -1")
            flags = values.astype(np.int8) if len(values) else np.full(count, UNKNOWN, np.int8)
            object.__setattr__(self, name, flags)

    def __len__(self) -> int:
        return len(self.occluded)

    @classmethod
    def unknown(cls, count: int) -> BoxFlags:
        """The flags of ``count`` boxes of which nothing is known."""
        return cls(np.full(count, UNKNOWN, np.int8))

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """What is asked of each box, in order: the fields of this class."""
        return tuple(f.name for f in fields(cls))

    @property
    def known(self) -> bool:
        """Whether anything is known of any box."""
        return bool((self.table() != UNKNOWN).any())

    def table(self) -> FlagArray:
        """All flags as one array (N, 5), its columns in the order of ``names``."""
        return np.stack([getattr(self, name) for name in self.names()], axis=1)

    def select(self, chosen: IntArray | NDArray[np.bool_]) -> BoxFlags:
        """The flags of the chosen boxes: indices (M,), or a mask (N,)."""
        return BoxFlags(*(getattr(self, name)[chosen] for name in self.names()))


@dataclass(frozen=True, eq=False)
class ImageRecord:
    """One photo and its boxes; ``width`` and ``height`` in pixels are those of the upright photo.

    ``boxes`` (N, 4) xyxy pixels, ``classes`` (N,), ``ignore`` (N,) True where a box covers a herd or is a COCO crowd:
    neither a hit nor a miss counts there.
    """

    path: Path
    width: int
    height: int
    boxes: FloatArray
    classes: IntArray
    ignore: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    licence: str = ""
    group: str = ""
    """Photos of one group (one camera, one farm, one burst) never come into different splits."""
    source: PhotoSource = field(default_factory=PhotoSource)
    flags: BoxFlags = field(default_factory=BoxFlags)
    """What more is known of each box; never used for training or evaluation."""

    def __post_init__(self) -> None:
        boxes = as_boxes(self.boxes)
        object.__setattr__(self, "boxes", boxes)
        object.__setattr__(self, "classes", np.asarray(self.classes, np.int64).reshape(-1))
        ignore = np.asarray(self.ignore, np.bool_).reshape(-1)
        object.__setattr__(self, "ignore", ignore if len(ignore) else np.zeros(len(boxes), np.bool_))
        object.__setattr__(self, "licence", one_line(self.licence))
        object.__setattr__(self, "group", one_line(self.group))
        object.__setattr__(self, "flags", self.flags if len(self.flags) else BoxFlags.unknown(len(boxes)))
        if not len(boxes) == len(self.classes) == len(self.ignore) == len(self.flags):
            counts = f"{len(boxes)} boxes, {len(self.classes)} classes, {len(self.ignore)} marks to ignore"
            raise ValueError(f"{self.path}: {counts} and {len(self.flags)} flags do not match")

    def __len__(self) -> int:
        return len(self.boxes)

    def select(self, chosen: IntArray | NDArray[np.bool_]) -> ImageRecord:
        """The record with these boxes alone: indices (M,), or a mask (N,)."""
        return replace(
            self,
            boxes=self.boxes[chosen],
            classes=self.classes[chosen],
            ignore=self.ignore[chosen],
            flags=self.flags.select(chosen),
        )


@dataclass(frozen=True, eq=False)
class Dataset:
    """Records of one split, the class names their ids point to, and what was set aside on the way."""

    records: tuple[ImageRecord, ...]
    class_names: tuple[str, ...]
    root: Path = Path()
    split: str = ""
    problems: tuple[Problem, ...] = ()

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[ImageRecord]:
        return iter(self.records)

    def __getitem__(self, index: int) -> ImageRecord:
        return self.records[index]

    def select(self, indices: Sequence[int], split: str = "") -> Dataset:
        """Return the dataset of these records, in this order."""
        return replace(self, records=tuple(self.records[i] for i in indices), split=split or self.split)

    def fingerprint(self) -> str:
        """SHA-256 in hex over class names and each photo's name, size, boxes (to 0.01 pixels), classes and ``ignore``.

        That is all that training and evaluation see. The folder and the order of the photos do not matter, nor do
        licence, source, group and ``flags``: ``herder.data.diff`` compares those too.
        """
        digest = hashlib.sha256("\n".join(self.class_names).encode())
        for record in sorted(self.records, key=lambda r: (r.path.name, len(r), r.boxes.tolist())):
            digest.update(f"{record.path.name} {record.width} {record.height}".encode())
            # Adding 0 turns the -0.0 that rounding may leave into 0.0: equal numbers must have equal bytes.
            for array in (record.boxes.round(2) + np.float32(0), record.classes, record.ignore):
                digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()
