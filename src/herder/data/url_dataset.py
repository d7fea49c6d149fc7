"""Labels for photos that came from a list of URLs: YOLO text, Pascal VOC XML, or one COCO file.

The photos and their labels are laid out as a dataset of that format in a folder of its own (hard links, no copies), and
read as any other: each label is checked in the one place where labels are checked.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from herder.data.download import DownloadItem
from herder.data.download.url_list import NAMES, match_labels
from herder.data.formats import Format, read_splits
from herder.data.formats.labels import SETTINGS_BYTES, load_json, read_text
from herder.data.formats.yolo import settings_text
from herder.data.records import Dataset, ImageRecord, Problem
from herder.errors import DataError
from herder.files import writing

NAME_FILES = ("classes.txt", "obj.names", "data.yaml")
"""Where the names of classes may stand, among YOLO labels or beside their folder."""


def labels_format(labels: Path) -> Format:
    """The format of the labels at a path. Raises DataError when there are none."""
    if labels.is_file() and labels.suffix.lower() == ".json":
        return Format.COCO
    if labels.is_dir():
        if next(labels.rglob("*.xml"), None) is not None:
            return Format.VOC
        if next(labels.rglob("*.txt"), None) is not None:
            return Format.YOLO
    raise DataError(f"{labels}: no labels", hint="give a folder of .txt (YOLO) or .xml (VOC) files, or a COCO .json")


def build(items: Sequence[DownloadItem], labels: Path, photos: Path, stage: Path) -> tuple[Dataset, ...]:
    """The datasets, one a split, of those items that lie in the folder ``photos``, with their labels.

    ``stage`` is a folder that is made, used and removed. Photos without a label are among the problems, as are labels
    without a photo that was asked for. Raises DataError when nothing can be used.
    """
    here = [item for item in items if (photos / item.path).is_file()]
    if not here:
        return ()
    split = "train" if any(item.split for item in here) else ""
    here = [replace(item, split=item.split or split) for item in here]
    with writing(stage):
        shutil.rmtree(stage, ignore_errors=True)
        stage.mkdir(parents=True)
    try:
        with writing(stage):
            origin, problems = _LAYOUTS[labels_format(labels)](here, labels, photos, stage)
        parts = read_splits(stage)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    by_path = {item.path: item for item in here}
    datasets = []
    for i, part in enumerate(parts):
        found = tuple(replace(p, path=origin.get(p.path, p.path)) for p in part.problems)
        records = tuple(_record(record, origin, by_path, photos) for record in part)
        first = tuple(problems) if i == 0 else ()
        datasets.append(replace(part, root=photos, records=records, problems=first + found))
    return tuple(datasets)


Origin = dict[Path, Path]
"""Where each file of the stage really is."""


def _record(record: ImageRecord, origin: Origin, items: dict[PurePosixPath, DownloadItem], photos: Path) -> ImageRecord:
    """The record of the photo where it really lies, with what the list says of it."""
    path = origin[record.path]
    item = items[PurePosixPath(path.relative_to(photos).as_posix())]
    source = replace(
        record.source,
        url=record.source.url or item.url,
        page=record.source.page or item.page,
        author=record.source.author or item.author,
        title=record.source.title or item.title,
    )
    return replace(record, path=path, licence=record.licence or item.licence, source=source)


def _lay(item: DownloadItem, photos: Path, target: Path, origin: Origin) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    source = photos / item.path
    try:
        os.link(source, target)
    except OSError:  # a disk without hard links
        shutil.copyfile(source, target)
    origin[target] = source


def _lay_yolo(items: Sequence[DownloadItem], labels: Path, photos: Path, stage: Path) -> tuple[Origin, list[Problem]]:
    origin: Origin = {}
    found = match_labels(items, labels, ".txt")
    for item in items:
        if item.key in found.labels:
            _lay(item, photos, stage / "images" / item.split / item.path, origin)
            text = stage / "labels" / item.split / item.path.with_suffix(".txt")
            text.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(found.labels[item.key], text)
            origin[text] = found.labels[item.key]
    # In YOLO's own layout the names stand one floor up, beside the folder of the labels.
    places = [labels, labels.parent] if labels.name.lower() == "labels" else [labels]
    names = next((place / name for place in places for name in NAME_FILES if (place / name).is_file()), None)
    if names is not None and names.name == "data.yaml":
        _settings(names, items, stage)
    elif names is not None:
        shutil.copyfile(names, stage / "classes.txt")
    return origin, _unlabelled(found.unlabelled, photos, items)


def _settings(source: Path, items: Sequence[DownloadItem], stage: Path) -> None:
    """A ``data.yaml`` with the names of another one, and the splits of the stage."""
    try:
        names = (yaml.safe_load(read_text(source, SETTINGS_BYTES)) or {}).get("names")
    except (yaml.YAMLError, AttributeError):
        raise DataError(f"{source}: is not YAML with names", hint="write names: [alpaca]") from None
    values = [names[i] for i in sorted(names)] if isinstance(names, dict) else names
    if not isinstance(values, list):
        raise DataError(f"{source}: no list of names", hint="write names: [alpaca]")
    splits = dict.fromkeys(item.split for item in items)
    if any(splits):
        (stage / "data.yaml").write_text(settings_text([str(name) for name in values], splits), encoding="utf-8")
    else:
        (stage / "classes.txt").write_text("".join(f"{name}\n" for name in values), encoding="utf-8")


def _lay_voc(items: Sequence[DownloadItem], labels: Path, photos: Path, stage: Path) -> tuple[Origin, list[Problem]]:
    origin: Origin = {}
    found = match_labels(items, labels, ".xml")
    lists: dict[str, list[str]] = {}
    (stage / "Annotations").mkdir()
    for item in items:
        if item.key in found.labels:
            _lay(item, photos, stage / "JPEGImages" / item.path.name, origin)
            xml = stage / "Annotations" / f"{item.path.stem}.xml"
            shutil.copyfile(found.labels[item.key], xml)
            origin[xml] = found.labels[item.key]
            lists.setdefault(item.split, []).append(item.path.stem)
    for split, stems in lists.items():
        if split:
            listing = stage / "ImageSets" / "Main" / f"{split}.txt"
            listing.parent.mkdir(parents=True, exist_ok=True)
            listing.write_text("".join(f"{stem}\n" for stem in stems), encoding="utf-8")
    names = labels / "classes.txt"
    if names.is_file():
        shutil.copyfile(names, stage / "classes.txt")
    return origin, _unlabelled(found.unlabelled, photos, items)


def _lay_coco(items: Sequence[DownloadItem], labels: Path, photos: Path, stage: Path) -> tuple[Origin, list[Problem]]:
    data: Any = load_json(labels)
    if not isinstance(data, dict) or not isinstance(data.get("images"), list):
        raise DataError(f"{labels}: has no list of images", hint="give a COCO file")
    by_url = {item.url: item for item in items}
    by_name = {str(item.path): item for item in items}
    origin: Origin = {}
    entries: dict[str, list[dict[str, Any]]] = {}
    labelled: set[str] = set()
    for entry in data["images"]:
        if not isinstance(entry, dict):
            continue  # of a photo that cannot be named; the rest is read
        urls = [str(entry[name]) for name in NAMES["url"] if entry.get(name)]
        item = next((by_url[url] for url in urls if url in by_url), by_name.get(str(entry.get("file_name"))))
        if item is not None and item.key not in labelled:
            labelled.add(item.key)
            entries.setdefault(item.split, []).append({**entry, "file_name": str(item.path)})
            _lay(item, photos, stage / "images" / item.split / item.path, origin)
    (stage / "annotations").mkdir()
    annotations = data.get("annotations")
    for split, images in entries.items():
        ids = {str(image.get("id")) for image in images}
        mine = [a for a in annotations or [] if isinstance(a, dict) and str(a.get("image_id")) in ids]
        file = stage / "annotations" / (f"instances_{split}.json" if split else "instances.json")
        file.write_text(json.dumps({**data, "images": images, "annotations": mine}), encoding="utf-8")
        origin[file] = labels
    return origin, _unlabelled([item.key for item in items if item.key not in labelled], photos, items)


def _unlabelled(keys: Sequence[str], photos: Path, items: Sequence[DownloadItem]) -> list[Problem]:
    paths = {item.key: photos / item.path for item in items}
    hint = "label it, or take it from the list"
    return [Problem(paths[key], "no-label", "has no label and is not used", hint) for key in keys]


_LAYOUTS = {Format.YOLO: _lay_yolo, Format.COCO: _lay_coco, Format.VOC: _lay_voc}
