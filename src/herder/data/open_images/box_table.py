"""The box tables of Open Images: up to 15 million lines of CSV, read by Polars piece by piece.

    ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside

The coordinates are fractions of the photo's sides from its top left corner, in the order x, x, y, y: read as x, y, x, y
they would still look like boxes, so that a header in another order is an error. Flags are 1, 0, or -1 for unknown. The
training table of V6 has more columns after these (the clicks of extreme clicking), which are not used.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from herder.data.open_images.box_filters import BoxFilters, apply_filters
from herder.data.open_images.csv_pieces import AGAIN, check_fields, pieces, read_header
from herder.data.open_images.layout import PHOTO_ID
from herder.errors import DataError

COLUMNS = (
    "ImageID",
    "Source",
    "LabelName",
    "Confidence",
    "XMin",
    "XMax",
    "YMin",
    "YMax",
    "IsOccluded",
    "IsTruncated",
    "IsGroupOf",
    "IsDepiction",
    "IsInside",
)
"""How the header begins."""

KINDS: dict[str, type[pl.DataType]] = {
    "ImageID": pl.String,
    "LabelName": pl.String,
    "XMin": pl.Float64,
    "XMax": pl.Float64,
    "YMin": pl.Float64,
    "YMax": pl.Float64,
    "IsOccluded": pl.Int8,
    "IsTruncated": pl.Int8,
    "IsGroupOf": pl.Int8,
    "IsDepiction": pl.Int8,
    "IsInside": pl.Int8,
}
"""The columns that are read."""

ID_BYTES = 16
"""Every photo's id has so many characters; another length is half an id, or one and a half."""

DISORDER = 0.02
"""With a larger share of boxes whose end lies before their start, the columns are not what the header says."""


def scan_boxes(path: Path, class_ids: Sequence[str], filters: BoxFilters | None = None) -> pl.DataFrame:
    """The boxes of these classes that the filters let through, in the order of the table.

    Columns: those of ``KINDS``; ``line`` (where the box stands); ``ignore``, true where a box is to be ignored. Raises
    DataError, with the line, for another header, a line with too few or too many fields, and what is no number.
    """
    return apply_filters(read_boxes(path, class_ids), filters or BoxFilters())[0]


def read_boxes(path: Path, class_ids: Sequence[str]) -> pl.DataFrame:
    """All boxes of these classes, as ``scan_boxes`` but without ``ignore``."""
    header = _header(path)
    schema = {name: KINDS.get(name, pl.String) for name in header}
    empty = pl.any_horizontal(pl.col(name).is_null() for name in KINDS)
    broken = empty | (pl.col("ImageID").str.len_bytes() != ID_BYTES)
    wanted = pl.col("LabelName").is_in(list(class_ids)) | broken
    found = [pl.DataFrame(schema={"line": pl.Int64, **KINDS})]
    for piece in pieces(path, quoted=False):
        check_fields(path, piece, len(header))
        # Without quotes: the tables have none, and a stray one would swallow lines.
        table = pl.scan_csv(
            piece.data, schema=schema, has_header=False, quote_char=None, ignore_errors=True, row_index_name="line"
        )
        try:
            chosen = table.select(pl.col("line").cast(pl.Int64) + piece.line, *KINDS).filter(wanted).collect()
        except pl.exceptions.PolarsError as error:
            said = str(error).splitlines()[0]
            raise DataError(f"{path}: from line {piece.line}: is no usable CSV ({said})", hint=AGAIN) from None
        # A blank line is all nulls.
        chosen = chosen.filter(~pl.all_horizontal(pl.col(name).is_null() for name in KINDS))
        wrong = chosen.filter(broken)
        if len(wrong):
            row = wrong.row(0, named=True)
            column = next((name for name in KINDS if row[name] is None), "ImageID")
            raise DataError(f"{path}: line {row['line']}: no {_wanted(column)} in column {column}", hint=AGAIN)
        if len(chosen):
            found.append(chosen)
    boxes = pl.concat(found)
    _check_values(path, boxes)
    return boxes


def _wanted(column: str) -> str:
    if column == "ImageID":
        return f"name of {ID_BYTES} characters"
    return {pl.String: "text", pl.Int8: "flag (1, 0 or -1)"}.get(KINDS[column], "number")


def _header(path: Path) -> list[str]:
    """The names of the columns. Raises DataError when they are not those of a box table, in their order."""
    names = read_header(path)
    if tuple(names[: len(COLUMNS)]) == COLUMNS and len(set(names)) == len(names):
        return names
    place = next((i for i, name in enumerate(COLUMNS) if i >= len(names) or names[i] != name), len(COLUMNS))
    found = f"{names[place]!r}"[:60] if place < len(names) else "nothing"
    wanted = COLUMNS[place] if place < len(COLUMNS) else "each name once"
    raise DataError(
        f"{path}: line 1: column {place + 1} is {found}, wanted {wanted}",
        hint=f"a table of boxes of Open Images has {', '.join(COLUMNS[4:8])} and so on, in this order",
    )


def _check_values(path: Path, boxes: pl.DataFrame) -> None:
    """Raise DataError for ids that could be anything, flags that mean nothing, and coordinates in another order."""
    ids = boxes.filter(~pl.col("ImageID").str.contains(f"^{PHOTO_ID.pattern}$"))
    if len(ids):
        line, name = ids["line"][0], ids["ImageID"][0]
        raise DataError(f"{path}: line {line}: {name!r} is no photo's id, wanted 16 hexadecimal digits", hint=AGAIN)
    flags = [name for name, kind in KINDS.items() if kind is pl.Int8]
    odd = boxes.filter(pl.any_horizontal(~pl.col(name).is_between(-1, 1) for name in flags))
    if len(odd):
        row = odd.row(0, named=True)
        column = next(name for name in flags if not -1 <= row[name] <= 1)
        raise DataError(f"{path}: line {row['line']}: {column} is {row[column]}, wanted 1, 0 or -1", hint=AGAIN)
    crossed = boxes.filter((pl.col("XMax") < pl.col("XMin")) | (pl.col("YMax") < pl.col("YMin")))
    if len(crossed) > max(1, DISORDER * len(boxes)):
        share = len(crossed) / len(boxes)
        raise DataError(
            f"{path}: line {crossed['line'][0]}: the box ends before it starts, as {share:.0%} of the boxes do: "
            "the coordinates do not come in the order of the header",
            hint="the order is XMin, XMax, YMin, YMax; fetch the table from its source",
        )
