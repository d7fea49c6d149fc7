from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from herder.data.records import Dataset, ImageRecord, Problem
from herder.detections import Detections
from herder.evaluation import evaluate_detections
from herder.evaluation.report import render_report
from herder.evaluation.sections import (
    FALSE_ALARM,
    HIT,
    MISS,
    metric_sections,
    model_section,
    problem_section,
    worst_section,
)
from herder.evaluation.tables import detection_table, truth_table
from herder.spec import example_spec

NAMES = ("alpaca", "llama")


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    records = []
    for name, boxes in (
        ("good.png", [[100, 100, 300, 300]]),
        ("bad.png", [[100, 100, 300, 300], [600, 400, 900, 700]]),
    ):
        Image.new("RGB", (1000, 800)).save(tmp_path / name)
        records.append(ImageRecord(tmp_path / name, 1000, 800, boxes, [0] * len(boxes)))
    return Dataset(tuple(records), NAMES, tmp_path, "val")


@pytest.fixture
def detections() -> list[Detections]:
    """The second photo: one hit, one miss, one false alarm."""
    good = Detections([[100, 100, 300, 300]], [0.9], [0], NAMES)
    return [good, Detections([[100, 100, 300, 300], [50, 500, 350, 750]], [0.8, 0.7], [0, 0], NAMES)]


def test_the_worst_photo_is_drawn_with_what_went_wrong(dataset: Dataset, detections: list[Detections]) -> None:
    section = worst_section(dataset, detections, threshold=0.5)
    assert [picture.caption for picture in section.pictures] == ["bad.png: 1 missed, 1 false"]
    with Image.open(io.BytesIO(section.pictures[0].data)) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    assert pixels.shape[:2] == (384, 480)
    for colour, box in ((HIT, (100, 100, 300, 300)), (MISS, (600, 400, 900, 700)), (FALSE_ALARM, (50, 500, 350, 750))):
        near = (np.abs(pixels - colour).sum(axis=2) < 80).nonzero()  # JPEG keeps colours roughly
        expected = np.array(box) * 0.48
        corners = np.array([near[1].min(), near[0].min(), near[1].max(), near[0].max()])
        assert np.abs(corners[2:] - expected[2:]).max() < 12
        assert abs(corners[0] - expected[0]) < 12  # the label may stand above the box


def test_no_errors_no_pictures(dataset: Dataset, detections: list[Detections]) -> None:
    section = worst_section(dataset.select([0]), detections[:1], threshold=0.5)
    assert not section.pictures
    assert "In no photo" in section.text


def test_a_photo_that_is_gone_is_left_out(dataset: Dataset, detections: list[Detections]) -> None:
    dataset[1].path.unlink()
    assert not worst_section(dataset, detections, threshold=0.5).pictures


def test_the_whole_page(dataset: Dataset, detections: list[Detections]) -> None:
    metrics = evaluate_detections(detections, dataset.records, NAMES)
    truth, found = truth_table(dataset.records), detection_table(detections)
    problem = Problem(Path("c.jpg"), "unreadable", "the photo is damaged", "copy it again")
    html = render_report(
        "Evaluation",
        [
            *metric_sections(metrics, truth, found, NAMES),
            model_section(example_spec(), [("Speed", "5 ms")]),
            problem_section([problem] * 60),
        ],
    )
    assert "2 photos with 3 labelled boxes" in html
    assert "2 of these are found, 1 are missed, and 0 detections are false alarms" in html
    assert html.count("<figure") == 3
    for text in ("tiny", "320 pixels", "5 ms", "the photo is damaged", "60 findings", "The first 50 are listed."):
        assert text in html
