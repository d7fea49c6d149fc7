"""Datasets from disk and back: YOLO folders, COCO JSON and Pascal VOC XML, told apart by what lies in the folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from herder.data.formats import coco, voc, yolo
from herder.data.formats.detect import Layout, find_layout
from herder.data.formats.write import Format, write_dataset, write_splits
from herder.data.records import Dataset, ImageRecord, Problem
from herder.errors import DataError

__all__ = ["Format", "available_splits", "read_dataset", "read_splits", "write_dataset", "write_splits"]


def available_splits(path: Path) -> tuple[str, ...]:
    """The splits of the dataset at ``path``, such as ``("train", "val")``; empty where it has none.

    Raises DataError when there is no dataset.
    """
    order = {"train": 0, "val": 1, "test": 2}
    return tuple(sorted(filter(None, find_layout(Path(path)).splits), key=lambda name: (order.get(name, 3), name)))


def read_dataset(path: Path, *, split: str | None = None) -> Dataset:
    """Read the dataset at a folder, a ``data.yaml`` or a COCO file; ``split`` None reads all of it.

    Photos and labels that cannot be used are set aside and stand in ``problems``; photos are known by their headers and
    not decoded (``herder.data.validation.check_dataset`` does that). Nothing on disk is changed.
    Raises DataError when there is no dataset, no such split, or nothing in it that can be used.
    """
    layout = find_layout(Path(path))
    if split is not None:
        names = available_splits(path)
        if split not in layout.splits:
            known = f"there are {', '.join(names)}" if names else "it has no splits: make some with herder data split"
            raise DataError(f"{path}: no split {split!r}", hint=known)
        return _read(layout, split)
    parts = read_splits(path)
    return parts[0] if len(parts) == 1 else join(parts)


def read_splits(path: Path) -> tuple[Dataset, ...]:
    """Read every split of the dataset at ``path``, all with the same class names; one in all where it has no splits.

    A split of which nothing can be used is left out and stands among the problems of the first, as long as others are
    there. Raises DataError as ``read_dataset`` does.
    """
    layout = find_layout(Path(path))
    parts: list[Dataset] = []
    failed: list[DataError] = []
    for name in available_splits(path) or layout.splits:
        try:
            parts.append(_read(layout, name))
        except DataError as error:
            failed.append(error)
    if not parts:
        raise failed[0]
    lost = tuple(Problem(layout.root, "split-unusable", error.message, error.hint) for error in failed)
    parts[0] = replace(parts[0], problems=lost + parts[0].problems)
    names = tuple(dict.fromkeys(name for part in parts for name in part.class_names))
    return tuple(
        replace(part, class_names=names, records=tuple(relabel(record, part.class_names, names) for record in part))
        for part in parts
    )


def join(parts: Sequence[Dataset]) -> Dataset:
    """Splits of one dataset, with the same class names, as one dataset without a split."""
    records = tuple(record for part in parts for record in part)
    # Findings about the whole dataset come once with each split.
    problems = tuple(dict.fromkeys(problem for part in parts for problem in part.problems))
    return replace(parts[0], records=records, split="", problems=problems)


def relabel(record: ImageRecord, source: tuple[str, ...], target: tuple[str, ...]) -> ImageRecord:
    """The record with class ids that point into ``target`` where they pointed into ``source``."""
    if target[: len(source)] == source:
        return record
    classes = np.array([target.index(source[i]) for i in record.classes.tolist()], np.int64)
    return replace(record, classes=classes)


def _read(layout: Layout, split: str) -> Dataset:
    if isinstance(layout, yolo.Layout):
        return yolo.read(layout, split)
    if isinstance(layout, coco.Layout):
        return coco.read(layout, split)
    return voc.read(layout, split)
