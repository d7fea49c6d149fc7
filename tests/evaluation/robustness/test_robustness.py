from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from herder.errors import DataError
from herder.evaluation.not_computed import NotComputed
from herder.evaluation.robustness.result import CLEAN, CellResult, Robustness, most_damaged


def cell(
    corruption: str, severity: int, value: float, errors: tuple[int, ...] = (0, 0, 0), **changes: Any
) -> CellResult:
    """A cell of three photos with two labelled boxes each; ``errors`` are misses, and as many false alarms."""
    hits = tuple(2 - n for n in errors)
    row = CellResult(corruption, severity, 3, 6, value, value / 2, hits, errors, errors)
    return replace(row, **changes)


@pytest.fixture
def result() -> Robustness:
    cells = (
        cell("fog", 5, 0.2, (0, 2, 1)),
        cell("fog", 1, 0.6),
        cell("snow", 1, 0.4),
        cell("snow", 5, 0.0, (1, 2, 2)),
        cell("scale", 5, 0.4),
    )
    return Robustness(cell(CLEAN, 0, 0.8, (0, 1, 0)), cells, 0.3)


def test_mpc_and_rpc_are_those_of_the_paper(result: Robustness) -> None:
    # By hand: fog (0.2 + 0.6) / 2 = 0.4, snow 0.2, so mPC = 0.3 and rPC = 0.3 / 0.8; scale stands apart.
    assert result.published == ("fog", "snow")
    assert result.own == ("scale",)
    assert result.performance("mAP50", result.published) == pytest.approx(0.3)
    assert result.relative("mAP50", result.published) == pytest.approx(0.375)
    assert result.relative("mAP50_95", result.published) == pytest.approx(0.375)
    assert result.relative("mAP50", result.own) == pytest.approx(0.5)
    assert [c.severity for c in result.of("fog")] == [1, 5]
    assert result.severities == (1, 5)


def test_corruptions_of_unequal_severities_weigh_the_same(result: Robustness) -> None:
    fewer = replace(result, cells=result.cells[1:])  # fog at severity 1 alone: the mean of 0.6 and 0.2
    assert fewer.performance("mAP50", fewer.published) == pytest.approx(0.4)


def test_precision_and_recall_at_the_clean_threshold() -> None:
    row = cell("fog", 5, 0.2, (0, 2, 1))
    assert (row.recall, row.precision) == (0.5, 0.5)
    blind = replace(row, hits=(0, 0, 0), misses=(2, 2, 2), false_alarms=(0, 0, 0))
    assert blind.recall == 0
    assert math.isnan(blind.precision)


def test_what_cannot_be_computed_says_why(result: Robustness) -> None:
    assert result.performance("mAP50", ()) == NotComputed("none of these corruptions was measured")
    empty = replace(result, cells=(cell("fog", 1, math.nan), cell("snow", 1, 0.4)))
    value = empty.relative("mAP50", empty.published)
    assert isinstance(value, NotComputed)
    assert "under fog no labelled box counts" in str(value)
    blind = replace(result.cells[0], hits=(0, 0, 0), false_alarms=(0, 0, 0))
    assert "no detection" in str(replace(result, cells=(blind,)).performance("precision", ("fog",)))
    for clean, words in ((0.0, "is 0"), (math.nan, "is not defined")):
        assert words in str(replace(result, clean=cell(CLEAN, 0, clean)).relative("mAP50", ("fog",)))


def test_json_and_back(result: Robustness) -> None:
    undefined = replace(result, cells=(*result.cells, cell("frost", 1, math.nan)))
    text = json.dumps(undefined.as_dict(), allow_nan=False)
    back = Robustness.from_dict(json.loads(text), "robustness.json")
    assert json.dumps(back.as_dict()) == text
    summary = json.loads(text)["summary"]
    assert summary["published"]["mPC_mAP50"]["value"] is None
    assert "frost" in summary["published"]["mPC_mAP50"]["reason"]
    assert summary["own"]["rPC_mAP50"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    "change", [{"map50": "x"}, {"hits": [1]}, {"photos": None}, {"misses": 3}, {"severity": "low"}]
)
def test_a_broken_row_is_an_error_that_names_its_file(result: Robustness, change: dict[str, Any]) -> None:
    row = result.cells[0].as_dict()
    with pytest.raises(DataError, match=r"fog-5\.json"):
        CellResult.from_dict({**row, **change}, "fog-5.json")
    del row["truths"]
    with pytest.raises(DataError, match=r"fog-5\.json"):
        CellResult.from_dict(row, "fog-5.json")


def test_other_json_is_no_result() -> None:
    for data in ({}, {"cells": 3}, {"cells": [], "clean": None, "threshold": 0.5}):
        with pytest.raises(DataError, match=r"r\.json"):
            Robustness.from_dict(data, "r.json")


def test_photos_that_suffered_most(result: Robustness) -> None:
    # Snow costs most and ruins photo 2 (2 misses, 2 false alarms, none when clean); of fog, photo 1 gained two errors,
    # photo 2 is shown already.
    assert [(row.corruption, photo) for row, photo in most_damaged(result, 6)] == [("snow", 2), ("fog", 1)]
    assert [(row.corruption, photo) for row, photo in most_damaged(result, 1)] == [("snow", 2)]
    assert most_damaged(replace(result, cells=()), 6) == []
