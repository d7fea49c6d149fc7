"""YOLO folders: a text file a photo, a line a box, ``class centre_x centre_y width height`` as fractions of the sides.

Source: the format of Darknet (J. Redmon, https://pjreddie.com/darknet/yolo/), with the ``data.yaml`` that later tools
lay beside it. A line of more numbers (``class x1 y1 x2 y2 x3 y3 ...``) is a polygon and becomes the box around it.

Read are ``images/train`` + ``labels/train``, ``train/images`` + ``train/labels``, ``images`` + ``labels``, labels
beside their photos, and whatever a ``data.yaml`` names. YOLO cannot express that a box is to be ignored (a herd, a
COCO crowd): such boxes are left out on writing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from herder.boxes import BoxFormat, convert
from herder.data.formats.labels import (
    LABEL_BYTES,
    SETTINGS_BYTES,
    Row,
    as_problem,
    build_record,
    checked_names,
    read_class_names,
    read_text,
)
from herder.data.formats.photos import list_files, list_photos, read_sizes
from herder.data.formats.splits import split_name
from herder.data.records import Dataset, ImageRecord, Problem, Severity
from herder.errors import DataError

NAME_FILES = ("classes.txt", "labels/classes.txt", "obj.names", "names.txt")
"""Where class names are looked for when no ``data.yaml`` gives them."""

SETTINGS_FILES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")

NOT_LABELS = frozenset({"classes.txt", "names.txt", "labels.txt", "readme.txt", "license.txt", "train.txt", "val.txt"})
"""Text files that may lie among labels without being one."""


NUMBERED = 1000
"""Without class names, an id from here on is taken for a slip and not for that many classes."""


@dataclass(frozen=True)
class Source:
    """Where the photos of a split come from: all under ``images``, or those that the text file ``listing`` names."""

    images: Path
    labels: Path
    listing: Path | None = None
    recursive: bool = True


@dataclass(frozen=True)
class Layout:
    """A YOLO dataset as found on disk; the split ``""`` stands for a folder without splits."""

    root: Path
    splits: Mapping[str, tuple[Source, ...]]
    class_names: tuple[str, ...] = ()
    settings: Path | None = None
    """The ``data.yaml`` that says so."""


def find_layout(path: Path) -> Layout | None:
    """The YOLO dataset at a folder or a ``data.yaml``, or None where there is none.

    Raises DataError for a ``data.yaml`` that makes no sense.
    """
    settings = path if path.is_file() else next((path / n for n in SETTINGS_FILES if (path / n).is_file()), None)
    root = path
    given: dict[str, tuple[Source, ...]] = {}
    names: tuple[str, ...] = ()
    if settings is not None:
        root, given, names = _read_settings(settings)
    splits = given or _find_splits(root)
    if not splits:
        return None
    if not names:
        named = next((root / n for n in NAME_FILES if (root / n).is_file()), None)
        names = read_class_names(named) if named else ()
    return Layout(root, splits, names, settings)


def _read_settings(path: Path) -> tuple[Path, dict[str, tuple[Source, ...]], tuple[str, ...]]:
    try:
        data: Any = yaml.safe_load(read_text(path, SETTINGS_BYTES))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        where = f"line {line + 1}: " if line is not None else ""
        raise DataError(f"{path}: {where}is not YAML", hint="compare it with docs/data.md") from None
    if not isinstance(data, dict):
        raise DataError(f"{path}: holds no settings", hint="give names, train and val; see docs/data.md")
    root = path.parent / str(data.get("path") or ".")
    if not root.is_dir():  # written on another machine: the file lies in its dataset all the same
        root = path.parent
    splits: dict[str, tuple[Source, ...]] = {}
    for key in ("train", "val", "valid", "test"):
        if data.get(key):
            entries = data[key] if isinstance(data[key], list) else [data[key]]
            splits[split_name(key)] = tuple(_settings_source(path, root, str(entry)) for entry in entries)
    return root, splits, _settings_names(path, data)


def _settings_source(settings: Path, root: Path, entry: str) -> Source:
    # Some exporters write "../train/images" for what lies beside the file.
    places = [root / entry, settings.parent / entry, settings.parent / entry.removeprefix("../")]
    place = next((p for p in places if p.exists()), places[0])  # a missing one is an error once its split is read
    if place.is_file():
        return Source(place.parent, place.parent, listing=place)
    return Source(place, _labels_for(place))


def _settings_names(path: Path, data: Mapping[str, Any]) -> tuple[str, ...]:
    names = data.get("names")
    if names is None:
        return ()
    if isinstance(names, dict):
        try:
            numbered = {int(key): str(value) for key, value in names.items()}
        except (TypeError, ValueError):
            raise DataError(f"{path}: names: a class number is no number", hint="write 0: alpaca") from None
        if sorted(numbered) != list(range(len(numbered))):
            raise DataError(f"{path}: names: numbers {sorted(numbered)} leave a gap", hint="count from 0 without gaps")
        names = [numbered[i] for i in range(len(numbered))]
    if not isinstance(names, list) or not all(isinstance(name, (str, int, float)) for name in names):
        raise DataError(f"{path}: names: found {type(names).__name__}, wanted a list", hint="write names: [alpaca]")
    if isinstance(data.get("nc"), int) and data["nc"] != len(names):
        raise DataError(f"{path}: nc is {data['nc']}, but there are {len(names)} names", hint="correct one of them")
    return checked_names(path, [str(name) for name in names])


def _labels_for(images: Path) -> Path:
    """The folder of labels for a folder of photos: the last part called ``images`` becomes ``labels``."""
    parts = list(images.parts)
    for i in range(len(parts) - 1, -1, -1):
        if parts[i].lower() == "images":
            labels = Path(*parts[:i], "labels", *parts[i + 1 :])
            if labels.is_dir():
                return labels
    return images


def _find_splits(root: Path) -> dict[str, tuple[Source, ...]]:
    images, labels = root / "images", root / "labels"
    if images.is_dir():
        folders = sorted(f for f in images.iterdir() if f.is_dir() and not f.name.startswith("."))
        known = [f for f in folders if split_name(f.name) or (labels / f.name).is_dir()]
        if known:
            return {
                split_name(f.name) or f.name: (Source(f, labels / f.name if labels.is_dir() else f),) for f in known
            }
        return {"": (Source(images, labels if labels.is_dir() else images),)} if _has_labels(root) else {}
    inside = sorted(f for f in root.iterdir() if f.is_dir() and split_name(f.name)) if root.is_dir() else []
    for photos, texts in (("images", "labels"), (".", "labels"), (".", ".")):
        sources = {split_name(f.name): Source(f / photos, f / texts) for f in inside if _has_labels(f / texts)}
        if sources:
            return {split: (source,) for split, source in sources.items()}
    return {"": (Source(root, root, recursive=False),)} if _has_labels(root, recursive=False) else {}


def _has_labels(folder: Path, *, recursive: bool = True) -> bool:
    texts = list_files(folder, (".txt",), recursive=recursive) if folder.is_dir() else []
    return any(text.name.lower() not in NOT_LABELS for text in texts)


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
    records: list[ImageRecord] = []
    for (photo, label), size in zip(pairs.items(), read_sizes(list(pairs)), strict=True):
        if isinstance(size, Problem):
            problems.append(size)
            continue
        record, found_here = _read_photo(photo, label, size, class_names)
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
            pairs.update({photo: _labels_for(photo.parent) / f"{photo.stem}.txt" for photo in photos})
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
    photo: Path, label: Path, size: tuple[int, int], class_names: tuple[str, ...]
) -> tuple[ImageRecord | None, list[Problem]]:
    if not label.is_file():
        message = f"no label file {label.name}: kept as background"
        note = Problem(photo, "no-label", message, "an empty label file says that this is meant", Severity.NOTE)
        record, _ = build_record(photo, size, (), label, class_names)
        return record, [note]
    try:
        rows, problems = read_label(label, size)
    except DataError as error:
        return None, [as_problem(label, "label-unreadable", error)]
    lost = sum(problem.severity is Severity.SET_ASIDE for problem in problems)
    record, more = build_record(photo, size, rows, label, class_names, lost=lost)
    return record, problems + more


def read_label(path: Path, size: tuple[int, int]) -> tuple[list[Row], list[Problem]]:
    """The rows of a label file for a photo of ``size`` (W, H), and its lines that are no labels.

    Raises DataError when the file is no UTF-8 text or too large.
    """
    rows: list[Row] = []
    problems: list[Problem] = []
    for number, line in enumerate(read_text(path, LABEL_BYTES).split("\n"), 1):
        words = line.split()
        if not words:
            continue
        try:
            row, polygon = _parse(words, number, size)
        except ValueError as error:
            hint = "a line is: class centre_x centre_y width height"
            problems.append(Problem(path, "malformed-line", f"line {number}: {error}", hint))
            continue
        rows.append(row)
        if polygon and not any(problem.reason == "polygon" for problem in problems):
            message = f"line {number}: a polygon; the box around it is used"
            problems.append(Problem(path, "polygon", message, severity=Severity.NOTE))
    return rows, problems


def _parse(words: list[str], number: int, size: tuple[int, int]) -> tuple[Row, bool]:
    if len(words) == 6:
        raise ValueError("6 numbers: predictions with a score are no labels")
    if len(words) < 5 or len(words) % 2 == 0:
        raise ValueError(f"{len(words)} numbers, wanted 5")
    try:
        values = [float(word) for word in words]
    except ValueError:
        raise ValueError(f"{' '.join(words)[:60]!r} is not all numbers") from None
    if not values[0].is_integer() or not abs(values[0]) < 1e6:
        raise ValueError(f"class {words[0]} is no class number")
    width, height = size
    if len(words) == 5:
        cx, cy, w, h = values[1:]
        box = (cx - w / 2) * width, (cy - h / 2) * height, (cx + w / 2) * width, (cy + h / 2) * height
    else:
        xs, ys = np.array(values[1::2]) * width, np.array(values[2::2]) * height
        box = float(xs.min()), float(ys.min()), float(xs.max()), float(ys.max())
    return Row(f"line {number}", int(values[0]), box), len(words) > 5


def label_text(record: ImageRecord) -> str:
    """The label file of a record: a line a box that is not to be ignored; 12 digits keep it exact in float32."""
    boxes = convert(record.boxes[~record.ignore], BoxFormat.XYXY, BoxFormat.CXCYWH)  # (N, 4)
    fractions = boxes / [record.width, record.height, record.width, record.height]
    lines = zip(record.classes[~record.ignore].tolist(), fractions.tolist(), strict=True)
    return "".join(f"{c} " + " ".join(f"{value:.12f}" for value in row) + "\n" for c, row in lines)


def settings_text(class_names: Iterable[str], splits: Iterable[str]) -> str:
    """The ``data.yaml`` of a folder ``images/SPLIT`` + ``labels/SPLIT``."""
    folders = {split: f"images/{split}" for split in splits if split}
    settings: dict[str, object] = {"path": ".", **folders, "names": dict(enumerate(class_names))}
    return yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)
