"""Open Images' group-of boxes in evaluation: a herd that hides its animals is neither to be found nor to be missed.

https://storage.googleapis.com/openimages/web/evaluation.html: detections that lie inside a group-of box of their class
by half or more (intersection over the detection's own area) do not count against the detector, however many there are;
and as with COCO's crowds, a group-of box without any is no miss. Expected numbers are counted by hand from these rules.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from herder.data.formats import Format, read_dataset, write_dataset
from herder.data.records import BoxFlags, Dataset, ImageRecord
from herder.detections import Detections
from herder.evaluation.average_precision import evaluate_detections
from herder.evaluation.matching import match
from herder.evaluation.tables import detection_table, truth_table

Maker = Callable[..., Path]

HERD = [0, 0, 400, 200]
"""An alpaca herd, labelled as one box."""
ALONE = [450, 300, 550, 400]
"""An alpaca that stands by itself."""

FOUND = {
    "alone": ([450, 300, 550, 400], 0.9, 0),
    "in the herd": ([10, 10, 60, 60], 0.8, 0),
    "also in the herd": ([100, 50, 180, 150], 0.7, 0),
    "half in it": ([350, 0, 450, 100], 0.6, 0),  # 50 of 100 columns: IoA 0.5
    "hardly in it": ([360, 0, 460, 100], 0.5, 0),  # 40 of 100: a false alarm
    "of another class": ([200, 50, 260, 110], 0.4, 1),  # a false alarm: the herd is of alpacas
}


@pytest.fixture(params=list(Format))
def photos(request: pytest.FixtureRequest, tmp_path: Path, make_photo: Maker) -> Dataset:
    """The photo as each format gives it back: evaluation sees what a file could hold."""
    record = ImageRecord(
        make_photo(tmp_path / "a.jpg", (640, 480)), 640, 480, [HERD, ALONE], [0, 0],
        [True, False], flags=BoxFlags(group_of=[1, 0]),
    )  # fmt: skip
    write_dataset(Dataset((record,), ("alpaca", "llama")), tmp_path / "out", request.param)
    return read_dataset(tmp_path / "out")


def detections(*names: str) -> Detections:
    boxes, scores, classes = zip(*(FOUND[name] for name in names), strict=True) if names else ((), (), ())
    return Detections(np.array(boxes).reshape(-1, 4), np.array(scores), np.array(classes, np.int64))


def test_what_each_detection_counts_as(photos: Dataset) -> None:
    assert photos[0].flags.group_of.tolist() == [1, 0]
    assert photos[0].ignore.tolist() == [True, False]
    matches = match(truth_table(photos.records), detection_table([detections(*FOUND)]))
    assert dict(zip(FOUND, matches.hits.tolist(), strict=True)) == {name: name == "alone" for name in FOUND}
    assert [name for name, ignored in zip(FOUND, matches.ignored.tolist(), strict=True) if ignored] == [
        "in the herd", "also in the herd", "half in it",
    ]  # fmt: skip


def test_animals_found_in_a_herd_cost_nothing(photos: Dataset) -> None:
    names = ["alone", "in the herd", "also in the herd", "half in it"]
    metrics = evaluate_detections([detections(*names)], photos.records, photos.class_names)
    assert metrics.map50 == pytest.approx(1)
    assert (metrics.precision, metrics.recall) == (1.0, 1.0)


def test_a_herd_that_nobody_found_is_no_miss(photos: Dataset) -> None:
    metrics = evaluate_detections([detections("alone")], photos.records, photos.class_names)
    assert (metrics.map50, metrics.recall) == pytest.approx((1, 1))


def test_the_herd_hides_no_other_mistake(photos: Dataset) -> None:
    """A detection beside the herd is a false alarm, and the animal that stands alone a miss."""
    metrics = evaluate_detections([detections("hardly in it")], photos.records, photos.class_names)
    assert (metrics.map50, metrics.recall) == (0.0, 0.0)


def test_without_the_mark_the_same_photo_is_judged_harder(photos: Dataset) -> None:
    """What the mark is for: taken as one animal, the herd is missed and each animal found in it a false alarm."""
    record = photos[0]
    plain = ImageRecord(record.path, record.width, record.height, record.boxes, record.classes)
    found = [detections("alone", "in the herd", "also in the herd")]
    matches = match(truth_table([plain]), detection_table(found))
    assert (matches.hits.tolist(), matches.ignored.any()) == ([True, False, False], False)
    # Of two animals one is found, at precision 1: the mean over the 101 recalls of COCO is 51 / 101.
    assert evaluate_detections(found, [plain], photos.class_names).map50 == pytest.approx(51 / 101)
