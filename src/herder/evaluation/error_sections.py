"""The part of a report about kinds of errors: what fixing each would give, how often it comes, and examples."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from herder.boxes import FloatArray, as_boxes
from herder.data.records import Dataset
from herder.drawing import TRUTH, draw_boxes
from herder.errors import DataError
from herder.evaluation.error_breakdown import ErrorBreakdown, KindResult
from herder.evaluation.error_kinds import BY_CLASS, ErrorExample
from herder.evaluation.error_plots import breakdown_plot
from herder.evaluation.report import Picture, Section, Table, Width
from herder.evaluation.sections import FALSE_ALARM, MISS
from herder.images import read_image

SHOWN = 3
"""Examples of each kind."""

SIDE = 360
"""Pixels of the longest side of an example."""

MEANINGS = {
    "classification": "found, but called another class",
    "localisation": "right class, but the box fits by less than IoU 0.5",
    "both": "another class, and a box that fits poorly",
    "duplicate": "found a second time",
    "background": "nothing is labelled there",
    "missed": "labelled, but nothing was found",
    "false positives": "all detections that hit nothing",
    "false negatives": "all labelled boxes that nothing hit",
}


def breakdown_section(breakdown: ErrorBreakdown, dataset: Dataset | None = None) -> Section:
    """Kinds of errors as table and bars; with the ``dataset`` that was measured, examples of each kind, too."""
    rows = [*breakdown.kinds, breakdown.false_positives, breakdown.false_negatives]
    text = (
        "Each error is of one kind, after TIDE (https://arxiv.org/abs/2008.08115). The gain is how much mAP50 would "
        "rise if all errors of this kind, and no others, were fixed: work on the largest first. Gains do not add up, "
        "since fixing one kind uncovers another. False positives and negatives are all errors of either side at once."
    )
    if breakdown.classes < 2:
        text += (
            "\n\nWith one class no detection can have the wrong one: there are no "
            f"{' and no '.join(kind.value for kind in BY_CLASS)} errors."
        )
    columns = (
        "Error",
        "What it is",
        "Gain in mAP50",
        f"Errors at a score of {breakdown.threshold:.2f}",
        "Errors at any score",
    )
    pictures = []
    if isinstance(breakdown.map50, float):
        pictures.append(
            Picture(
                breakdown_plot(breakdown),
                "Bars of the gain in mAP50 and of the number of errors of each kind",
                f"What fixing each kind would add to the mAP50 of {breakdown.map50:.3f}, and how often it comes.",
                width=Width.FULL,
            )
        )
    if dataset is not None:
        drawn = _examples(breakdown, dataset)
        pictures += drawn
        if drawn:
            text += (
                "\n\nThe pictures show parts of photos: labelled boxes dashed green, detections orange, and what was "
                "missed yellow. Where a background detection is on an animal, the label is what is missing."
            )
    return Section("Kinds of errors", text, tables=[Table(columns, [_row(row) for row in rows])], pictures=pictures)


def _row(row: KindResult) -> tuple[str | int | float, ...]:
    gain = row.gain if isinstance(row.gain, float) else str(row.gain)
    return row.name, MEANINGS[row.name], gain, row.at_threshold, row.count


def _examples(breakdown: ErrorBreakdown, dataset: Dataset) -> list[Picture]:
    pictures = []
    for row, examples in zip(breakdown.kinds, breakdown.examples, strict=True):
        for example in examples[:SHOWN]:
            path = dataset[example.photo].path
            try:
                drawn = draw_example(read_image(path), example)
            except DataError:
                continue  # set aside in the evaluation already, and reported there
            what = f"{row.name}, {path.name}"
            if example.labelled_as and example.found_as not in ("", example.labelled_as):
                what += f": {example.labelled_as} called {example.found_as}"
            pictures.append(Picture.of(drawn, f"{what}, drawn as boxes", what, width=Width.THIRD))
    return pictures


def crop_around(
    photo: NDArray[np.uint8], boxes: FloatArray
) -> tuple[NDArray[np.uint8], Callable[[FloatArray], FloatArray]]:
    """The part of ``photo`` (H, W, 3) around boxes (N, 4), N > 0, its longest side 360 pixels.

    The function beside it takes boxes (M, 4) from the photo to the part.
    """
    height, width = photo.shape[:2]
    corners = np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])
    margin = max(24.0, 0.6 * float((corners[2:] - corners[:2]).max()))
    left, top = np.floor(np.clip(corners[:2] - margin, 0, (width - 1, height - 1))).astype(int).tolist()
    right, bottom = np.ceil(np.clip(corners[2:] + margin, (left + 1, top + 1), (width, height))).astype(int).tolist()
    part = photo[top:bottom, left:right]
    factor = SIDE / max(part.shape[:2])
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    sides = max(1, round(part.shape[1] * factor)), max(1, round(part.shape[0] * factor))
    part = np.asarray(cv2.resize(part, sides, interpolation=how), np.uint8)
    shift = np.array([left, top, left, top], np.float32)
    return part, lambda others: as_boxes((others - shift) * np.float32(factor))


def draw_example(photo: NDArray[np.uint8], example: ErrorExample) -> NDArray[np.uint8]:
    """The part of ``photo`` (H, W, 3) around one error, its boxes drawn; the longest side is 360 pixels."""
    there = [box for box in (example.labelled, example.box) if box is not None]
    part, place = crop_around(photo, as_boxes(there))
    boxes = place(as_boxes(there))
    if example.labelled is not None:
        missed = example.box is None
        part = draw_boxes(
            part, boxes[:1], ["missed"] if missed else (), color=MISS if missed else TRUTH, dashed=not missed
        )
    if example.box is not None:
        part = draw_boxes(part, boxes[-1:], [f"{example.found_as} {example.score:.2f}"], color=FALSE_ALARM)
    return part
