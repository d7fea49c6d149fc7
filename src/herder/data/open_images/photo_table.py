"""Who took each photo of Open Images, under which licence, and how it was held.

Source: https://storage.googleapis.com/openimages/web/download_v7.html. The table's OriginalSize and OriginalMD5 are
those of the photo at Flickr and not of the smaller copy that is fetched; they are not used. Titles may hold commas,
quotes and line ends, in quotes as RFC 4180 has it.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import polars as pl

from herder.data.open_images.csv_pieces import AGAIN, missing, pieces, read_header
from herder.errors import DataError

COLUMNS = ("ImageID", "OriginalURL", "OriginalLandingURL", "License", "Author", "Title", "Rotation")
"""The columns that are read, wherever they stand."""

TURNS = (0, 90, 180, 270)
"""Degrees counterclockwise that a photo may have to be turned by."""


def read_photos(path: Path, photo_ids: Collection[str]) -> pl.DataFrame:
    """What the table says of these photos: ``COLUMNS``, text but for Rotation: int, 0 where it is not known.

    A photo that the table does not know has no row. Raises DataError for a table without these columns, or one that is
    cut short.
    """
    header = read_header(path)
    if wrong := missing(header, COLUMNS):
        raise DataError(f"{path}: line 1: {wrong}", hint="this is no table of photos of Open Images with rotation")
    schema = dict.fromkeys(header, pl.String)
    ids = pl.Series(sorted(photo_ids), dtype=pl.String)
    parts = [pl.DataFrame(schema=dict.fromkeys(COLUMNS, pl.String))]
    for piece in pieces(path, quoted=True):
        if not piece.data.endswith(b"\n"):
            raise DataError(f"{path}: line {piece.line}: the file ends in the middle of it", hint=AGAIN)
        table = pl.scan_csv(piece.data, schema=schema, has_header=False, quote_char='"').select(*COLUMNS)
        try:
            part = table.filter(pl.col("ImageID").is_in(ids.implode())).collect()
        except pl.exceptions.PolarsError as error:
            said = str(error).splitlines()[0]
            raise DataError(f"{path}: from line {piece.line}: is no usable CSV ({said})", hint=AGAIN) from None
        if len(part):
            parts.append(part)
    found = pl.concat(parts)
    degrees = pl.col("Rotation").cast(pl.Float64, strict=False)
    turn = pl.when(degrees.is_in([float(turn) for turn in TURNS])).then(degrees).otherwise(0.0).cast(pl.Int64)
    text = [pl.col(name).fill_null("") for name in COLUMNS[:-1]]
    return found.with_columns(*text, turn.alias("Rotation")).unique("ImageID", keep="first", maintain_order=True)
