"""Detections: what a detector says about one photo."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from herder.boxes import BoxFormat, FloatArray, IntArray, as_boxes, convert


@dataclass(frozen=True, eq=False)
class Detections:
    """The animals found in one photo.

    ``boxes`` (N, 4) xyxy in pixels of the upright photo, ``scores`` (N,) in 0..1, best first, ``classes`` (N,) ids into
    ``class_names``. Raises ValueError when the lengths differ.

    >>> found = Detections([[1, 2, 5, 9]], [0.9], [0], ("alpaca",))
    >>> len(found), found.names
    (1, ['alpaca'])
    """

    boxes: FloatArray
    scores: FloatArray
    classes: IntArray
    class_names: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        object.__setattr__(self, "boxes", as_boxes(self.boxes))
        object.__setattr__(self, "scores", np.asarray(self.scores, np.float32).reshape(-1))
        object.__setattr__(self, "classes", np.asarray(self.classes, np.int64).reshape(-1))
        lengths = len(self.boxes), len(self.scores), len(self.classes)
        if len(set(lengths)) != 1:
            boxes, scores, classes = lengths
            raise ValueError(f"detections: {boxes} boxes, {scores} scores and {classes} classes do not match")

    @classmethod
    def empty(cls, class_names: tuple[str, ...] = ()) -> Detections:
        """Nothing found."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64), class_names)

    def __len__(self) -> int:
        return len(self.scores)

    def __iter__(self) -> Iterator[tuple[FloatArray, float, int]]:
        """Box (4,), score and class id of each animal."""
        for box, score, index in zip(self.boxes, self.scores, self.classes, strict=True):
            yield box, float(score), int(index)

    def __getitem__(self, index: Any) -> Detections:
        """Pick rows by a number, a slice, a boolean mask (N,) or an array of indices; always Detections again."""
        if isinstance(index, (int, np.integer)):
            index = [index]
        return Detections(self.boxes[index], self.scores[index], self.classes[index], self.class_names)

    @property
    def names(self) -> list[str]:
        """The class name of each animal; the id as text where no names are known."""
        return [self.class_names[c] if 0 <= c < len(self.class_names) else str(c) for c in self.classes.tolist()]

    def above(self, score: float) -> Detections:
        """Only what has at least this score."""
        return self[self.scores >= score]

    def to_coco(self, file_name: str) -> list[dict[str, Any]]:
        """One dict an animal: ``file_name, category, bbox: [x, y, w, h]`` in pixels, ``score``.

        >>> Detections([[1, 2, 5, 9]], [0.5], [0], ("alpaca",)).to_coco("a.jpg")
        [{'file_name': 'a.jpg', 'category': 'alpaca', 'bbox': [1.0, 2.0, 4.0, 7.0], 'score': 0.5}]
        """
        xywh = convert(self.boxes, BoxFormat.XYXY, BoxFormat.XYWH)
        return [
            {
                "file_name": file_name,
                "category": name,
                "bbox": [round(float(v), 3) for v in box],
                "score": round(float(score), 5),
            }
            for box, score, name in zip(xywh, self.scores, self.names, strict=True)
        ]

    @classmethod
    def from_coco(cls, rows: list[dict[str, Any]], class_names: tuple[str, ...]) -> Detections:
        """The reverse of ``to_coco`` for the rows of one photo. Raises ValueError for a category that is not known."""
        unknown = sorted({row["category"] for row in rows} - set(class_names))
        if unknown:
            raise ValueError(f"detections: unknown categories {unknown}, known are {list(class_names)}")
        rows = sorted(rows, key=lambda row: -row["score"])
        return cls(
            as_boxes(convert([row["bbox"] for row in rows], BoxFormat.XYWH, BoxFormat.XYXY)),
            np.array([row["score"] for row in rows], np.float32),
            np.array([class_names.index(row["category"]) for row in rows], np.int64),
            class_names,
        )

    def to_supervision(self) -> dict[str, Any]:
        """Keyword arguments for ``supervision.Detections(**...)``, for those who draw or track with that library."""
        return {
            "xyxy": self.boxes,
            "confidence": self.scores,
            "class_id": self.classes,
            "data": {"class_name": np.array(self.names)},
        }
