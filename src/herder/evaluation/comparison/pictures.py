"""The photos that tell two detectors apart, drawn with what each of them found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from herder.boxes import BoxFormat, as_boxes, convert
from herder.data.records import Dataset
from herder.detections import Detections
from herder.drawing import draw_detections, grid
from herder.errors import DataError
from herder.evaluation.comparison.measured_sides import best_threshold
from herder.evaluation.comparison.result import Comparison, PhotoTable
from herder.evaluation.report import Picture, Section
from herder.evaluation.tables import DetectionTable, truth_table
from herder.images import read_image


def gain_section(
    result: Comparison,
    dataset: Dataset | None,
    a: DetectionTable,
    b: DetectionTable,
    shown_photos: Sequence[int],
    limit: int = 6,
) -> Section:
    """The photos where B gained and lost most, A's detections beside B's, each at its best threshold.

    ``shown_photos`` are indices into ``dataset``, best gain first; of several models of a side, ``a`` and ``b`` are
    the first. Without a dataset there is nothing to draw.
    """
    if dataset is None or not isinstance(result.photos, PhotoTable):
        return Section("Photos", "Only files of detections were compared: there are no photos to draw.")
    truth = truth_table(dataset.records)
    classes = len(dataset.class_names)
    thresholds = [best_threshold(truth, found, classes) for found in (a, b)]
    gains = list(zip(shown_photos, result.photos.gains, strict=True))
    won = [pair for pair in gains if pair[1].gain > 0][:limit]
    lost = [pair for pair in gains if pair[1].gain < 0][::-1][:limit]
    pictures = []
    for words, pairs in (("gained", won), ("lost", lost)):
        for index, gain in pairs:
            record = dataset[index]
            try:
                photo = read_image(record.path)
            except DataError:
                continue  # taken away since it was measured
            drawn = [
                draw_detections(photo, _of_photo(found, index, dataset.class_names).above(score), record.boxes)
                for found, score in zip((a, b), thresholds, strict=True)
            ]
            caption = f"{gain.name}: B {words}; {gain.a:g} errors of A (left), {gain.b:g} of B (right)"
            pictures.append(Picture.of(grid(drawn, cell=420, columns=2), caption, caption))
    if not pictures:
        return Section("Photos", "On no photo does one of the two make more errors than the other.")
    several = " Of several models of a side the first is drawn, and errors are means." if _several(result) else ""
    return Section(
        "Photos",
        "Where B gained most over A, and where it lost most. Dashed: labelled. Solid: found, at the score with the "
        f"best F1 ({thresholds[0]:.2f} for A, {thresholds[1]:.2f} for B).{several}",
        pictures=pictures,
    )


def _several(result: Comparison) -> bool:
    return max(len(result.a.members), len(result.b.members)) > 1


def _of_photo(found: DetectionTable, index: int, class_names: tuple[str, ...]) -> Detections:
    rows = found.best()
    rows = rows.pick(rows.photos == index)
    boxes = as_boxes(convert(rows.boxes, BoxFormat.XYWH, BoxFormat.XYXY))
    return Detections(boxes, rows.scores.astype(np.float32), rows.classes, class_names)
