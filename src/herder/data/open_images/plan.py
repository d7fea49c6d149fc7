"""From class names to the photos that are to be fetched, with all that the tables say of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import polars as pl

from herder.data.download import DownloadConfig, DownloadItem
from herder.data.open_images.box_filters import BoxFilters, apply_filters
from herder.data.open_images.box_table import read_boxes
from herder.data.open_images.cached_table import fetch_table
from herder.data.open_images.class_names import BoxClass, read_class_table, resolve_classes
from herder.data.open_images.layout import OUR_SPLITS, OpenImagesLayout
from herder.data.open_images.photo_table import read_photos
from herder.data.open_images.selection import select
from herder.data.records import one_line
from herder.errors import ConfigError, DataError

TableProgress = Callable[[str, int, int | None], None]
"""Called with the address of a table, the bytes of it that are there, and all of them, None where not known."""


@dataclass(frozen=True)
class Wish:
    """What somebody wants of Open Images. Raises ConfigError for a limit that has no meaning."""

    classes: tuple[str, ...]
    splits: tuple[str, ...] = ("train", "validation", "test")
    """As Open Images calls them."""
    limit: int | None = None
    """Most photos of each split."""
    seed: int = 0
    """Which photos, where there is a limit."""
    filters: BoxFilters = field(default_factory=BoxFilters)
    layout: OpenImagesLayout = field(default_factory=OpenImagesLayout)

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"--limit {self.limit}: must be 1 or more photos", hint="leave it out to take all")


@dataclass(frozen=True, eq=False)
class PlannedSplit:
    """The photos of one split that are to be fetched."""

    name: str
    """As Open Images calls it."""
    boxes: pl.DataFrame
    """Of all photos that are taken; see ``box_table.scan_boxes``."""
    photos: dict[str, dict[str, Any]]
    """What the table of photos says of each, by the photo's id."""
    found: int
    """Photos of these classes, taken or not."""
    filtered: Counter[str]
    """Boxes that are left out or ignored, by reason."""

    @property
    def ids(self) -> list[str]:
        """The ids of the photos that are taken, in the order of the table."""
        return self.boxes["ImageID"].unique(maintain_order=True).to_list()

    @property
    def our_name(self) -> str:
        """What the split is called in the dataset."""
        return OUR_SPLITS[self.name]


@dataclass(frozen=True, eq=False)
class Plan:
    """All that is to be fetched."""

    layout: OpenImagesLayout
    classes: tuple[BoxClass, ...]
    splits: tuple[PlannedSplit, ...]

    def items(self) -> Iterator[DownloadItem]:
        """Every photo, to be downloaded to ``SPLIT/ID.jpg``."""
        for split in self.splits:
            for photo in split.ids:
                about = split.photos.get(photo, {})
                yield DownloadItem(
                    f"{split.name}/{photo}",
                    self.layout.photo_url(split.name, photo),
                    place_of(split, photo),
                    split.our_name,
                    licence=one_line(about.get("License", "")),
                    author=one_line(about.get("Author", "")),
                    page=one_line(about.get("OriginalLandingURL", "")),
                    title=one_line(about.get("Title", "")),
                )


def place_of(split: PlannedSplit, photo_id: str) -> PurePosixPath:
    """Where a photo goes, relative to the folder of all photos."""
    return PurePosixPath(split.our_name, f"{photo_id}.jpg")


def make_plan(
    wish: Wish,
    cache: Path,
    config: DownloadConfig | None = None,
    *,
    progress: TableProgress | None = None,
    notice: Callable[[str], None] | None = None,
) -> Plan:
    """Fetch the tables into ``cache`` and choose the photos.

    Raises ConfigError for an unknown class, and DataError where a table cannot be had or read, or where no split has a
    photo with a box that counts.
    """

    def table(url: str) -> Path:
        seen = (lambda done, total: progress(url, done, total)) if progress else None
        return fetch_table(url, cache, config, progress=seen, notice=notice)

    layout = wish.layout
    classes = resolve_classes(wish.classes, read_class_table(table(layout.classes_url)))
    splits = []
    for name in wish.splits:
        found = read_boxes(table(layout.boxes_url(name)), [entry.id for entry in classes])
        usable, filtered = apply_filters(found, wish.filters)
        boxes = select(usable, wish.limit, wish.seed)
        photos: dict[str, dict[str, Any]] = {}
        if len(boxes):
            rows = read_photos(table(layout.photo_table_url(name)), boxes["ImageID"].unique().to_list())
            photos = {row["ImageID"]: row for row in rows.iter_rows(named=True)}
        splits.append(PlannedSplit(name, boxes, photos, found["ImageID"].n_unique(), filtered))
    if not any(len(split.boxes) for split in splits):
        raise DataError(_nothing(classes, splits), hint="ask for more splits, or for fewer filters")
    return Plan(layout, classes, tuple(splits))


def _nothing(classes: Sequence[BoxClass], splits: Sequence[PlannedSplit]) -> str:
    names = ", ".join(entry.name for entry in classes)
    reasons = sum((split.filtered for split in splits), Counter[str]())
    filtered = ", ".join(f"{count:,} x {reason}" for reason, count in reasons.most_common())
    where = ", ".join(split.name for split in splits)
    return f"{where}: no photo with a box of {names} that counts" + (f" ({filtered})" if filtered else "")
