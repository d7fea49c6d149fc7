from __future__ import annotations

import io
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from herder.data.records import Dataset, ImageRecord
from herder.errors import DataError
from herder.evaluation import evaluate_detector
from herder.evaluation.plots import PictureFormat
from herder.evaluation.report import render_report
from herder.evaluation.robustness.cells import chosen_cells, clean_result, run_cell
from herder.evaluation.robustness.plots import robustness_plot
from herder.evaluation.robustness.result import CLEAN, CellResult, Robustness
from herder.evaluation.robustness.sections import damage_section, robustness_sections, sections_from_json
from herder.evaluation.robustness.slices import measure_slices
from herder.inference import Detector
from herder.spec import example_spec


class Contrasty:
    """An engine that finds what is nearly white in each canvas: noise blinds it."""

    needs_nms = True
    fixed_size = None
    spec = example_spec().replace(input_size=64)

    def predict(self, canvases: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        boxes, scores = np.zeros((len(canvases), 1, 4), np.float32), np.zeros((len(canvases), 1, 1), np.float32)
        for i, canvas in enumerate(canvases):
            y, x = np.nonzero(canvas.min(axis=2) > 230)
            if len(x):
                boxes[i, 0] = x.min(), y.min(), x.max() + 1, y.max() + 1
                scores[i, 0, 0] = 0.9
        return boxes, scores


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    picture = np.full((64, 64, 3), 90, np.uint8)
    picture[8:40, 8:40] = 240
    Image.fromarray(picture).save(tmp_path / "<a>.png")
    return Dataset((ImageRecord(tmp_path / "<a>.png", 64, 64, [[8, 8, 40, 40]], [0]),), ("alpaca",), tmp_path, "val")


def row(corruption: str, severity: int, value: float) -> CellResult:
    return CellResult(corruption, severity, 1, 1, value, value / 2, (1,), (0,), (0,))


@pytest.fixture
def result() -> Robustness:
    cells = tuple(row(cell.corruption, cell.severity, 0.8 - 0.1 * cell.severity) for cell in chosen_cells([], []))
    return Robustness(row(CLEAN, 0, 0.8), cells, 0.3)


def test_the_report_has_every_number(result: Robustness, dataset: Dataset) -> None:
    sections = robustness_sections(
        result, measure_slices(dataset, evaluate_detector(Detector(Contrasty()), dataset)[1], 0.3)
    )
    assert [s.heading for s in sections] == ["Robustness", "Each corruption", "Curves", "At work", "Hard photos"]
    # Values by hand: the mean over severities 1 to 5 is 0.8 - 0.3 = 0.5, of clean 0.625.
    assert sections[0].numbers[3] == ("rPC", pytest.approx(0.625))
    assert sections[0].tables[0].rows[0] == ("15 published", "mAP50", 0.8, pytest.approx(0.5), pytest.approx(0.625))
    assert len(sections[1].tables[0].rows) == 18
    assert sections[1].tables[1].rows[0][:3] == ("gaussian noise", 0.8, pytest.approx(0.7))
    assert len(sections[1].tables[1].rows[0]) == len(sections[1].tables[1].columns) == 9
    html = render_report("Robustness", sections)
    assert "low light, occlusion, scale" in html
    assert "not computed: no labelled box is in this slice" in html


def test_gaps_and_undefined_numbers_are_words(result: Robustness) -> None:
    few = replace(result, cells=(row("fog", 1, 0.5), row("snow", 3, math.nan)))
    sections = robustness_sections(few)
    rows = sections[1].tables[0].rows
    assert rows[0][:4] == ("fog", 0.4, 0.25, "not measured")
    assert rows[1][3] == "not defined"
    assert "not computed: " in str(rows[1][4])
    assert "not computed: " in sections[0].text
    assert "nan" not in render_report("Robustness", sections).lower()
    assert [s.heading for s in robustness_sections(replace(result, cells=()))] == ["Robustness"]


@pytest.mark.parametrize("kind", PictureFormat)
def test_plot(result: Robustness, kind: PictureFormat) -> None:
    for shown in (result, replace(result, cells=result.cells[:1]), replace(result, cells=())):
        data = robustness_plot(shown, kind)
        if kind is PictureFormat.PNG:
            Image.open(io.BytesIO(data)).verify()
        else:
            assert data.startswith(b"<?xml")


def test_photos_are_shown_beside_their_corrupted_selves(dataset: Dataset) -> None:
    detector = Detector(Contrasty())
    metrics, found = evaluate_detector(detector, dataset)
    cells = tuple(run_cell(detector, dataset, cell, metrics.threshold) for cell in chosen_cells(["contrast"], [5]))
    result = Robustness(clean_result(metrics, dataset, found), cells, metrics.threshold)
    section = damage_section(result, dataset, found, detector, seed=0)
    assert [p.caption for p in section.pictures] == [
        "<a>.png, contrast 5: 0 missed and 0 false, then 1 missed and 0 false"
    ]
    with Image.open(io.BytesIO(section.pictures[0].data)) as picture:
        assert picture.width > 1.9 * picture.height
    assert "<a>" not in render_report("Robustness", [section])
    unharmed = damage_section(
        replace(result, cells=(replace(result.clean, corruption="fog", severity=1),)), dataset, found, detector, seed=0
    )
    assert unharmed.text.startswith("No corruption added")


def test_the_same_report_from_json(result: Robustness, dataset: Dataset) -> None:
    slices = measure_slices(dataset, evaluate_detector(Detector(Contrasty()), dataset)[1], 0.3)
    data = json.loads(json.dumps({**result.as_dict(), "slices": [part.as_dict() for part in slices]}))
    again, plain = sections_from_json(data, "robustness.json"), robustness_sections(result, slices)
    assert render_report("R", again) == render_report("R", plain)
    for broken in ([], {}, {**data, "slices": [{"name": "x"}]}, {**data, "slices": 3}):
        with pytest.raises(DataError, match=r"robustness\.json"):
            sections_from_json(broken, "robustness.json")
