"""Which boxes of a table are used, which are to be ignored, and which are left out.

*Ignore* keeps the box, and neither a hit nor a miss counts there: a herd in one box, a drawing. *Drop* leaves the box
out, so that what it holds becomes background, which is seldom meant. Photos of which no box counts are not fetched.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, fields
from enum import StrEnum

import polars as pl

from herder.errors import ConfigError


class Rule(StrEnum):
    """What becomes of the boxes that have a flag."""

    KEEP = "keep"
    IGNORE = "ignore"
    DROP = "drop"


FLAGS = {
    "occluded": "IsOccluded",
    "truncated": "IsTruncated",
    "group_of": "IsGroupOf",
    "depiction": "IsDepiction",
    "inside": "IsInside",
}
"""The column of each flag, by the name that ``BoxFlags`` has for it."""


@dataclass(frozen=True)
class BoxFilters:
    """What becomes of boxes with a flag, and of small ones. Raises ConfigError for a side that is no fraction."""

    occluded: Rule = Rule.KEEP
    truncated: Rule = Rule.KEEP
    group_of: Rule = Rule.IGNORE
    """One box around more than five animals: as the Open Images evaluation has it, neither hit nor miss."""
    depiction: Rule = Rule.IGNORE
    inside: Rule = Rule.IGNORE
    min_side: float = 0.0
    """Boxes with a side below this share of the photo's are ignored; 0 to 1."""

    def __post_init__(self) -> None:
        for f in fields(self):
            if f.name in FLAGS:
                object.__setattr__(self, f.name, Rule(getattr(self, f.name)))
        if not 0 <= self.min_side < 1:
            raise ConfigError(
                f"--min-side {self.min_side:g}: must be a share of the photo's side, 0 or more and less than 1",
                hint="0.02 ignores boxes below a fiftieth of the photo's width or height",
            )


def apply_filters(boxes: pl.DataFrame, filters: BoxFilters) -> tuple[pl.DataFrame, Counter[str]]:
    """The boxes that are left, with the column ``ignore``, and how many were left out or are ignored, by reason.

    Reasons: ``dropped-group_of``, ``ignored-group_of`` and so on, ``ignored-small``; ``not-finite``, ``box-outside``,
    ``zero-area`` and ``duplicate-box`` for boxes that make no sense. Coordinates just past the border are cut.
    """
    counts: Counter[str] = Counter()

    def leave_out(table: pl.DataFrame, reason: str, wrong: pl.Expr) -> pl.DataFrame:
        left = table.filter(~wrong)
        counts[reason] += len(table) - len(left)
        return left

    corners = [pl.col(name) for name in ("XMin", "XMax", "YMin", "YMax")]
    boxes = leave_out(boxes, "not-finite", ~pl.all_horizontal(corner.is_finite() for corner in corners))
    outside = (pl.col("XMax") <= 0) | (pl.col("YMax") <= 0) | (pl.col("XMin") >= 1) | (pl.col("YMin") >= 1)
    boxes = leave_out(boxes, "box-outside", outside)
    boxes = boxes.with_columns(corner.clip(0.0, 1.0) for corner in corners)
    width, height = pl.col("XMax") - pl.col("XMin"), pl.col("YMax") - pl.col("YMin")
    boxes = leave_out(boxes, "zero-area", (width <= 0) | (height <= 0))
    same = pl.struct("ImageID", "LabelName", *corners)
    boxes = leave_out(boxes, "duplicate-box", ~same.is_first_distinct())
    ignore = pl.lit(False)
    for name, column in FLAGS.items():
        rule, flagged = getattr(filters, name), pl.col(column) == 1
        if rule is Rule.DROP:
            boxes = leave_out(boxes, f"dropped-{name}", flagged)
        elif rule is Rule.IGNORE:
            counts[f"ignored-{name}"] += boxes.select(flagged.sum()).item()
            ignore = ignore | flagged
    small = (width < filters.min_side) | (height < filters.min_side)
    counts["ignored-small"] += boxes.select(small.sum()).item()
    return boxes.with_columns((ignore | small).alias("ignore")), +counts
