"""The parts of a report about one evaluation: numbers, classes, curves, confusions, and the photos that went worst."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from herder.boxes import BoxFormat, as_boxes, convert
from herder.data.records import Dataset, Problem
from herder.detections import Detections
from herder.drawing import draw_boxes
from herder.errors import DataError
from herder.evaluation.average_precision import precision_recall_curves
from herder.evaluation.error_analysis import PhotoErrors, best, confusion_matrix, photo_errors, worst
from herder.evaluation.matching import match
from herder.evaluation.metrics import Metrics
from herder.evaluation.plots import confusion_plot, f1_plot, precision_recall_plot
from herder.evaluation.report import Picture, Section, Table, Width
from herder.evaluation.tables import DetectionTable, TruthTable, detection_table, truth_table
from herder.images import read_image
from herder.spec import ModelSpec

HIT, FALSE_ALARM, MISS = (0, 158, 115), (213, 94, 0), (240, 228, 66)
"""RGB of what is right, what is not there, and what was not seen; told apart by colour-blind eyes, too."""

CELL = 480
"""Pixels of the longest side of the photos shown."""


def metric_sections(
    metrics: Metrics, truth: TruthTable, found: DetectionTable, class_names: Sequence[str]
) -> list[Section]:
    """Results, classes, curves and confusions of one evaluation."""
    found = found.best()
    whole, per_class = precision_recall_curves(truth, found, len(class_names))
    matrix = confusion_matrix(truth, found, class_names, metrics.threshold)
    point = whole.at(metrics.threshold)
    result = Section(
        "Result",
        f"Measured on {metrics.photos:,} photos with {metrics.truths:,} labelled boxes. At a score threshold of "
        f"{metrics.threshold:.2f}, where F1 is best, {point.hits:,} of these are found, {point.misses:,} are missed, "
        f"and {point.false_alarms:,} detections are false alarms (IoU 0.5).",
        numbers=[
            ("mAP50", metrics.map50),
            ("mAP50-95", metrics.map50_95),
            ("Precision", metrics.precision),
            ("Recall", metrics.recall),
            ("F1", metrics.f1),
            ("Threshold", metrics.threshold),
        ],
        tables=[
            Table(
                ("COCO measure", "Value"),
                [
                    ("AP at IoU 0.75", metrics.map75),
                    ("AP of small boxes, up to 32 x 32 pixels", metrics.ap_small),
                    ("AP of medium boxes, up to 96 x 96 pixels", metrics.ap_medium),
                    ("AP of large boxes", metrics.ap_large),
                    ("Recall with 1 detection a photo", metrics.ar_1),
                    ("Recall with 10 detections a photo", metrics.ar_10),
                    ("Recall with 100 detections a photo", metrics.ar_100),
                ],
            )
        ],
    )
    columns = ("Class", "Boxes", "mAP50", "mAP50-95", "Precision", "Recall", "F1", "Best threshold", "Best F1")
    classes = Section(
        "Classes",
        "Precision, recall and F1 are at the common threshold; the last two columns are what the class would reach at "
        "a threshold of its own.",
        tables=[Table(columns, [(c.name, *c.as_dict().values()) for c in metrics.per_class])],
    )
    curves = Section(
        "Curves",
        pictures=[
            Picture(
                precision_recall_plot(whole, per_class, class_names),
                "Precision over recall",
                "Precision over recall at IoU 0.5. The dot is the threshold with the best F1.",
            ),
            Picture(
                f1_plot(whole, per_class, class_names),
                "F1 over the score threshold",
                "F1 over the score threshold. A flat top means that the exact threshold matters little.",
            ),
            Picture(
                confusion_plot(matrix),
                "Confusion matrix",
                "What labelled boxes (rows) were detected as (columns). Last column: missed; last row: false alarms.",
            ),
        ],
    )
    return [result, classes, curves]


def worst_section(dataset: Dataset, detections: Sequence[Detections], threshold: float, limit: int = 9) -> Section:
    """The photos with the most misses and false alarms, drawn."""
    truth, found = truth_table(dataset.records), detection_table(detections)
    errors = worst(photo_errors(truth, found, len(dataset), threshold), limit)
    pictures = _pictures(dataset, truth, found, errors, threshold)
    if not pictures:
        return Section("Worst photos", "In no photo was a box missed or a false alarm raised.")
    return Section(
        "Worst photos",
        f"The photos with the most errors at a score of {threshold:.2f}. Green: found, with the score. Yellow: "
        "labelled but missed. Orange: detected where nothing is labelled; look closely, the label may be what is "
        "missing.",
        pictures=pictures,
    )


def best_section(dataset: Dataset, detections: Sequence[Detections], threshold: float, limit: int = 3) -> Section:
    """The photos with the most animals of which all were found and nothing else, drawn."""
    truth, found = truth_table(dataset.records), detection_table(detections)
    errors = best(photo_errors(truth, found, len(dataset), threshold), limit)
    pictures = _pictures(dataset, truth, found, errors, threshold)
    if not pictures:
        return Section("Best photos", "In no photo was every labelled box found without a false alarm.")
    return Section(
        "Best photos",
        f"The photos with the most labelled boxes of which all were found at a score of {threshold:.2f}, with nothing "
        "besides.",
        pictures=pictures,
    )


def _pictures(
    dataset: Dataset, truth: TruthTable, found: DetectionTable, errors: Sequence[PhotoErrors], threshold: float
) -> list[Picture]:
    pictures = []
    for error in errors:
        path = dataset[error.photo].path
        try:
            photo = read_image(path)
        except DataError:
            continue  # set aside in the evaluation already, and reported there
        drawn = _drawn(photo, truth, found, error.photo, threshold)
        caption = f"{path.name}: {_counted(error)}"
        pictures.append(Picture.of(drawn, f"{caption}, drawn as boxes", caption, width=Width.THIRD))
    return pictures


def model_section(spec: ModelSpec, facts: Sequence[tuple[str, str]] = ()) -> Section:
    """What the model file says about itself, and further facts, such as its speed."""
    shown = [
        ("Model", spec.name),
        ("Classes", ", ".join(spec.class_names)),
        ("Input size", f"{spec.input_size} pixels"),
        ("Score threshold", f"{spec.score_threshold:.2f}"),
        ("Overlap for suppression", f"IoU {spec.nms_iou:.2f}"),
        ("Temperature of the scores", f"{spec.temperature:.3f}" if spec.temperature != 1 else ""),
        ("Starting weights", spec.origin),
        ("Trained on", f"dataset {spec.dataset_fingerprint[:12]}" if spec.dataset_fingerprint else ""),
        ("Written by", f"herder {spec.herder_version}" if spec.herder_version else ""),
        *facts,
    ]
    return Section("Model", facts=[(name, value) for name, value in shown if value])


def problem_section(problems: Sequence[Problem], limit: int = 50) -> Section:
    """What was set aside, and why."""
    more = f" The first {limit} are listed." if len(problems) > limit else ""
    return Section(
        "Set aside",
        f"{len(problems):,} findings: these photos or boxes are not in the numbers.{more}",
        tables=[
            Table(("File", "What is wrong", "What to do"), [(p.path.name, p.message, p.hint) for p in problems[:limit]])
        ],
    )


def _counted(error: PhotoErrors) -> str:
    counts = ((error.misses, "missed"), (error.false_alarms, "false"))
    return ", ".join(f"{count} {what}" for count, what in counts if count) or f"all {error.hits} found"


def _drawn(
    photo: NDArray[np.uint8], truth: TruthTable, found: DetectionTable, index: int, threshold: float
) -> NDArray[np.uint8]:
    """The photo made small first, so that lines and letters stay readable, with its boxes."""
    factor = min(1.0, CELL / max(photo.shape[:2]))
    if factor < 1:
        photo = np.asarray(cv2.resize(photo, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8)
    kept = found.best()
    kept = kept.pick((kept.photos == index) & (kept.scores >= threshold))
    matches = match(truth, kept)
    missed = (truth.photos == index) & ~truth.ignore
    missed[matches.truth[matches.hits]] = False
    alarms = ~matches.hits & ~matches.ignored
    for boxes, labels, colour in (
        (truth.boxes[missed], ["missed"] * int(missed.sum()), MISS),
        (kept.boxes[alarms], [f"{s:.2f}" for s in kept.scores[alarms]], FALSE_ALARM),
        (kept.boxes[matches.hits], [f"{s:.2f}" for s in kept.scores[matches.hits]], HIT),
    ):
        scaled = as_boxes(convert(boxes, BoxFormat.XYWH, BoxFormat.XYXY) * factor)
        photo = draw_boxes(photo, scaled, labels, color=colour)
    return photo
