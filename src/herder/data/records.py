"""What the data room hands on: records of labelled photos, and what was found wrong with them.

Notation: N boxes of one photo.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from herder.boxes import FloatArray, IntArray, as_boxes


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

    def __post_init__(self) -> None:
        boxes = as_boxes(self.boxes)
        object.__setattr__(self, "boxes", boxes)
        object.__setattr__(self, "classes", np.asarray(self.classes, np.int64).reshape(-1))
        ignore = np.asarray(self.ignore, np.bool_).reshape(-1)
        object.__setattr__(self, "ignore", ignore if len(ignore) else np.zeros(len(boxes), np.bool_))
        if not len(boxes) == len(self.classes) == len(self.ignore):
            counts = f"{len(boxes)} boxes, {len(self.classes)} classes and {len(self.ignore)} flags"
            raise ValueError(f"{self.path}: {counts} do not match")

    def __len__(self) -> int:
        return len(self.boxes)


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
        """SHA-256 in hex over class names and each photo's name, size, boxes (to 0.01 pixels), classes and flags.

        The folder and the order of the photos do not matter.
        """
        digest = hashlib.sha256("\n".join(self.class_names).encode())
        for record in sorted(self.records, key=lambda r: (r.path.name, len(r), r.boxes.tolist())):
            digest.update(f"{record.path.name} {record.width} {record.height}".encode())
            # Adding 0 turns the -0.0 that rounding may leave into 0.0: equal numbers must have equal bytes.
            for array in (record.boxes.round(2) + np.float32(0), record.classes, record.ignore):
                digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()
