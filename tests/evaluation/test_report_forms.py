"""A report as Markdown and JSON: written, read back, and never broken by what comes from outside."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from herder.errors import DataError, ResourceError
from herder.evaluation.report import Picture, Section, Table, Width, render_report
from herder.evaluation.report_forms import section_as_dict, section_from_dict, write_markdown

PHOTO = np.full((8, 12, 3), 200, np.uint8)
SECTION = Section(
    "Result <1>",
    "First paragraph.\n\nSecond & last.",
    numbers=[("mAP50", 0.70711), ("photos", 1234), ("AP small", math.nan)],
    facts=[("Model", "herder-n")],
    tables=[Table(("Class", "Boxes"), [("a|b [x](y)", 12), ("llama", np.int64(3))], caption="All")],
    pictures=[Picture.of(PHOTO, 'a "photo"', "shown", width=Width.THIRD)],
)


def test_markdown(tmp_path: Path) -> None:
    write_markdown(tmp_path / "my report.md", "Evaluation", [SECTION, Section("Empty")], "val")
    text = (tmp_path / "my report.md").read_text()
    lines = text.splitlines()
    assert lines[0] == "# Evaluation"
    assert "## Result &lt;1>" in lines
    assert "| mAP50 | photos | AP small |" in lines
    assert "| 0.707 | 1,234 | \N{EN DASH} |" in lines
    assert "| Class | Boxes |" in lines
    assert "| --- | ---: |" in lines
    assert r"| a\|b \[x\](y) | 12 |" in lines
    assert '![a "photo"](my%20report_pictures/001.jpg)' in lines
    assert (tmp_path / "my report_pictures" / "001.jpg").read_bytes() == SECTION.pictures[0].data
    assert lines[-1] == "## Empty"


def test_json_and_back() -> None:
    text = json.dumps(section_as_dict(SECTION), allow_nan=False)
    back = section_from_dict(json.loads(text), "x.json")
    assert render_report("T", [back]) == render_report("T", [SECTION])
    assert "data" not in section_as_dict(SECTION, pictures=False)["pictures"][0]


@pytest.mark.parametrize(
    "change",
    [
        {"tables": 3},
        {"numbers": [["a", [1]]]},
        {"pictures": [{"alt": "", "caption": "", "width": "full", "data": "%%%"}]},
        {"pictures": [{"alt": "", "caption": "", "width": "full", "data": "aGVsbG8="}]},
        {"pictures": [{"alt": "", "caption": "", "width": "wide", "data": ""}]},
    ],
)
def test_what_is_no_section(change: dict[str, object]) -> None:
    with pytest.raises(DataError, match=r"x\.json: holds no section"):
        section_from_dict({**section_as_dict(SECTION), **change}, "x.json")


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ResourceError):
        write_markdown(tmp_path / "file" / "r.md", "T", [SECTION])
