"""The parts of a report about rules: average precision by flag, and results by the rules of Open Images."""

from __future__ import annotations

from collections.abc import Sequence

from herder.evaluation.flag_slices import NO_FLAGS, FlagSlice
from herder.evaluation.metrics import Metrics
from herder.evaluation.not_computed import NotComputed
from herder.evaluation.report import Section, Table


def flag_section(slices: Sequence[FlagSlice]) -> Section:
    """A row for each value of each flag; one sentence where the dataset has no flags."""
    if all(isinstance(part.map50, NotComputed) and part.map50.reason == NO_FLAGS for part in slices):
        return Section("By flag", f"{str(NotComputed(NO_FLAGS)).capitalize()}: occluded, truncated, or a group.")
    rows: list[Sequence[str | int | float]] = []
    for part in slices:
        numbers = [value if isinstance(value, float) else str(value) for value in (part.recall, part.map50)]
        fits = part.map50_95 if isinstance(part.map50_95, float) else str(part.map50_95)
        rows.append([part.name, part.photos, part.truths, *numbers, fits])
    return Section(
        "By flag",
        "Boxes by what their annotators said of them; all others are ignored. A false alarm on nothing counts in every "
        "row, so that average precision is lower where a row has few boxes: compare the recall. A box around a group "
        "counts as found when a detection lies in it.",
        tables=[Table(("Boxes", "Photos", "Count", "Recall", "mAP50", "mAP50-95"), rows)],
    )


def open_images_sections(metrics: Metrics) -> list[Section]:
    """Results and classes by the rules of Open Images."""
    result = Section(
        "Result by the rules of Open Images",
        f"Measured on {metrics.photos:,} photos with {metrics.truths:,} labelled boxes, each counted for every class "
        "that it belongs to. A detection is a hit only if the box that it overlaps most is free (IoU 0.5); a box "
        "around a group counts once; detections of classes that nobody looked for in a photo do not count. "
        f"Precision, recall and F1 are at a score of {metrics.threshold:.2f}, where F1 is best.",
        numbers=[
            ("AP at IoU 0.5", metrics.map50),
            ("Precision", metrics.precision),
            ("Recall", metrics.recall),
            ("F1", metrics.f1),
            ("Threshold", metrics.threshold),
        ],
    )
    columns = ("Class", "Boxes", "AP at IoU 0.5", "Precision", "Recall", "F1", "Best threshold", "Best F1")
    rows = [
        (c.name, c.truths, c.map50, c.precision, c.recall, c.f1, c.best_threshold, c.best_f1) for c in metrics.per_class
    ]
    return [result, Section("Classes", tables=[Table(columns, rows)])]
