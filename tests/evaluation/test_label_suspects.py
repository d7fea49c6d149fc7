"""Suspect labels: each kind drawn by hand, thresholds by arithmetic, and what must not be suspect."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from herder.boxes import FloatArray
from herder.data.records import Dataset, ImageRecord
from herder.detections import Detections
from herder.drawing import TRUTH
from herder.evaluation.label_suspects import Confidence, Suspect, SuspectKind, find_suspects, support
from herder.evaluation.suspect_sections import draw_suspect, suspect_grid, suspect_sections

NAMES = ("alpaca", "goat")
SURE = Confidence((0.6, 0.6), (0.1, 0.5, 0.8), 0.9)

Rows = list[list[float]]


def record(boxes: Rows, classes: list[int] | None = None, ignore: list[bool] | None = None) -> ImageRecord:
    return ImageRecord(
        Path("a.jpg"),
        400,
        300,
        np.array(boxes, np.float32),
        np.array(classes or [0] * len(boxes)),
        np.array(ignore or []),
    )


def found(*rows: tuple[list[float], float] | tuple[list[float], float, int]) -> Detections:
    """Boxes with scores, best first, and perhaps a class."""
    return Detections(
        np.array([row[0] for row in rows], np.float32).reshape(-1, 4),
        np.array([row[1] for row in rows]),
        np.array([row[2] if len(row) > 2 else 0 for row in rows]),  # type: ignore[misc]
        NAMES,
    )


def suspects(one: ImageRecord, detections: Detections) -> list[Suspect]:
    return find_suspects([one], [detections], SURE)


def kinds(one: ImageRecord, detections: Detections) -> list[tuple[str, float]]:
    return [(suspect.kind.value, round(suspect.suspicion, 4)) for suspect in suspects(one, detections)]


BIG = [100.0, 100, 200, 200]


def test_what_agrees_is_not_suspect() -> None:
    assert kinds(record([BIG]), found((BIG, 0.9))) == []
    assert kinds(record([]), found()) == []
    assert kinds(record([BIG]), found((BIG, 0.9), ([105, 100, 205, 200], 0.7))) == []  # found twice
    assert kinds(record([]), found((BIG, 0.59))) == []  # not sure enough


def test_a_sure_find_without_a_label_is_a_missing_animal() -> None:
    (one,) = suspects(record([[0, 0, 50, 50]]), found((BIG, 0.9), ([0, 0, 50, 50], 0.8)))
    assert (one.kind, one.label, one.class_id) == (SuspectKind.MISSING, None, 0)
    assert one.suspicion == pytest.approx(0.9)
    assert one.found.boxes.tolist() == [BIG]
    assert len(one.labelled) == 0


def test_a_find_beside_a_label_that_has_one_is_less_suspicious() -> None:
    """[150, 250] beside [100, 200]: 50 of 150 pixels in common, IoU 1 / 3."""
    assert kinds(record([BIG]), found((BIG, 0.9), ([150, 100, 250, 200], 0.75))) == [
        ("missing", round(0.75 * (1 - 1 / 3), 4))
    ]


def test_a_label_that_nothing_supports_by_its_size() -> None:
    """The margin to what boxes of that size usually get: 0.8 for large ones, 0.1 for small ones."""
    assert kinds(record([BIG]), found()) == [("unsupported", 0.8)]
    assert kinds(record([BIG]), found((BIG, 0.05))) == [("unsupported", 0.75)]
    assert kinds(record([BIG]), found((BIG, 0.11))) == []  # 1 - 0.11 < 0.9: the background is not surer
    assert kinds(record([[0, 0, 20, 20]]), found()) == [("unsupported", 0.1)]
    assert kinds(record([[0, 0, 32, 32]]), found()) == [("unsupported", 0.5)]  # COCO's medium begins at 32 x 32
    assert kinds(record([[0, 0, 96, 96]]), found()) == [("unsupported", 0.8)]


def test_a_label_that_fits_poorly() -> None:
    """[100, 200] and [160, 260]: 40 of 160, IoU 0.25."""
    (one,) = suspects(record([BIG]), found(([160, 100, 260, 200], 0.8)))
    assert (one.kind, one.label) == (SuspectKind.MISPLACED, 0)
    assert one.suspicion == pytest.approx(0.8 * 0.75)


def test_one_label_over_a_herd() -> None:
    herd = [0.0, 0, 300, 100]
    animals = found(([0, 0, 100, 100], 0.9), ([100, 0, 200, 100], 0.8), ([200, 0, 300, 100], 0.7))
    (one,) = suspects(record([herd]), animals)
    assert (one.kind, one.label) == (SuspectKind.HERD, 0)
    assert one.suspicion == pytest.approx((0.9 + 0.8) / 2)
    assert len(one.found) == 3
    # One animal in it is a box that fits poorly; and with a sure find of the whole it is two animals in one another.
    assert kinds(record([herd]), animals[:1]) == [("misplaced", round(0.9 * (1 - 1 / 3), 4))]
    young = found((herd, 0.95), ([0, 0, 100, 100], 0.9))
    assert kinds(record([herd]), young) == [("missing", round(0.9 * (1 - 1 / 3), 4))]


def test_another_class_than_labelled() -> None:
    (one,) = suspects(record([BIG], [1]), found((BIG, 0.9, 0), (BIG, 0.2, 1)))
    assert (one.kind, one.label, one.class_id) == (SuspectKind.CLASS, 0, 0)
    assert one.suspicion == pytest.approx(0.7)
    assert kinds(record([BIG], [1]), found((BIG, 0.9, 0), (BIG, 0.8, 1))) == []  # surely found as labelled, too


def test_ignored_labels_and_what_lies_on_them_are_left_alone() -> None:
    herd = record([[0, 0, 300, 300]], ignore=[True])
    assert kinds(herd, found((BIG, 0.9))) == []
    assert kinds(herd, found()) == []
    assert kinds(herd, found(([280, 0, 380, 100], 0.9))) == [("missing", 0.9)]  # a fifth of it lies on the herd


def test_each_label_takes_one_find() -> None:
    two = record([BIG, [140, 100, 240, 200]])
    assert kinds(two, found((BIG, 0.9), ([140, 100, 240, 200], 0.8))) == []


def test_the_most_suspicious_comes_first_over_all_photos() -> None:
    records = [record([]), record([BIG]), record([])]
    list_ = find_suspects(records, [found((BIG, 0.7)), found(), found((BIG, 0.95))], SURE)
    assert [(s.photo, s.kind.value) for s in list_] == [(2, "missing"), (1, "unsupported"), (0, "missing")]


def test_confidence_is_the_mean_over_boxes_of_the_class() -> None:
    """Labels: alpaca 0.8 (large), alpaca not found (small): mean 0.4. Background: 1 - 0.1 and 1 - 0.3."""
    one = record([BIG, [0, 0, 10, 10]])
    detections = found((BIG, 0.8), ([300, 200, 390, 290], 0.3), ([0, 200, 90, 290], 0.1))
    confidence = Confidence.of([one], [detections], 2)
    assert confidence.classes == pytest.approx((0.4, 1.0))
    assert confidence.sizes == pytest.approx((0.0, 0.0, 0.8))
    assert confidence.background == pytest.approx(0.8)
    nothing = Confidence.of([record([])], [found()], 1)
    assert (nothing.classes, nothing.sizes, nothing.background) == ((1.0,), (0.0, 0.0, 0.0), 1.0)


def test_support_counts_the_class_and_the_fit() -> None:
    one = record([BIG, BIG], [0, 1])
    assert support(found((BIG, 0.7, 1), ([150, 100, 250, 200], 0.9, 0)), one).tolist() == pytest.approx([0, 0.7])
    assert support(found(), one).tolist() == [0, 0]
    assert support(found((BIG, 0.7)), record([])).shape == (0,)


def test_pictures_and_report(tmp_path: Path, make_photo) -> None:  # type: ignore[no-untyped-def]
    path = make_photo(tmp_path / "a.jpg", size=(400, 300))
    records = (
        ImageRecord(path, 400, 300, np.array([BIG], np.float32), np.array([0])),
        ImageRecord(tmp_path / "gone.jpg", 400, 300, np.array([BIG], np.float32), np.array([0])),
    )
    dataset = Dataset(records, NAMES, tmp_path)
    list_ = find_suspects(records, [found(([250, 10, 350, 90], 0.9)), found()], SURE)
    assert {s.kind.value for s in list_} == {"missing", "unsupported"}
    missing = [s for s in list_ if s.kind is SuspectKind.MISSING]
    grid = suspect_grid(dataset, missing)
    assert grid is not None
    assert suspect_grid(dataset, []) is None
    assert suspect_grid(dataset, [s for s in list_ if s.photo == 1]) is None  # that photo is gone
    sections = suspect_sections(dataset, list_, SURE, {SuspectKind.MISSING: grid})
    assert [section.heading for section in sections] == ["What looks wrong", "Missing", "All of them"]
    assert sections[0].numbers[1] == ("suspect labels", 3)
    assert [section.heading for section in suspect_sections(dataset, [], SURE, {})] == ["What looks wrong"]
    labels: FloatArray = records[0].boxes
    drawn = draw_suspect(np.zeros((300, 400, 3), np.uint8), missing[0], labels)
    assert (drawn == np.array(TRUTH, np.uint8)).all(axis=2).any()  # the other label is seen, too
