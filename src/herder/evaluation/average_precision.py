"""COCO's average precision and recall, and precision, recall and F1 at the best threshold: the figures of a detector.

The definition is https://cocodataset.org/#detection-eval: precision interpolated at 101 recalls, averaged over IoU 0.5,
0.55, ... 0.95 and the classes. ``coco_engines`` has the arrays made that the means are taken of.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from herder.data.records import ImageRecord
from herder.detections import Detections
from herder.evaluation.coco_engines import ALL, LARGE, MEDIUM, SMALL, coco_arrays
from herder.evaluation.matching import match
from herder.evaluation.metrics import ClassMetrics, Metrics
from herder.evaluation.open_images.matching import match_open_images
from herder.evaluation.operating_point import Curve
from herder.evaluation.rules import Rules
from herder.evaluation.tables import DetectionTable, DoubleArray, TruthTable, detection_table, truth_table

IOU_50, IOU_75 = 0, 5
"""Indices of IoU 0.5 and 0.75 among 0.5, 0.55, ... 0.95."""


def evaluate_detections(
    detections: Sequence[Detections], records: Sequence[ImageRecord], class_names: Sequence[str]
) -> Metrics:
    """Measure the detections of each photo against its record; both sequences in the same order.

    Ignore boxes count as COCO's crowds. The size of a box is its width times its height. Prints nothing.
    Raises ValueError when the lengths differ or a class id is out of range, MissingExtraError without the packages.

    >>> from pathlib import Path
    >>> photo = ImageRecord(Path("a.jpg"), 100, 80, [[10, 10, 50, 60]], [0])
    >>> metrics = evaluate_detections([Detections([[10, 10, 50, 50]], [0.9], [0])], [photo], ["alpaca"])
    >>> round(metrics.map50, 3), round(metrics.map50_95, 3), metrics.f1, round(metrics.threshold, 2)
    (1.0, 0.7, 1.0, 0.9)
    """
    if len(detections) != len(records):
        raise ValueError(f"detections of {len(detections)} photos do not match {len(records)} records")
    return evaluate_tables(truth_table(records), detection_table(detections), len(records), class_names)


def evaluate_tables(truth: TruthTable, found: DetectionTable, photos: int, class_names: Sequence[str]) -> Metrics:
    """Like ``evaluate_detections``, from flat tables. Raises ValueError for a class id out of range."""
    for classes in (truth.classes, found.classes):
        if len(classes) and not 0 <= classes.min() <= classes.max() < len(class_names):
            raise ValueError(
                f"class ids {classes.min()} to {classes.max()} are out of range for {len(class_names)} names"
            )
    found = found.best()  # what COCO drops first counts nowhere
    arrays = coco_arrays(truth, found, photos, len(class_names))
    curve, class_curves = precision_recall_curves(truth, found, len(class_names))
    point = curve.best()
    per_class = []
    for index, name in enumerate(class_names):
        at, own = class_curves[index].at(point.threshold), class_curves[index].best()
        average = arrays.precision[:, :, index, ALL]  # (10, 101)
        per_class.append(
            ClassMetrics(
                name,
                class_curves[index].truths,
                _mean(average[IOU_50]),
                _mean(average),
                at.precision,
                at.recall,
                at.f1,
                own.threshold,
                own.f1,
            )
        )
    average = arrays.precision  # (10, 101, K, 4)
    return Metrics(
        map50=_mean(average[IOU_50, :, :, ALL]),
        map50_95=_mean(average[:, :, :, ALL]),
        map75=_mean(average[IOU_75, :, :, ALL]),
        ap_small=_mean(average[:, :, :, SMALL]),
        ap_medium=_mean(average[:, :, :, MEDIUM]),
        ap_large=_mean(average[:, :, :, LARGE]),
        ar_1=_mean(arrays.recall[:, :, 0]),
        ar_10=_mean(arrays.recall[:, :, 1]),
        ar_100=_mean(arrays.recall[:, :, 2]),
        precision=point.precision,
        recall=point.recall,
        f1=point.f1,
        threshold=point.threshold,
        photos=photos,
        truths=curve.truths,
        per_class=tuple(per_class),
    )


def precision_recall_curves(
    truth: TruthTable, found: DetectionTable, classes: int, rules: Rules = Rules.COCO
) -> tuple[Curve, list[Curve]]:
    """The curve of all classes counted together, and one for each class, at IoU 0.5."""
    coco = rules is Rules.COCO
    matches = match(truth, found) if coco else match_open_images(truth, found)
    counting = ~truth.ignore if coco else np.ones(len(truth), np.bool_)
    counts = ~matches.ignored
    hits = matches.hits
    whole = Curve.of(found.scores[counts], hits[counts], int(counting.sum()))
    per_class = []
    for index in range(classes):
        rows = counts & (found.classes == index)
        truths = int((counting & (truth.classes == index)).sum())
        per_class.append(Curve.of(found.scores[rows], hits[rows], truths))
    return whole, per_class


def _mean(values: DoubleArray) -> float:
    """The mean of what is defined (-1 is not); NaN where nothing is."""
    defined = values[values > -1]
    return float(defined.mean()) if len(defined) else float("nan")
