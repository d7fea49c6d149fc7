from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from herder.data.records import Dataset, ImageRecord
from herder.errors import DataError
from herder.evaluation.calibration import Reliability, reliability_bins
from herder.evaluation.calibration_sections import sections_from_json
from herder.evaluation.error_breakdown import break_down
from herder.evaluation.error_kinds import ErrorExample
from herder.evaluation.error_plots import breakdown_plot, reliability_plot
from herder.evaluation.error_sections import breakdown_section, draw_example
from herder.evaluation.not_computed import NotComputed
from herder.evaluation.plots import PictureFormat
from herder.evaluation.report import render_report
from herder.evaluation.tables import DetectionTable, truth_table


def seen(*rows: tuple[int, int, float]) -> DetectionTable:
    """Rows of photo, class and score, all with the box 5, 5 to 30, 30."""
    photos, classes = (np.array([r[i] for r in rows], np.int64) for i in (0, 1))
    boxes = np.tile([5.0, 5, 25, 25], (len(rows), 1))
    return DetectionTable(photos, classes, boxes, np.array([r[2] for r in rows], float))


def reliability(scores: list[float], hits: list[bool]) -> Reliability:
    bins = reliability_bins(np.array(scores), np.array(hits))
    return Reliability(len(scores), sum(hits), bins, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, NotComputed("few"), 0.1, 0.1)


def test_section_with_examples(tmp_path: Path, make_photo: Callable[..., Path]) -> None:
    paths = [make_photo(tmp_path / f"{i}.jpg", seed=i) for i in range(2)]
    box = [[5.0, 5, 30, 30]]
    records = (ImageRecord(paths[0], 64, 48, box, [0]), ImageRecord(paths[1], 64, 48, box, [0]))
    dataset = Dataset(records, ("alpaca", "lama & co"), tmp_path, "val")
    breakdown = break_down(truth_table(records), seen((0, 1, 0.9)), 2, dataset.class_names, 0.5)
    section = breakdown_section(breakdown, dataset)
    assert [row[0] for row in section.tables[0].rows][:2] == ["classification", "localisation"]
    captions = [picture.caption for picture in section.pictures[1:]]
    assert captions == ["classification, 0.jpg: alpaca called lama & co", "missed, 1.jpg"]
    assert "one class" not in section.text
    assert "lama &amp; co" in render_report("Errors", [section])
    paths[0].unlink()  # a photo that has gone is no reason to lose the report
    assert len(breakdown_section(breakdown, dataset).pictures) == 2


def test_one_class_and_nothing_labelled_are_said() -> None:
    breakdown = break_down(truth_table([]), seen((0, 0, 0.9)), 1, ["alpaca"], 0.5)
    section = breakdown_section(breakdown)
    assert "no classification and no both errors" in section.text
    assert not section.pictures
    assert section.tables[0].rows[4][2] == "not computed: no labelled box counts"


@pytest.mark.parametrize("box", [(0, 0, 1, 1), (60, 40, 64, 48), (-5, -5, 90, 90), (10, 10, 10, 10)])
def test_examples_at_the_border_and_without_area(box: tuple[float, ...]) -> None:
    photo = np.zeros((48, 64, 3), np.uint8)
    drawn = draw_example(photo, ErrorExample(0, box, 0.5, "alpaca", box, "alpaca"))
    assert max(drawn.shape[:2]) == 360
    assert drawn.any()


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (400, 1)])
def test_examples_of_tiny_photos(size: tuple[int, int]) -> None:
    photo = np.zeros((*size, 3), np.uint8)
    assert draw_example(photo, ErrorExample(0, None, None, "", (0, 0, 1, 1), "alpaca")).dtype == np.uint8


def test_plots() -> None:
    breakdown = break_down(truth_table([]), seen((0, 0, 0.9), (0, 0, 0.8)), 1, ["alpaca"], 0.5)
    text = breakdown_plot(breakdown).decode()
    assert "background" in text
    one = reliability([0.9], [True])
    both = reliability_plot(one, reliability([0.2, 0.8], [False, True])).decode()
    assert "as it is, D-ECE 0.100" in both
    assert "calibrated, D-ECE 0.100" in both
    alone = reliability_plot(one).decode()
    assert "as it is" not in alone
    assert reliability_plot(one, kind=PictureFormat.PNG).startswith(b"\x89PNG")


def test_a_file_of_something_else() -> None:
    with pytest.raises(DataError, match=r"x\.json: calibration cannot be read"):
        sections_from_json({}, "x.json")
    with pytest.raises(DataError, match="herder calibrate"):
        sections_from_json({"calibration": {"photos": 3}}, "x.json")
