"""From photos that arrived to records: boxes in pixels of the upright photo, flags, licence and author.

A box that the Open Images rules call group-of covers more than five animals that hide each other. It is ``ignore`` here
(unless asked otherwise), and in evaluation neither a hit nor a miss, as
https://storage.googleapis.com/openimages/web/evaluation.html asks.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from herder.data.formats.photos import read_size
from herder.data.open_images.box_filters import FLAGS
from herder.data.open_images.class_names import BoxClass
from herder.data.open_images.plan import Plan, PlannedSplit, place_of
from herder.data.open_images.upright import set_upright, turn_boxes
from herder.data.records import BoxFlags, Dataset, ImageRecord, PhotoSource, Problem, one_line

_CREATIVE_COMMONS = re.compile(r"https?://creativecommons\.org/licenses/([a-z-]+)/([0-9.]+)/?")


def build(plan: Plan, photos: Path, upright: Path) -> tuple[Dataset, ...]:
    """The datasets, one a split, of those photos of the plan that lie in the folder ``photos``.

    Photos that are to be turned are copied to ``upright``; see ``herder.data.open_images.upright``. Those that cannot
    be read are among the problems. A split of which no photo arrived is left out.
    """
    names = tuple(entry.name for entry in plan.classes)
    datasets: list[Dataset] = []
    for split in plan.splits:
        records: list[ImageRecord] = []
        problems: list[Problem] = []
        for photo_id, boxes in split.boxes.partition_by("ImageID", as_dict=True, maintain_order=True).items():
            name = str(photo_id[0])
            place = place_of(split, name)
            if not (photos / place).is_file():
                continue
            found = _record(photos / place, upright / place, boxes, split, name, plan)
            if isinstance(found, Problem):
                problems.append(found)
            else:
                records.append(found)
        if records:
            datasets.append(Dataset(tuple(records), names, photos, split.our_name, tuple(problems)))
    return tuple(datasets)


def _record(
    photo: Path, copy: Path, boxes: pl.DataFrame, split: PlannedSplit, photo_id: str, plan: Plan
) -> ImageRecord | Problem:
    size = read_size(photo)
    if isinstance(size, Problem):
        return size
    about = split.photos.get(photo_id, {})
    shown, orientation = set_upright(photo, int(about.get("Rotation", 0)), copy)
    # The photo's own orientation is in ``size`` already.
    width, height = size[::-1] if shown != photo and orientation in (6, 8) else size
    corners = boxes.select("XMin", "YMin", "XMax", "YMax").to_numpy()  # (N, 4)
    pixels = turn_boxes(corners, orientation) * (width, height, width, height)
    licence, licence_url = licence_name(about.get("License", ""))
    author = one_line(about.get("Author", ""))
    return ImageRecord(
        shown,
        width,
        height,
        pixels.astype(np.float32),
        _class_ids(boxes["LabelName"].to_list(), plan.classes),
        boxes["ignore"].to_numpy(),
        licence,
        # One author's photos show the same animals: they stay on one side of a split.
        f"author {author}" if author else "",
        _source(about, plan.layout.photo_url(split.name, photo_id), licence_url),
        BoxFlags(**{name: boxes[column].to_numpy() for name, column in FLAGS.items()}),
    )


def _class_ids(labels: Sequence[str], classes: Sequence[BoxClass]) -> np.ndarray[Any, np.dtype[np.int64]]:
    ids = {entry.id: i for i, entry in enumerate(classes)}
    return np.array([ids[label] for label in labels], np.int64)


def _source(about: dict[str, Any], fetched_from: str, licence_url: str) -> PhotoSource:
    return PhotoSource(
        url=about.get("OriginalURL") or fetched_from,
        page=about.get("OriginalLandingURL", ""),
        author=about.get("Author", ""),
        title=about.get("Title", ""),
        licence_url=licence_url,
    )


def licence_name(text: str) -> tuple[str, str]:
    """The short name of a licence and the address of its text, from either.

    >>> licence_name("https://creativecommons.org/licenses/by/2.0/")
    ('CC BY 2.0', 'https://creativecommons.org/licenses/by/2.0/')
    >>> licence_name("")
    ('', '')
    """
    text = one_line(text)
    if found := _CREATIVE_COMMONS.fullmatch(text):
        return f"CC {found[1].upper()} {found[2]}", text
    return text, text if text.startswith(("http://", "https://")) else ""
