"""The pages of the lessons: code as it stands in the source, figures that are there, names of lessons that exist."""

import importlib.util
import re
import textwrap
from pathlib import Path

import pytest

from herder.lessons.course import LESSONS

PAGES = Path(__file__).parents[2] / "docs" / "lessons"

EXCERPT = re.compile(r"<!-- code: ([\w.]+) -->\n```python\n(.*?)\n```", re.DOTALL)


def source_of(name: str) -> str:
    """The source of the module that a dotted name begins with."""
    parts = name.split(".")
    while len(parts) > 1:
        spec = importlib.util.find_spec(".".join(parts[:3])) if len(parts) >= 3 else None
        if spec is not None and spec.origin is not None:
            return Path(spec.origin).read_text()
        parts.pop()
    raise AssertionError(f"{name} names no module")


@pytest.mark.parametrize("lesson", [lesson.name for lesson in LESSONS])
def test_a_page_shows_the_code_as_it_is(lesson: str) -> None:
    page = (PAGES / f"{lesson}.md").read_text()
    excerpts = EXCERPT.findall(page)
    assert excerpts
    assert page.count("```python") == len(excerpts)  # none without its source
    for name, code in excerpts:
        source = source_of(name)
        depths = [textwrap.indent(code, " " * depth, lambda line: bool(line.strip())) for depth in (0, 4, 8, 12)]
        assert any(f"\n{text}\n" in source for text in depths), f"{lesson}.md: the code of {name} has changed"


@pytest.mark.parametrize("lesson", [lesson.name for lesson in LESSONS])
def test_a_page_has_its_command_figure_numbers_and_exercises(lesson: str) -> None:
    page = (PAGES / f"{lesson}.md").read_text()
    assert f"    herder learn {lesson}\n" in page
    figures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page)
    assert figures
    assert all((PAGES / figure).is_file() for figure in figures)
    numbers = page.partition("<!-- numbers -->")[2].partition("<!-- end of numbers -->")[0]
    assert numbers.count("|") > 10
    assert len(re.findall(r"^\d\. ", page, re.MULTILINE)) >= 3


def test_the_index_lists_every_lesson() -> None:
    index = (PAGES / "index.md").read_text()
    assert re.findall(r"\| \[([\w-]+)\]\(\1\.md\)", index) == [lesson.name for lesson in LESSONS]
