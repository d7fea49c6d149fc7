"""One HTML file that shows a result: no script, no network, nothing beside it.

Pictures travel inside as data URIs, and everything that comes from outside is escaped by the template.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from herder.errors import MissingExtraError
from herder.files import write_atomic

TEMPLATE = Path(__file__).with_name("report.html")

_MIME = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"<?xml": "image/svg+xml", b"<svg": "image/svg+xml"}


class Width(Enum):
    """The share of the page that a picture takes; a phone shows each on a line of its own."""

    FULL = "full"
    """Scrolls sideways on a phone, so that its letters stay readable."""
    HALF = "half"
    THIRD = "third"


@dataclass(frozen=True, eq=False)
class Picture:
    """A plot or a photo: the bytes of a PNG, JPEG or SVG file, what it shows in words, and a caption."""

    data: bytes
    alt: str
    caption: str = ""
    width: Width = Width.HALF

    @classmethod
    def of(cls, rgb: NDArray[np.uint8], alt: str, caption: str = "", *, width: Width = Width.FULL) -> Picture:
        """Pack an RGB array (H, W, 3) uint8 as JPEG."""
        out = io.BytesIO()
        Image.fromarray(rgb).save(out, "JPEG", quality=88)
        return cls(out.getvalue(), alt, caption, width)

    @property
    def uri(self) -> str:
        """The picture as a data URI. Raises ValueError when the bytes are not a PNG, JPEG or SVG file."""
        for start, mime in _MIME.items():
            if self.data.startswith(start):
                return f"data:{mime};base64,{base64.b64encode(self.data).decode()}"
        raise ValueError(f"picture {self.alt!r}: the bytes are neither PNG, JPEG nor SVG")


@dataclass(frozen=True)
class Table:
    """Column names and rows. Numbers stand right-aligned: ints as they are, floats with three digits, NaN as a dash."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str | int | float]]
    caption: str = ""

    def cells(self) -> list[list[tuple[str, bool]]]:
        """Rows of cells as text, each with True where it is a number."""
        return [[(number_text(value), not isinstance(value, str)) for value in row] for row in self.rows]

    def numeric(self) -> list[bool]:
        """For each column whether its head stands over numbers."""
        return [bool(self.rows) and not isinstance(self.rows[0][i], str) for i in range(len(self.columns))]


@dataclass(frozen=True)
class Section:
    """One part of a report, from top to bottom: heading, text, the big numbers, facts, tables, pictures."""

    heading: str
    text: str = ""
    """Paragraphs, separated by an empty line."""
    numbers: Sequence[tuple[str, str | int | float]] = ()
    """A few results to be seen first: label and value."""
    facts: Sequence[tuple[str, str]] = ()
    """Name and value, one a line."""
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()

    @property
    def paragraphs(self) -> list[str]:
        """The text, cut at empty lines."""
        return [part.strip() for part in self.text.split("\n\n") if part.strip()]


def render_report(title: str, sections: Sequence[Section], subtitle: str = "") -> str:
    """The HTML of a report. Raises MissingExtraError when Jinja2 is not installed."""
    try:
        import jinja2
    except ImportError:
        raise MissingExtraError("the report", "train") from None
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(TEMPLATE.read_text("utf-8"))
    return template.render(title=title, subtitle=subtitle, sections=sections, as_text=number_text)


def write_report(path: Path, title: str, sections: Sequence[Section], subtitle: str = "") -> None:
    """Write a report as one HTML file, all at once.

    Raises MissingExtraError when Jinja2 is not installed, ResourceError when the place cannot be written.
    """
    write_atomic(path, render_report(title, sections, subtitle).encode("utf-8", "replace"))


def number_text(value: str | int | float) -> str:
    """A number as it is shown to people: whole ones with commas, others with three digits, NaN as a dash.

    >>> number_text(1234), number_text(0.70711), number_text("as it is")
    ('1,234', '0.707', 'as it is')
    """
    if isinstance(value, str):
        return value
    if isinstance(value, (int, np.integer)):
        return f"{value:,}"
    return "\N{EN DASH}" if np.isnan(value) else f"{value:.3f}"
