"""A report in other forms than HTML: Markdown for a repository or a ticket, JSON for a program; and back from JSON.

The sections are those that ``herder.evaluation.report`` renders. Markdown is GitHub's, https://github.github.com/gfm/.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from herder.errors import DataError
from herder.evaluation.report import Picture, Section, Table, Width, number_text
from herder.files import write_atomic

ENDINGS = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpg", b"<?xml": "svg", b"<svg": "svg"}
"""Of picture files, by their first bytes."""

Cell = str | int | float


def write_markdown(path: Path, title: str, sections: Sequence[Section], subtitle: str = "") -> None:
    """Write a report as a Markdown file, with its pictures in the folder ``<name>_pictures`` beside it.

    Raises ResourceError when the place cannot be written.
    """
    folder = path.with_name(f"{path.stem}_pictures")
    parts = [f"# {_plain(title)}"]
    if subtitle:
        parts.append(_plain(subtitle))
    number = 0
    for section in sections:
        parts += [f"## {_plain(section.heading)}", *map(_plain, section.paragraphs)]
        if section.numbers:
            parts.append(_table([name for name, _ in section.numbers], [[value for _, value in section.numbers]]))
        if section.facts:
            parts.append("\n".join(f"- {_plain(name)}: {_plain(value)}" for name, value in section.facts))
        for table in section.tables:
            if table.caption:
                parts.append(_plain(table.caption))
            parts.append(_table(table.columns, table.rows))
        for picture in section.pictures:
            number += 1
            name = f"{number:03}.{_ending(picture)}"
            write_atomic(folder / name, picture.data)
            parts.append(f"![{_plain(picture.alt)}]({_link(folder.name)}/{name})")
            if picture.caption:
                parts.append(f"*{_plain(picture.caption)}*")
    write_atomic(path, ("\n\n".join(parts) + "\n").encode("utf-8", "replace"))


def section_as_dict(section: Section, *, pictures: bool = True) -> dict[str, Any]:
    """A section as plain values for JSON: NaN becomes None, pictures base64; without ``pictures`` their words alone."""
    found: dict[str, Any] = {
        "heading": section.heading,
        "text": section.text,
        "numbers": [[name, _value(value)] for name, value in section.numbers],
        "facts": [list(fact) for fact in section.facts],
        "tables": [
            {
                "columns": list(table.columns),
                "rows": [[_value(cell) for cell in row] for row in table.rows],
                "caption": table.caption,
            }
            for table in section.tables
        ],
    }
    rows = []
    for p in section.pictures:
        row = {"alt": p.alt, "caption": p.caption, "width": p.width.value}
        rows.append({**row, "data": base64.b64encode(p.data).decode()} if pictures else row)
    return {**found, "pictures": rows}


def section_from_dict(values: Mapping[str, Any], source: str) -> Section:
    """The reverse of ``section_as_dict`` with pictures. Raises DataError naming ``source`` for what is no section."""
    try:
        pictures = [
            Picture(base64.b64decode(p["data"], validate=True), str(p["alt"]), str(p["caption"]), Width(p["width"]))
            for p in values["pictures"]
        ]
        for picture in pictures:
            _ending(picture)
        tables = [
            Table(
                [str(name) for name in table["columns"]],
                [[_number(cell) for cell in row] for row in table["rows"]],
                str(table["caption"]),
            )
            for table in values["tables"]
        ]
        return Section(
            str(values["heading"]),
            str(values["text"]),
            numbers=[(str(name), _number(value)) for name, value in values["numbers"]],
            facts=[(str(name), str(value)) for name, value in values["facts"]],
            tables=tables,
            pictures=pictures,
        )
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise DataError(f"{source}: holds no section of a report ({error!r})", hint="write it again") from None


def _ending(picture: Picture) -> str:
    for start, ending in ENDINGS.items():
        if picture.data.startswith(start):
            return ending
    raise ValueError(f"picture {picture.alt!r}: the bytes are neither PNG, JPEG nor SVG")


def _value(value: Cell) -> Cell | None:
    """A cell for JSON, which knows neither NaN nor NumPy's numbers."""
    if isinstance(value, str):
        return value
    if isinstance(value, (int, np.integer)):
        return int(value)
    return float(value) if math.isfinite(value) else None


def _number(value: object) -> Cell:
    if value is None:
        return math.nan
    if isinstance(value, (str, int, float)):
        return value
    raise TypeError(f"found {value!r}, wanted text or a number")


def _table(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    numeric = [bool(rows) and not isinstance(rows[0][i], str) for i in range(len(columns))]
    lines = [[_plain(name) for name in columns], ["---:" if right else "---" for right in numeric]]
    lines += [[_plain(number_text(cell)) for cell in row] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _plain(text: str) -> str:
    r"""Text that Markdown shows as it is, on one line: no tags, links, emphasis or new cells come out of it.

    >>> _plain("a|b <i> *c*")
    'a\\|b &lt;i> \\*c\\*'
    """
    text = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*_\[\]|#!~])", r"\\\1", text)


def _link(name: str) -> str:
    """A folder's name as the target of a link."""
    return re.sub(r"[^\w.-]", lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), name)
