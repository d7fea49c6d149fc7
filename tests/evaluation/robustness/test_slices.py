from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from herder.data.records import BoxFlags, Dataset, ImageRecord
from herder.detections import Detections
from herder.errors import DataError
from herder.evaluation.not_computed import NotComputed
from herder.evaluation.robustness.slices import SliceResult, covered_share, mean_luma, measure_slices, occluded

NAMES = ("alpaca",)


def record(path: Path, boxes: list[list[float]], value: int = 128, **changes: object) -> ImageRecord:
    Image.fromarray(np.full((400, 400, 3), value, np.uint8)).save(path)
    return ImageRecord(path, 400, 400, boxes, [0] * len(boxes), **changes)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """A dark photo with one animal; a bright one with two that overlap, a small one, and a herd that does not count."""
    dark = record(tmp_path / "dark.png", [[0, 0, 100, 100]], 20)
    bright = record(
        tmp_path / "bright.png",
        [[0, 0, 100, 100], [80, 0, 180, 100], [300, 300, 330, 330], [200, 200, 390, 290]],
        ignore=[False, False, False, True],
    )
    return Dataset((dark, bright), NAMES, tmp_path, "val")


def found(*boxes: list[float]) -> Detections:
    return Detections(boxes, [0.9] * len(boxes), [0] * len(boxes), NAMES)


def by_name(dataset: Dataset, *detections: Detections) -> dict[str, SliceResult]:
    return {part.name: part for part in measure_slices(dataset, detections, 0.5)}


def test_each_slice_counts_its_own_boxes(dataset: Dataset) -> None:
    slices = by_name(dataset, found(), found([0, 0, 100, 100], [300, 300, 330, 330]))
    counts = {name: (part.photos, part.truths) for name, part in slices.items()}
    assert counts == {
        "low light": (1, 1),
        "brighter photos": (1, 3),
        "occluded": (1, 2),
        "not occluded": (2, 2),
        "small": (1, 1),
        "not small": (2, 3),
        "small in the picture": (1, 1),
        "larger in the picture": (2, 3),
    }
    recall = {name: part.recall for name, part in slices.items()}
    assert recall["low light"] == 0
    assert recall["brighter photos"] == pytest.approx(2 / 3)
    assert (recall["occluded"], recall["not occluded"]) == (0.5, 0.5)
    assert (recall["small"], recall["not small"]) == (1, pytest.approx(1 / 3))
    # Other boxes are ignored: of the small one nothing is missed and nothing false.
    assert slices["small"].map50_95 == pytest.approx(1)
    assert slices["low light"].map50 == 0


def test_an_alarm_in_a_bright_photo_is_none_in_the_dark(dataset: Dataset) -> None:
    slices = by_name(dataset, found([0, 0, 100, 100]), found([350, 0, 400, 50]))
    assert slices["low light"].map50 == pytest.approx(1)
    assert slices["brighter photos"].map50 == 0


def test_recall_is_at_the_threshold(dataset: Dataset) -> None:
    weak = Detections([[0, 0, 100, 100]], [0.4], [0], NAMES)
    slices = by_name(dataset, weak, found())
    assert slices["low light"].recall == 0
    assert slices["low light"].map50 == pytest.approx(1)


def test_an_empty_slice_says_so(tmp_path: Path) -> None:
    data = Dataset((record(tmp_path / "a.png", []),), NAMES, tmp_path, "val")
    slices = by_name(data, found([0, 0, 9, 9]))
    assert {str(part.map50) for part in slices.values()} == {"not computed: no labelled box is in this slice"}
    row = slices["small"].as_dict()
    assert json.loads(json.dumps(row, allow_nan=False))["reason"] == "no labelled box is in this slice"
    assert SliceResult.from_dict(row) == slices["small"]
    assert isinstance(SliceResult.from_dict(row).recall, NotComputed)


def test_a_slice_comes_back_from_json(dataset: Dataset) -> None:
    for part in by_name(dataset, found(), found([0, 0, 100, 100])).values():
        assert SliceResult.from_dict(json.loads(json.dumps(part.as_dict()))) == part


def test_a_photo_that_cannot_be_read(dataset: Dataset) -> None:
    dataset[0].path.unlink()
    with pytest.raises(DataError, match="no such file"):
        measure_slices(dataset, [found(), found()], 0.5)


def test_luma_weighs_green_most() -> None:
    # ITU-R BT.601: 0.299, 0.587 and 0.114 of 255.
    for channel, expected in enumerate((76.245, 149.685, 29.07)):
        photo = np.zeros((3, 5, 3), np.uint8)
        photo[..., channel] = 255
        assert mean_luma(photo) == pytest.approx(expected)


def test_occlusion_by_flag_before_overlap(tmp_path: Path) -> None:
    boxes = [[0, 0, 100, 100], [90, 0, 190, 100], [91, 0, 191, 100], [300, 0, 400, 100]]
    plain = record(tmp_path / "a.png", boxes[:2] + boxes[3:])
    np.testing.assert_allclose(covered_share(plain), [0.1, 0.1, 0])
    assert occluded(plain).tolist() == [True, True, False]
    flags = BoxFlags(occluded=[0, -1, 1])
    assert occluded(record(tmp_path / "b.png", boxes[:2] + boxes[3:], flags=flags)).tolist() == [False, True, True]
    for few in ([], boxes[:1]):
        assert covered_share(record(tmp_path / "c.png", few)).tolist() == [0.0] * len(few)
