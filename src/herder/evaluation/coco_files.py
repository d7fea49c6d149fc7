"""Evaluation from files alone: COCO annotations as truth, and predictions in COCO's or herder's form.

Truth is a COCO annotation file (https://cocodataset.org/#format-data). Predictions are a list of COCO results,
``{image_id, category_id, bbox, score}``, or of what herder writes, ``{file_name, category, bbox, score}``; ``bbox`` is
``[x, y, width, height]`` in pixels. Every entry is checked, since one NaN would quietly spoil every number.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from herder.data.records import Dataset
from herder.detections import Detections
from herder.errors import DataError
from herder.evaluation.average_precision import evaluate_tables
from herder.evaluation.json_entries import Entry, kind, read_json, shown
from herder.evaluation.metrics import Metrics
from herder.evaluation.tables import DetectionTable, DoubleArray, TruthTable
from herder.files import write_atomic


@dataclass(frozen=True, eq=False)
class CocoTruth:
    """A COCO annotation file: its boxes, and how its photos and classes are called."""

    path: Path
    table: TruthTable
    photo_ids: Mapping[int, int]
    """Image id to index, in the order of the ids: COCO breaks score ties in that order."""
    photo_names: Mapping[str, int]
    """Name to index, whole and, where only one photo has it, without the folders."""
    class_ids: Mapping[int, int]
    class_names: tuple[str, ...]

    @property
    def photos(self) -> int:
        """How many photos there are."""
        return len(self.photo_ids)


def evaluate_files(predictions: Path, truth: Path) -> tuple[Metrics, CocoTruth, DetectionTable]:
    """Measure a file of predictions against a COCO annotation file; returns what was read, too.

    Raises DataError naming the file, the entry and the field of the first thing that is wrong.
    """
    expected = read_truth(truth)
    found = read_predictions(predictions, expected)
    return evaluate_tables(expected.table, found, expected.photos, expected.class_names), expected, found


def read_truth(path: Path) -> CocoTruth:
    """Read a COCO annotation file; raises DataError for what is missing, doubled, unknown or not a finite number."""
    data = read_json(path)
    if not isinstance(data, dict):
        raise DataError(f"{path}: found {kind(data)}, wanted an object", hint="give a COCO annotation file as truth")
    lists = {}
    for key in ("images", "categories", "annotations"):
        if not isinstance(data.get(key), list):
            raise DataError(f"{path}: {key}: wanted a list", hint="give a COCO annotation file as truth")
        lists[key] = [Entry(path, f"{key}[{i}]", row) for i, row in enumerate(data[key])]
    photo_ids = _unique_ids(lists["images"])
    class_ids = _unique_ids(lists["categories"])
    if not class_ids:
        raise DataError(f"{path}: categories: empty", hint="add the classes that the annotations name")
    names = {entry.whole("id"): entry.text("name") for entry in lists["categories"]}
    class_names = tuple(names[i] for i in class_ids)
    if len(set(class_names)) < len(class_names):
        twice = sorted({name for name in class_names if class_names.count(name) > 1})
        raise DataError(f"{path}: categories: the names {twice} come more than once", hint="give each class one name")
    _unique_ids(lists["annotations"])
    return CocoTruth(
        path,
        _truth_table(lists["annotations"], photo_ids, class_ids),
        photo_ids,
        _photo_names(lists["images"], photo_ids),
        class_ids,
        class_names,
    )


def read_predictions(path: Path, truth: CocoTruth) -> DetectionTable:
    """Read predictions for the photos of ``truth``; an empty list is fine.

    Raises DataError for an entry that is malformed or names a photo or category that the truth does not have.
    """
    data = read_json(path)
    if not isinstance(data, list):
        raise DataError(
            f"{path}: found {kind(data)}, wanted a list of predictions",
            hint="write {image_id, category_id, bbox, score} or {file_name, category, bbox, score} for each detection",
        )
    classes_by_name = {name: index for index, name in enumerate(truth.class_names)}
    photos, classes, boxes, scores = [], [], [], []
    for i, row in enumerate(data):
        entry = Entry(path, f"[{i}]", row)
        if "image_id" in entry.row:
            photos.append(entry.known("image_id", entry.whole("image_id"), truth.photo_ids, truth.path))
            classes.append(entry.known("category_id", entry.whole("category_id"), truth.class_ids, truth.path))
        else:
            name = entry.text("file_name")
            short = PurePosixPath(name.replace("\\", "/")).name
            key = name if name in truth.photo_names else short
            photos.append(entry.known("file_name", key, truth.photo_names, truth.path, name))
            classes.append(entry.known("category", entry.text("category"), classes_by_name, truth.path))
        boxes.append(entry.box())
        scores.append(entry.share("score"))
    order = np.argsort(np.array(photos, np.int64), kind="stable")
    table = DetectionTable(
        np.array(photos, np.int64), np.array(classes, np.int64), _box_array(boxes), np.array(scores, np.float64)
    )
    return table.pick(order)


def write_predictions(path: Path, detections: Sequence[Detections], dataset: Dataset) -> None:
    """Write the detections of a dataset's photos as herder's list of predictions, all at once.

    Photos are named by file name, and by their path below the dataset where two share a name.
    Raises ResourceError when the place cannot be written.
    """
    names = [record.path.name for record in dataset]
    if len(set(names)) < len(names):
        root = dataset.root
        names = [(p.relative_to(root) if p.is_relative_to(root) else p).as_posix() for p in (r.path for r in dataset)]
    rows = [row for name, found in zip(names, detections, strict=True) for row in found.to_coco(name)]
    write_atomic(path, json.dumps(rows, allow_nan=False).encode())


def _unique_ids(entries: list[Entry]) -> dict[int, int]:
    """Id to rank among the ids; raises for an id that comes twice."""
    first: dict[int, str] = {}
    for entry in entries:
        number = entry.whole("id")
        if number in first:
            raise entry.error(f".id: {number} is already the id of {first[number]}", hint="give each entry its own id")
        first[number] = entry.place
    return {number: rank for rank, number in enumerate(sorted(first))}


def _photo_names(images: list[Entry], photo_ids: Mapping[int, int]) -> dict[str, int]:
    """Whole names, and last parts that only one photo has; photos without a name can be meant by id alone."""
    whole = {e.text("file_name"): photo_ids[e.whole("id")] for e in images if "file_name" in e.row}
    short: dict[str, int | None] = {}
    for name, index in whole.items():
        last = PurePosixPath(name.replace("\\", "/")).name
        short[last] = None if last in short else index
    return {name: index for name, index in short.items() if index is not None} | whole


def _truth_table(entries: list[Entry], photo_ids: Mapping[int, int], class_ids: Mapping[int, int]) -> TruthTable:
    photos, classes, boxes, ignore, areas = [], [], [], [], []
    for entry in entries:
        photos.append(entry.known("image_id", entry.whole("image_id"), photo_ids, entry.path))
        classes.append(entry.known("category_id", entry.whole("category_id"), class_ids, entry.path))
        boxes.append(entry.box())
        crowd = entry.row.get("iscrowd", 0)
        if crowd not in (0, 1):
            raise entry.error(f".iscrowd: found {shown(crowd)}, wanted 0 or 1")
        ignore.append(bool(crowd))
        areas.append(entry.number("area") if "area" in entry.row else boxes[-1][2] * boxes[-1][3])
    order = np.argsort(np.array(photos, np.int64), kind="stable")
    return TruthTable(
        np.array(photos, np.int64)[order],
        np.array(classes, np.int64)[order],
        _box_array(boxes)[order],
        np.array(ignore, np.bool_)[order],
        np.array(areas, np.float64)[order],
    )


def _box_array(boxes: list[list[float]]) -> DoubleArray:
    return np.array(boxes, np.float64).reshape(-1, 4)
