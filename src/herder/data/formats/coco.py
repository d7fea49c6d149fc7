"""COCO JSON: one file with ``images``, ``categories`` and ``annotations`` whose ``bbox`` is ``x, y, width, height``.

Source: https://cocodataset.org/#format-data. Boxes are pixels from the outer corner of the top left pixel, as herder's
own. ``iscrowd`` becomes ``ignore`` and back; class ids follow the order of the category ids. Written besides are the
licences, the address of each photo as ``coco_url``, and fields of herder, which other readers pass over: ``group``,
``page``, ``author`` and ``title`` of an image, ``is_occluded`` and the other flags of an annotation, where known.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from herder.boxes import BoxFormat, convert
from herder.data.formats.coco_entries import (
    FLAG_PREFIX,
    categories,
    choose_images,
    find_photos,
    image_details,
    label_rows,
    licences_by_id,
    listed,
    wrong_size,
)
from herder.data.formats.details import known_flags, source_fields
from herder.data.formats.labels import JSON_BYTES, build_record, load_json
from herder.data.formats.photos import list_files, read_sizes
from herder.data.formats.splits import split_name
from herder.data.records import Dataset, ImageRecord, Problem
from herder.errors import DataError

OTHER_TASKS = ("captions", "person_keypoints", "panoptic", "stuff", "image_info")
"""Beginnings of the names of COCO files that hold no boxes for detection."""


@dataclass(frozen=True)
class Layout:
    """A COCO dataset as found on disk: a JSON file a split; the split ``""`` stands for a file without one."""

    root: Path
    splits: Mapping[str, Path]


def find_layout(path: Path) -> Layout | None:
    """The COCO dataset at a JSON file or in a folder that holds some, or None where there is none."""
    if path.is_file():
        return Layout(_root_of(path), {split_name(path.stem): path})
    inside = [f for f in sorted(path.iterdir()) if f.is_dir() and split_name(f.name)]
    exported = {split_name(f.name): f / "_annotations.coco.json" for f in inside}
    exported = {split: file for split, file in exported.items() if file.is_file()}
    if exported:
        return Layout(path, exported)
    for folder in (path / "annotations", path / "Annotations", path):
        files = list_files(folder, (".json",), recursive=False) if folder.is_dir() else []
        files = [file for file in files if not file.stem.lower().startswith(OTHER_TASKS) and _looks_right(file)]
        if len(files) == 1:
            return Layout(path, {split_name(files[0].stem): files[0]})
        if files:
            names = [split_name(file.stem) for file in files]
            unique = len(set(names)) == len(names) and "" not in names
            return Layout(path, dict(zip(names if unique else [f.stem for f in files], files, strict=True)))
    return None


def _looks_right(file: Path) -> bool:
    """Whether a JSON file may be COCO's: other tools leave JSON in folders of photos as well."""
    if file.stat().st_size > JSON_BYTES:
        return True  # reading it says what is wrong
    data = file.read_bytes()
    return b'"images"' in data and b'"annotations"' in data


def _root_of(file: Path) -> Path:
    """The folder of the dataset that a COCO file belongs to."""
    return file.parent.parent if file.parent.name.lower() in ("annotations", "labels") else file.parent


def read(layout: Layout, split: str) -> Dataset:
    """Read one split. Raises DataError when the file is no COCO file or not one of its photos can be used."""
    path = layout.splits[split]
    data = load_json(path)
    if not isinstance(data, dict):
        raise DataError(
            f"{path}: holds a {type(data).__name__}, wanted an object", hint="is this a file of predictions?"
        )
    images, annotations = listed(path, data, "images"), listed(path, data, "annotations")
    class_names, class_of = categories(path, listed(path, data, "categories"))
    licences = licences_by_id(data)
    problems: list[Problem] = []
    chosen = choose_images(path, images, problems)
    photos = find_photos(path, layout.root, split, chosen, problems)
    rows, lost = label_rows(path, annotations, class_of, chosen, problems)
    records: list[ImageRecord] = []
    for (key, photo), size in zip(photos.items(), read_sizes(list(photos.values())), strict=True):
        found = size if isinstance(size, Problem) else wrong_size(path, photo, chosen[key], size)
        if isinstance(size, Problem) or found is not None:
            problems += [found] if found is not None else []
            continue
        details = image_details(chosen[key], licences)
        record, more = build_record(photo, size, rows[key], path, class_names, lost=lost[key], details=details)
        problems += more
        if record is not None:
            records.append(record)
    if not records:
        first = f"first: {problems[0]}" if problems else "the list of images is empty"
        raise DataError(f"{path}: not one of {len(images)} photos can be used", hint=first)
    return Dataset(tuple(records), class_names, layout.root, split, tuple(problems))


def to_json(records: Sequence[tuple[str, ImageRecord]], class_names: Sequence[str]) -> str:
    """The COCO file of (file name, record) pairs; ids count from 1."""
    licences = sorted({_licence(record) for _, record in records} - {("", "")})
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, (name, record) in enumerate(records, 1):
        image: dict[str, Any] = {"id": number, "file_name": name, "width": record.width, "height": record.height}
        if any(_licence(record)):
            image["license"] = licences.index(_licence(record)) + 1
        told = source_fields(record.source) | {"group": record.group, "licence_url": ""}
        image |= {"coco_url" if key == "url" else key: text for key, text in told.items() if text}
        images.append(image)
        annotations += _annotations(record, number, len(annotations) + 1)
    data = {
        "info": {"description": "written by herder"},
        "licenses": [
            {"id": number, "name": name} | ({"url": url} if url else {})
            for number, (name, url) in enumerate(licences, 1)
        ],
        "images": images,
        "categories": [{"id": number, "name": name} for number, name in enumerate(class_names, 1)],
        "annotations": annotations,
    }
    return json.dumps(data, ensure_ascii=False, indent=1) + "\n"


def _licence(record: ImageRecord) -> tuple[str, str]:
    return record.licence, record.source.licence_url


def _annotations(record: ImageRecord, image: int, first: int) -> Iterator[dict[str, Any]]:
    """The annotations of one record, their ids from ``first``."""
    boxes = convert(record.boxes, BoxFormat.XYXY, BoxFormat.XYWH).tolist()
    rows = zip(boxes, record.classes.tolist(), record.ignore.tolist(), record.flags.table().tolist(), strict=True)
    for number, (box, class_id, ignore, flags) in enumerate(rows, first):
        yield {
            "id": number,
            "image_id": image,
            "category_id": class_id + 1,
            "bbox": box,
            "area": box[2] * box[3],
            "iscrowd": int(ignore),
            **known_flags(flags, FLAG_PREFIX),
        }
