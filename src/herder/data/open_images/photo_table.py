"""Who took each photo of Open Images, under which licence, and how it was held.

Source: https://storage.googleapis.com/openimages/web/download_v7.html. The table's OriginalSize and OriginalMD5 are
those of the photo at Flickr and not of the smaller copy that is fetched; they are not used. Titles may hold commas,
quotes and line ends, in quotes as RFC 4180 has it.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import polars as pl

from herder.errors import DataError

COLUMNS = ("ImageID", "OriginalURL", "OriginalLandingURL", "License", "Author", "Title", "Rotation")
"""The columns that are read, wherever they stand."""

HEADER_BYTES = 65_536

TURNS = (0, 90, 180, 270)
"""Degrees counterclockwise that a photo may have to be turned by."""

AGAIN = "remove this file, so that it is fetched again"


def read_photos(path: Path, photo_ids: Collection[str]) -> pl.DataFrame:
    """What the table says of these photos: ``COLUMNS``, text but for Rotation: int, 0 where it is not known.

    A photo that the table does not know has no row. Raises DataError for a table without these columns, or one that is
    cut short.
    """
    header = _header(path)
    schema = dict.fromkeys(header, pl.String)
    wanted = pl.DataFrame({"ImageID": sorted(photo_ids)}, schema={"ImageID": pl.String})
    _check_end(path)
    table = pl.scan_csv(path, schema=schema, quote_char='"').select(*COLUMNS)
    try:
        found = table.join(wanted.lazy(), on="ImageID", how="semi").collect(engine="streaming")
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{path}: is no usable CSV ({str(error).splitlines()[0]})", hint=AGAIN) from None
    degrees = pl.col("Rotation").cast(pl.Float64, strict=False)
    turn = pl.when(degrees.is_in([float(turn) for turn in TURNS])).then(degrees).otherwise(0.0).cast(pl.Int64)
    text = [pl.col(name).fill_null("") for name in COLUMNS[:-1]]
    return found.with_columns(*text, turn.alias("Rotation")).unique("ImageID", keep="first", maintain_order=True)


def _header(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            first = file.readline(HEADER_BYTES)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})", hint="check the path") from None
    names = first.decode("utf-8-sig", errors="replace").rstrip("\r\n").split(",")
    missing = [name for name in COLUMNS if name not in names]
    if missing or len(set(names)) < len(names):
        what = f"no column {missing[0]}" if missing else "a column comes twice"
        raise DataError(f"{path}: line 1: {what}", hint="this is no table of photos of Open Images with rotation")
    return names


def _check_end(path: Path) -> None:
    """Raise DataError, with the line, when the file ends without the end of a line: what is there may be half of it."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 1))
        if file.read(1) in (b"\n", b""):
            return
        file.seek(0)
        number = sum(1 for _ in file)
    raise DataError(f"{path}: line {number}: the file ends in the middle of it", hint=AGAIN)
