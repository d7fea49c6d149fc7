"""Which photos of a split are taken: those with a box that counts, and of these as many as asked for.

Which ones depends on the seed and the photo's id alone: the same wherever and whenever it is asked, a larger limit only
adds photos, and a table with more photos changes little.
"""

from __future__ import annotations

import hashlib

import polars as pl


def select(boxes: pl.DataFrame, limit: int | None = None, seed: int = 0) -> pl.DataFrame:
    """The boxes (with the column ``ignore``) of the photos that are taken, in the order of the table.

    A photo all of whose boxes are ignored teaches nothing and is not taken. ``limit`` None takes all others.
    """
    photos = boxes.filter(~pl.col("ignore"))["ImageID"].unique().to_list()
    chosen = sorted(photos, key=lambda photo: draw(photo, seed))[:limit]
    return boxes.filter(pl.col("ImageID").is_in(chosen))


def draw(photo_id: str, seed: int) -> str:
    """The lot of a photo: those with the smallest come first. The same on every machine.

    >>> draw("000a1249af2bc5f0", 0) == draw("000a1249af2bc5f0", 0) != draw("000a1249af2bc5f0", 1)
    True
    """
    return hashlib.sha256(f"{seed} {photo_id}".encode()).hexdigest()
