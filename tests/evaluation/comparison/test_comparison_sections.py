"""The report of a comparison, from a result written by hand."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from herder.data.records import Dataset, ImageRecord
from herder.errors import DataError
from herder.evaluation.comparison.cells import photo_cells, seed_cells
from herder.evaluation.comparison.pictures import gain_section
from herder.evaluation.comparison.plots import difference_plot, seed_plot
from herder.evaluation.comparison.result import (
    METRICS,
    Comparison,
    PhotoGain,
    PhotoRow,
    PhotoTable,
    SeedRow,
    SeedTable,
    SideFacts,
    Verdict,
)
from herder.evaluation.comparison.sections import comparison_sections, sections_from_json
from herder.evaluation.not_computed import NotComputed
from herder.evaluation.report import render_report
from herder.evaluation.tables import DetectionTable

FEW = NotComputed("one model a side")


def photo_row(metric: str) -> PhotoRow:
    needed = ((0.1, 42.0), (0.01, NotComputed("the draws do not differ")))
    return PhotoRow(metric, 0.3, 0.5, 0.2, (0.1, 0.3), "BCa", 0.9999, 0.0004, 0.0012, needed, (0.1, 0.2, 0.3), (3, 4))


def seed_row(metric: str) -> SeedRow:
    facts = (("mean", 0.31), ("skewness", NotComputed("needs 3 values")))
    return SeedRow(
        metric, (0.3, 0.32), (0.5, 0.55), facts, facts, "Welch's t", 0.2, (0.1, 0.3), 0.03, 0.04, 2.5, FEW, 3.0,
        "B is better.", ((0.1, 4.0),),
    )  # fmt: skip


@pytest.fixture
def result() -> Comparison:
    gains = (PhotoGain("a.png", 3.0, 0.0), PhotoGain("b.png", 0.0, 1.0))
    photos = PhotoTable(20, 7, 100, tuple(photo_row(m) for m in METRICS), gains)
    seeds = SeedTable("seed", tuple(seed_row(m) for m in METRICS))
    sides = (
        SideFacts(n, ((f"{n}-0", "best.safetensors", "ab" * 32), (f"{n}-1", "best.safetensors", ""))) for n in "ab"
    )
    verdict = Verdict("better", 0.01, "mAP50_95", True, "the interval lies above 0.01")
    return Comparison(*sides, "mAP50_95", 0.95, 0, photos, seeds, "B wins.", verdict, ("Note this.",))


def test_the_page_says_all_of_it(result: Comparison) -> None:
    html = render_report("Comparison", comparison_sections(result))
    for text in (
        "Gate passed: the interval lies above 0.01",
        "B wins.",
        "Note this.",
        "Over 20 photos in 7 groups, 100 draws",
        "+0.100 to +0.300",
        "&gt; 99.9 %",
        "&lt; 0.001",
        "not computed: the draws do not differ",
        "not computed: needs 3 values",
        "Means over 2 and 2 trained models, in pairs by seed",
        "SHA-256 abababababab",
        "a.png",
    ):
        assert text in html, text
    assert re.search(r"\bnan\b", html, re.IGNORECASE) is None


def test_from_json_the_same_sections(result: Comparison) -> None:
    content = json.loads(json.dumps({"kind": "comparison", **result.as_dict()}, allow_nan=False))
    assert Comparison.from_dict(content, "x.json") == result
    assert render_report("t", sections_from_json(content, "x.json")) == render_report("t", comparison_sections(result))
    del content["photos"]
    with pytest.raises(DataError, match=r"x.json: is no result of `herder compare`: photos is missing"):
        sections_from_json(content, "x.json")


def test_views_that_have_nothing_say_why(result: Comparison) -> None:
    bare = replace(result, photos=NotComputed("no photos"), seeds=FEW, verdict=None)
    assert len(comparison_sections(bare)) == 1
    html = render_report("t", comparison_sections(bare))
    assert "Over photos not computed: no photos." in html
    assert "one model a side" in html
    assert photo_cells(bare)[2] == seed_cells(bare)[2] == []
    section = gain_section(bare, None, *(DetectionTable(*(np.zeros(s) for s in (0, 0, (0, 4), 0))),) * 2, [])
    assert "no photos to draw" in section.text


def test_rows_without_a_number(result: Comparison) -> None:
    none = NotComputed("no box is labelled")
    row = PhotoRow("F1", none, none, none, none, "none", none, none, none, ())
    table = PhotoTable(2, 2, 100, (row,))
    html = render_report("t", comparison_sections(replace(result, photos=table)))
    assert html.count("not computed: no box is labelled") >= 4
    assert difference_plot(table).startswith(b"<?xml")
    assert seed_plot(SeedTable("", ())).startswith(b"<?xml")


def test_photos_side_by_side(result: Comparison, tmp_path: Path) -> None:
    assert isinstance(result.photos, PhotoTable)
    records = []
    for name in ("a.png", "b.png"):
        Image.fromarray(np.full((40, 60, 3), 90, np.uint8)).save(tmp_path / name)
        records.append(ImageRecord(tmp_path / name, 60, 40, [[5, 5, 30, 30]], [0]))
    dataset = Dataset(tuple(records), ("alpaca",))
    found = DetectionTable(np.array([0]), np.array([0]), np.array([[5.0, 5, 25, 25]]), np.array([0.9]))
    section = gain_section(result, dataset, found, found, [0, 1])
    assert [p.caption for p in section.pictures] == [
        "a.png: B gained; 3 errors of A (left), 0 of B (right)",
        "b.png: B lost; 0 errors of A (left), 1 of B (right)",
    ]
    (tmp_path / "a.png").unlink()  # taken away since
    assert len(gain_section(result, dataset, found, found, [0, 1]).pictures) == 1
    (tmp_path / "b.png").unlink()
    assert not gain_section(result, dataset, found, found, [0, 1]).pictures
