"""Boxes that cannot be used, boxes that look like slips, and classes out of balance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from herder.data.quality.box_checks import check_boxes, check_classes
from herder.data.quality.config import QualityConfig
from herder.data.records import Dataset, ImageRecord, Severity

NAMES = ("alpaca", "llama")


def record(boxes: list[list[float]], classes: list[int] | None = None, ignore: list[bool] | None = None) -> ImageRecord:
    return ImageRecord(
        Path("a.jpg"), 200, 100, np.array(boxes, np.float32).reshape(-1, 4), classes or [0] * len(boxes), ignore or []
    )


def test_no_boxes_and_good_ones() -> None:
    found = check_boxes(record([]), NAMES)
    assert found.problems == ()
    assert found.usable.tolist() == []
    found = check_boxes(record([[0, 0, 100, 100], [50, 20, 200.5, 100.5]], [0, 1]), NAMES)  # half a pixel is rounding
    assert found.problems == ()
    assert found.usable.tolist() == [True, True]


@pytest.mark.parametrize(
    ("box", "class_id", "reason"),
    [
        ([np.nan, 0, 10, 10], 0, "not-finite"),
        ([0, 0, np.inf, 10], 0, "not-finite"),
        ([10, 10, 5, 20], 0, "zero-area"),
        ([10, 20, 20, 10], 0, "zero-area"),
        ([10, 10, 10, 20], 0, "zero-area"),
        ([-5, 0, 10, 10], 0, "box-outside"),
        ([0, 0, 10, 102], 0, "box-outside"),
        ([300, 10, 310, 20], 0, "box-outside"),
        ([0, 0, 10, 10], 2, "class-out-of-range"),
        ([0, 0, 10, 10], -1, "class-out-of-range"),
        ([20, 20, 60, 60], 0, "duplicate-box"),
    ],
)
def test_useless_boxes(box: list[float], class_id: int, reason: str) -> None:
    found = check_boxes(record([[20, 20, 60, 60], box], [0, class_id]), NAMES)
    (problem,) = found.problems
    assert (problem.reason, problem.severity) == (reason, Severity.SET_ASIDE)
    assert problem.message.startswith("box 2 (")
    assert found.usable.tolist() == [True, False]


def test_the_same_box_of_another_class_or_to_be_ignored() -> None:
    box = [20.0, 20, 60, 60]
    assert check_boxes(record([box, box], [0, 1]), NAMES).problems == ()
    assert check_boxes(record([box, box], [0, 0], [True, False]), NAMES).problems == ()
    assert check_boxes(record([box, box, box]), NAMES).usable.tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("box", "reason", "said"),
    [
        ([10, 10, 12, 60], "tiny-box", "2 x 50 pixels"),
        ([0, 10, 190, 18], "extreme-aspect", "24 to 1"),
        ([10, 0, 14, 100], "extreme-aspect", "25 to 1"),
        ([0, 0, 200, 96], "whole-photo-box", "covers 96% of the photo"),
    ],
)
def test_slips_are_notes(box: list[float], reason: str, said: str) -> None:
    found = check_boxes(record([box]), NAMES)
    (problem,) = found.problems
    assert (problem.reason, problem.severity) == (reason, Severity.NOTE)
    assert said in problem.message
    assert found.usable.all()
    lax = QualityConfig(min_box_side=0, max_aspect=0, whole_photo=0)
    assert check_boxes(record([box]), NAMES, lax).problems == ()


def test_twins() -> None:
    boxes = [[20, 20, 60, 60], [20, 20, 60, 61], [20, 20, 60, 70], [120, 20, 160, 60]]  # overlaps 40/41, 40/50
    (problem,) = check_boxes(record(boxes), NAMES).problems
    assert problem.reason == "twin-boxes"
    assert problem.message.startswith("boxes 1 and 2 (alpaca)")
    assert check_boxes(record(boxes[:2], [0, 1]), NAMES).problems == ()


def test_classes() -> None:
    many = record([[i, 0, i + 10, 10] for i in range(150)])
    one = record([[0, 0, 10, 10]], [1])
    notes = check_classes(Dataset((many, one), (*NAMES, "ghost")))
    assert [(n.reason, n.severity) for n in notes] == [
        ("class-imbalance", Severity.NOTE), ("class-without-box", Severity.NOTE),
    ]  # fmt: skip
    assert "class 1 (llama) has 1 boxes, class 0 (alpaca) has 150" in notes[0].message
    assert check_classes(Dataset((many, one), NAMES), QualityConfig(max_imbalance=150)) == []
    assert check_classes(Dataset((), ())) == []
