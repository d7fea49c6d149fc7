from __future__ import annotations

import math
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from herder.errors import MissingExtraError, ResourceError
from herder.evaluation.report import Picture, Section, Table, render_report, write_report


class Page(HTMLParser):
    """Tags that are open and close, and what they point to."""

    VOID = ("meta", "img", "br")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


PHOTO = np.full((8, 12, 3), 200, np.uint8)
SECTIONS = [
    Section(
        "Result <1>",
        "First paragraph.\n\nSecond & last.",
        numbers=[("mAP50", 0.70711), ("photos", 1234), ("AP small", math.nan)],
        facts=[("Model", "herder-n")],
        tables=[Table(("Class", "Boxes"), [("<script>alert(1)</script>", 12)], caption="All")],
        pictures=[Picture.of(PHOTO, 'a "photo"', "shown")],
    ),
    Section("Empty", tables=[Table(("A", "B"), [])]),
]


def test_the_page_stands_alone() -> None:
    html = render_report("Evaluation", SECTIONS)
    page = Page(html)
    assert "script" not in page.tags
    assert "link" not in page.tags
    assert len(page.links) == 1
    assert all(link.startswith("data:image/jpeg;base64,") for link in page.links)
    assert not re.search(r"https?://|url\(|@import", html)


def test_what_comes_from_outside_is_escaped() -> None:
    html = render_report("<b>", SECTIONS, "a & b")
    assert "<title>&lt;b&gt;</title>" in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert 'alt="a &#34;photo&#34;"' in html
    assert "a &amp; b" in html


def test_numbers_are_written_for_people_and_right_aligned() -> None:
    html = render_report("x", SECTIONS)
    for text in (
        ">0.707<",
        ">1,234<",
        ">\N{EN DASH}<",
        '<td class="number">12</td>',
        '<th scope="col" class="number">Boxes</th>',
    ):
        assert text in html
    assert "<p>First paragraph.</p>" in html
    assert "<p>Second &amp; last.</p>" in html


def test_a_picture_must_be_one() -> None:
    assert Picture(b"\x89PNG...", "p").uri.startswith("data:image/png")
    assert Picture(b"<?xml version='1.0'?><svg/>", "p").uri.startswith("data:image/svg+xml")
    with pytest.raises(ValueError, match="neither PNG, JPEG nor SVG"):
        render_report("x", [Section("s", pictures=[Picture(b"GIF89a", "p")])])


def test_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "out" / "report.html"
    write_report(path, "Evaluation", SECTIONS)
    assert path.read_text("utf-8") == render_report("Evaluation", SECTIONS)
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]
    with pytest.raises(ResourceError, match=r"report\.html"):
        write_report(path / "below a file", "x", [])


def test_a_name_that_is_no_unicode_is_still_written(tmp_path: Path) -> None:
    write_report(tmp_path / "r.html", "x", [Section("caf\udce9.jpg")])
    assert "caf?.jpg" in (tmp_path / "r.html").read_text("utf-8")


def test_without_jinja(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtraError, match=r"herder\[train\]"):
        render_report("x", [])
