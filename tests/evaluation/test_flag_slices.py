"""AP by flag: counted by hand, and against COCO's own way with boxes that do not count, its areas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from herder.data.records import BoxFlags, ImageRecord
from herder.detections import Detections
from herder.evaluation.average_precision import evaluate_detections
from herder.evaluation.flag_slices import FlagSlice, flag_slices
from herder.evaluation.not_computed import NotComputed
from herder.evaluation.rules_sections import flag_section

NEAR, FAR, HERD = [0, 0, 50, 50], [100, 100, 150, 150], [200, 200, 400, 400]


def photo(boxes: Any, ignore: Any = None, **flags: list[int]) -> ImageRecord:
    count = len(boxes)
    return ImageRecord(Path("a.jpg"), 640, 480, boxes, [0] * count, ignore or [False] * count, flags=BoxFlags(**flags))


def found(*boxes: list[int]) -> Detections:
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4), [0.9 - 0.1 * i for i in range(len(boxes))], [0] * len(boxes)
    )


def by_name(slices: list[FlagSlice]) -> dict[str, FlagSlice]:
    return {part.name: part for part in slices}


def test_counted_by_hand() -> None:
    record = photo([NEAR, FAR, HERD], [False, False, True], occluded=[1, 0, 0], group_of=[0, 0, 1])
    slices = by_name(flag_slices([record], [found(FAR, [500, 400, 520, 420], [210, 210, 300, 300])], 1, 0.75))
    hidden, seen = slices["occluded"], slices["not occluded"]
    assert (hidden.truths, hidden.recall, hidden.map50) == (1, 0.0, 0.0)
    # The herd is no box to be found, and what lies in it no false alarm.
    assert (seen.truths, seen.recall, seen.map50) == (1, 1.0, pytest.approx(1.0))
    group = slices["group of animals"]
    # Found at rank 2: the hit on FAR does not count here, the false alarm does. Its score of 0.7 is below 0.75.
    assert (group.photos, group.truths, group.recall, group.map50) == (1, 1, 0.0, pytest.approx(0.5))
    assert group.map50_95 == NotComputed("a group is found at one overlap")
    for name in ("truncated", "not truncated"):
        assert slices[name].map50 == NotComputed("no box has this flag")
        assert slices[name].as_dict()["reason"] == "no box has this flag"
        assert slices[name].as_dict()["map50"] is None
    assert seen.as_dict()["map50"] == pytest.approx(1.0)


def test_agrees_with_cocos_area_ranges() -> None:
    """Small boxes, flagged: the slice is COCO's AP of small boxes where no false alarm is of another size."""
    rng = np.random.default_rng(0)
    records, detections = [], []
    for _ in range(20):
        corner = rng.uniform(0, 300, (6, 2)).round()
        sides = np.where(np.arange(6)[:, None] < 3, rng.integers(10, 30, (6, 2)), rng.integers(50, 90, (6, 2)))
        boxes = np.concatenate([corner, corner + sides], axis=1)
        area = sides.prod(axis=1)
        records.append(photo(boxes, occluded=(area <= 32**2).astype(int).tolist()))
        # Small detections only: COCO ignores unmatched ones of another size, a flag has none.
        seen = boxes[:3] + rng.integers(-3, 3, (3, 4))
        detections.append(Detections(seen.astype(np.float32), rng.permutation(3) / 3 + 0.1, [0, 0, 0]))
    metrics = evaluate_detections(detections, records, ("alpaca",))
    slices = by_name(flag_slices(records, detections, 1, 0.0))
    assert slices["occluded"].map50_95 == pytest.approx(metrics.ap_small, abs=1e-9)


def test_reasons() -> None:
    all_hidden = by_name(flag_slices([photo([NEAR], occluded=[1])], [found(NEAR)], 1, 0.5))
    assert all_hidden["not occluded"].map50 == NotComputed("no box is not occluded")
    ignored = by_name(flag_slices([photo([NEAR], [True], truncated=[1])], [found(NEAR)], 1, 0.5))
    assert ignored["truncated"].map50 == NotComputed("all these boxes are to be ignored")
    assert by_name(flag_slices([], [], 0, 0.5))["occluded"].map50 == NotComputed("no box has this flag")
    nothing_found = by_name(flag_slices([photo([NEAR], occluded=[1])], [found()], 1, 0.5))
    assert nothing_found["occluded"].map50 == 0.0


def test_the_section() -> None:
    section = flag_section(flag_slices([photo([NEAR], occluded=[1])], [found(NEAR)], 1, 0.5))
    table = section.tables[0]
    assert [row[0] for row in table.rows][:2] == ["occluded", "not occluded"]
    assert "not computed: no box is not occluded" in table.rows[1]
    assert all(len(row) == len(table.columns) for row in table.rows)


def test_a_dataset_without_flags_gets_one_sentence() -> None:
    section = flag_section(flag_slices([photo([NEAR])], [found(NEAR)], 1, 0.5))
    assert section.text == "Not computed: no box has this flag: occluded, truncated, or a group."
    assert not section.tables
