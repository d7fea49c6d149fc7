"""YOLO folders: a text file a photo, a line a box, ``class centre_x centre_y width height`` as fractions of the sides.

Source: the format of Darknet (J. Redmon, https://pjreddie.com/darknet/yolo/), with the ``data.yaml`` that later tools
lay beside it. A line of more numbers (``class x1 y1 x2 y2 x3 y3 ...``) is a polygon and becomes the box around it.

Read are ``images/train`` + ``labels/train``, ``train/images`` + ``train/labels``, ``images`` + ``labels``, labels
beside their photos, and whatever a ``data.yaml`` names. YOLO cannot express that a box is to be ignored (a herd, a
COCO crowd), nor flags, licence, group and source: those stand in a side file, ``herder.json``.
"""

from __future__ import annotations

from pathlib import Path

from herder.data.formats.details import NO_DETAILS
from herder.data.formats.labels import LABEL_BYTES, as_problem, build_record, read_text
from herder.data.formats.photos import list_files, list_photos, read_sizes
from herder.data.formats.side_file import SideFile, read_side_file
from herder.data.formats.yolo_labels import label_text, parse_label, read_label
from herder.data.formats.yolo_layout import (
    NOT_LABELS,
    SETTINGS_FILES,
    Layout,
    find_layout,
    labels_for,
    settings_text,
)
from herder.data.records import Dataset, ImageRecord, Problem, Severity
from herder.errors import DataError

__all__ = ["SETTINGS_FILES", "Layout", "find_layout", "label_text", "read", "settings_text"]

NUMBERED = 1000
"""Without class names, an id from here on is taken for a slip and not for that many classes."""


def read(layout: Layout, split: str) -> Dataset:
    """Read one split. Raises DataError when it holds no photo or not one label file."""
    for source in layout.splits[split]:
        if layout.settings and not source.images.is_dir():
            raise DataError(
                f"{layout.settings}: {split}: no such folder: {source.images}", hint="correct the path there"
            )
    pairs, problems = _pairs(layout, split)
    where = layout.splits[split][0].images
    if not pairs:
        raise DataError(f"{where}: no photos", hint="check the path; read are .jpg, .png, .webp, .bmp and .tif")
    if not any(label.is_file() for label in pairs.values()):
        found = f"{len(pairs)} photos and no label file"
        raise DataError(f"{where}: {found}", hint=f"labels belong into {layout.splits[split][0].labels}")
    class_names = layout.class_names or _numbered_names(layout)
    if not layout.class_names:
        message = f"no class names; they are called {class_names[0]} and so on"
        problems.append(Problem(layout.root, "no-class-names", message, "add classes.txt", Severity.NOTE))
    side = read_side_file(layout.settings.parent if layout.settings else layout.root)
    records: list[ImageRecord] = []
    for (photo, label), size in zip(pairs.items(), read_sizes(list(pairs)), strict=True):
        if isinstance(size, Problem):
            problems.append(size)
            continue
        record, found_here = _read_photo(photo, label, size, class_names, side)
        problems += found_here
        if record is not None:
            records.append(record)
    if not records:
        raise DataError(f"{where}: not one of {len(pairs)} photos can be used", hint=f"first: {problems[0]}")
    return Dataset(tuple(records), class_names, layout.root, split, tuple(problems))


def _pairs(layout: Layout, split: str) -> tuple[dict[Path, Path], list[Problem]]:
    """The label path of each photo of a split, in order of the photos; and labels that have no photo."""
    pairs: dict[Path, Path] = {}
    problems: list[Problem] = []
    for source in layout.splits[split]:
        if source.listing is not None:
            photos, found = _listed_photos(source.listing)
            pairs.update({photo: labels_for(photo.parent) / f"{photo.stem}.txt" for photo in photos})
            problems += found
            continue
        photos, found = list_photos(source.images, recursive=source.recursive)
        here = {photo: source.labels / photo.relative_to(source.images).with_suffix(".txt") for photo in photos}
        pairs.update(here)
        problems += found
        if source.labels.is_dir():
            texts = list_files(source.labels, (".txt",), recursive=source.recursive)
            owned = set(here.values())
            orphans = [text for text in texts if text.name.lower() not in NOT_LABELS and text not in owned]
            hint = "copy its photo here, or remove the label"
            problems += [Problem(text, "photo-missing", f"no photo in {source.images}", hint) for text in orphans]
    return pairs, problems


def _listed_photos(listing: Path) -> tuple[list[Path], list[Problem]]:
    photos: list[Path] = []
    problems: list[Problem] = []
    for number, line in enumerate(read_text(listing, LABEL_BYTES).split("\n"), 1):
        if line.strip():
            photo = listing.parent / line.strip()
            if photo.is_file():
                photos.append(photo)
            else:
                problems.append(Problem(listing, "photo-missing", f"line {number}: no photo {line.strip()}"))
    return photos, problems


def _numbered_names(layout: Layout) -> tuple[str, ...]:
    """Names for classes that have none, over all splits, so that train and val agree: class 0 is ``class0``."""
    highest = 0
    for split in layout.splits:
        for label in _pairs(layout, split)[0].values():
            try:
                rows = read_label(label, (1, 1))[0] if label.is_file() else []
            except DataError:
                continue  # reported when its split is read
            highest = max([highest, *(row.class_id for row in rows if row.class_id < NUMBERED)])
    return tuple(f"class{i}" for i in range(highest + 1))


def _read_photo(
    photo: Path, label: Path, size: tuple[int, int], class_names: tuple[str, ...], side: SideFile | None
) -> tuple[ImageRecord | None, list[Problem]]:
    text = ""
    problems: list[Problem] = []
    if label.is_file():
        try:
            text = read_text(label, LABEL_BYTES)
        except DataError as error:
            return None, [as_problem(label, "label-unreadable", error)]
    else:
        message = f"no label file {label.name}: kept as background"
        hint = "an empty label file says that this is meant"
        problems.append(Problem(photo, "no-label", message, hint, Severity.NOTE))
    rows, bad = parse_label(text, label, size)
    problems += bad
    details = NO_DETAILS
    if side is not None:
        rows, details, odd = side.add(photo, text, rows, size)
        problems += odd
    lost = sum(problem.severity is Severity.SET_ASIDE for problem in bad)
    record, more = build_record(photo, size, rows, label, class_names, lost=lost, details=details)
    return record, problems + more
