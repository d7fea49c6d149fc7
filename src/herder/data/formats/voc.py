"""Pascal VOC: an XML file a photo in ``Annotations``, photos in ``JPEGImages``, splits in ``ImageSets/Main``.

Source: http://host.robots.ox.ac.uk/pascal/VOC/voc2012/devkit_doc.pdf. Two conventions of coordinates are in use, told
apart by how the four numbers of a box are written:

- whole numbers (``<xmin>48</xmin>``) are published VOC: pixels counted from 1, the last one included, so that
  ``1, 1, width, height`` is the whole photo; herder's ``x1, y1, x2, y2`` are ``xmin - 1, ymin - 1, xmax, ymax``;
- numbers with a decimal point (``<xmin>47.0</xmin>``) are distances from the outer corner of the top left pixel, as
  herder's own. Written files use these, so that nothing is rounded.

``difficult`` becomes ``ignore`` and back; flags of boxes, licence, group and source of a photo are kept. Files with a
document type or entities are refused: they can make a parser read other files of this machine or fill its memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from herder.data.formats.details import NO_DETAILS
from herder.data.formats.labels import LABEL_BYTES, Row, as_problem, build_record, read_class_names, read_text
from herder.data.formats.photos import list_files, list_photos, read_sizes, safe_name
from herder.data.formats.splits import split_name
from herder.data.formats.voc_xml import Annotation, read_annotation, to_xml
from herder.data.records import Dataset, ImageRecord, Problem, Severity
from herder.errors import DataError
from herder.images import IMAGE_SUFFIXES

__all__ = ["Layout", "find_layout", "read", "to_xml"]

NAMES_FILE = "classes.txt"
"""Class names in order, beside ``Annotations``; without it the names that occur count, in alphabetical order."""


@dataclass(frozen=True)
class Layout:
    """A VOC dataset as found on disk: for each split its folders and, where a list names them, the ids in it."""

    root: Path
    splits: Mapping[str, tuple[Path, Path, frozenset[str] | None]]


def find_layout(path: Path) -> Layout | None:
    """The VOC dataset in a folder, or None where there is none."""
    labels = next((path / n for n in ("Annotations", "annotations") if _has_xml(path / n)), None)
    if labels is not None:
        photos = next((path / n for n in ("JPEGImages", "images", "Images") if (path / n).is_dir()), path)
        lists = path / "ImageSets" / "Main"
        files = list_files(lists, (".txt",), recursive=False) if lists.is_dir() else []
        # trainval repeats train and val; files of one class (alpaca_train.txt) have a second column and are no split.
        named = {split_name(f.stem): f for f in files if split_name(f.stem)}
        if not named:
            return Layout(path, {"": (labels, photos, None)})
        return Layout(path, {split: (labels, photos, _ids(file)) for split, file in named.items()})
    inside = [f for f in sorted(path.iterdir()) if f.is_dir() and split_name(f.name) and _has_xml(f)]
    if inside:
        return Layout(path, {split_name(f.name): (f, f, None) for f in inside})
    return Layout(path, {"": (path, path, None)}) if _has_xml(path) else None


def _has_xml(folder: Path) -> bool:
    return folder.is_dir() and bool(list_files(folder, (".xml",), recursive=False))


def _ids(file: Path) -> frozenset[str]:
    return frozenset(line.split()[0] for line in read_text(file, LABEL_BYTES).split("\n") if line.strip())


def read(layout: Layout, split: str) -> Dataset:
    """Read one split. Raises DataError when it holds nothing that can be used."""
    folder, photo_folder, ids = layout.splits[split]
    class_names = _class_names(layout)
    problems: list[Problem] = []
    pairs: dict[Path, Annotation | None] = {}
    for label in list_files(folder, (".xml",), recursive=False):
        if ids is not None and label.stem not in ids:
            continue
        try:
            annotation = read_annotation(label)
            photo = _find_photo(annotation, photo_folder)
        except DataError as error:
            reason = "path-traversal" if "leads out" in error.message else "label-unreadable"
            problems.append(as_problem(label, reason, error))
            if (photo := _beside(label, photo_folder)) is not None:
                pairs.setdefault(photo, Annotation(label, problems=[problems.pop()], objects=[]))
            continue
        if photo is None:
            message = f"no photo {annotation.file_name or label.stem} in {photo_folder}"
            problems.append(Problem(label, "photo-missing", message, "copy the photo there, or remove the label"))
        elif photo in pairs:
            message = f"{photo.name} has a label file already; this one is left out"
            problems.append(Problem(label, "duplicate-photo", message, "put its boxes into one file"))
        else:
            pairs[photo] = annotation
    photos, foreign = list_photos(photo_folder, recursive=False)
    problems += foreign
    for photo in photos:
        if photo not in pairs and (ids is None or photo.stem in ids):
            pairs[photo] = None
    records = _records(pairs, class_names, problems)
    if not records:
        first = f"first: {problems[0]}" if problems else f"photos belong into {photo_folder}"
        raise DataError(f"{folder}: not one photo can be used", hint=first)
    return Dataset(tuple(records), class_names, layout.root, split, tuple(problems))


def _records(
    pairs: Mapping[Path, Annotation | None], class_names: tuple[str, ...], problems: list[Problem]
) -> list[ImageRecord]:
    records: list[ImageRecord] = []
    order = sorted(pairs)
    for photo, size in zip(order, read_sizes(order), strict=True):
        annotation = pairs[photo]
        if isinstance(size, Problem):
            problems.append(size)
            continue
        rows: list[Row] = []
        if annotation is None:
            message = f"no label file {photo.stem}.xml: kept as background"
            problems.append(Problem(photo, "no-label", message, severity=Severity.NOTE))
            label, lost, details = photo, 0, NO_DETAILS
        else:
            label, details = annotation.path, annotation.details
            problems += annotation.problems
            if annotation.size not in (None, size):
                stated = "{} x {}".format(*annotation.size) if annotation.size else ""
                message = f"{photo.name} is {size[0]} x {size[1]} upright, but the file was made for {stated}"
                hint = "label the photo again, or bring back the one that was labelled"
                problems.append(Problem(label, "size-mismatch", message, hint))
                continue
            rows, unknown = _rows(annotation, class_names)
            problems += unknown
            lost = len(annotation.problems) + len(unknown)
        record, found = build_record(photo, size, rows, label, class_names, lost=lost, details=details)
        problems += found
        if record is not None:
            records.append(record)
    return records


def _class_names(layout: Layout) -> tuple[str, ...]:
    """The names in ``classes.txt``, or all that occur in any split, in alphabetical order."""
    if (layout.root / NAMES_FILE).is_file():
        return read_class_names(layout.root / NAMES_FILE)
    names: set[str] = set()
    for folder in dict.fromkeys(folder for folder, _, _ in layout.splits.values()):
        for label in list_files(folder, (".xml",), recursive=False):
            try:
                names |= {item.name for item in read_annotation(label).objects}
            except DataError:
                continue  # reported when its split is read
    if not names:
        raise DataError(f"{layout.root}: not one labelled object", hint="is this a folder of Pascal VOC labels?")
    return tuple(sorted(names))


def _rows(annotation: Annotation, class_names: Sequence[str]) -> tuple[list[Row], list[Problem]]:
    rows: list[Row] = []
    problems: list[Problem] = []
    for item in annotation.objects:
        if item.name in class_names:
            rows.append(Row(item.where, class_names.index(item.name), item.box, item.ignore, item.flags))
        else:
            message = f"{item.where}: class {item.name!r} is not in {NAMES_FILE}"
            problems.append(Problem(annotation.path, "class-out-of-range", message, "add it there, or correct it"))
    return rows, problems


def _find_photo(annotation: Annotation, folder: Path) -> Path | None:
    """The photo that the file names, or else the one of the same stem: tools forget the name when files are renamed."""
    if annotation.file_name:
        try:
            named = folder / safe_name(annotation.file_name)
        except ValueError as error:
            raise DataError(f"{annotation.path}: filename {error}", hint="correct the filename") from None
        if named.is_file():
            return named
    return _beside(annotation.path, folder)


def _beside(label: Path, folder: Path) -> Path | None:
    places = (folder / f"{label.stem}{s}" for suffix in sorted(IMAGE_SUFFIXES) for s in (suffix, suffix.upper()))
    return next((place for place in places if place.is_file()), None)
