"""The parts of a report about robustness: what is left, the table, a curve a corruption, hard slices, photos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from herder.boxes import FloatArray
from herder.data.records import Dataset, ImageRecord
from herder.detections import Detections
from herder.drawing import draw_detections
from herder.errors import DataError
from herder.evaluation.corruptions import CORRUPTIONS
from herder.evaluation.detector import class_mapping, to_data_classes
from herder.evaluation.not_computed import NotComputed
from herder.evaluation.report import Picture, Section, Table, Width
from herder.evaluation.robustness.cells import corrupted
from herder.evaluation.robustness.plots import robustness_plot, title
from herder.evaluation.robustness.result import CellResult, Robustness, most_damaged
from herder.evaluation.robustness.slices import SliceResult
from herder.images import read_image
from herder.inference import Detector

Value = str | int | float

SHOWN = 420
"""Width in pixels of each of two photos side by side."""


def robustness_sections(result: Robustness, slices: Sequence[SliceResult] = ()) -> list[Section]:
    """Summary, tables, curves and slices; the photos come from ``damage_section``, which needs the detector."""
    sections = [_summary(result)]
    if result.cells:
        sections += [_tables(result), _curves(result), _at_work(result)]
    return [*sections, *([slice_section(slices)] if slices else [])]


def sections_from_json(data: Mapping[str, Any], source: str) -> list[Section]:
    """The same sections from the content of a ``robustness.json``, for a report made later.

    Raises DataError naming ``source`` where the content is something else.
    """
    result = Robustness.from_dict(data, source)
    try:
        slices = [SliceResult.from_dict(part) for part in data.get("slices", ())]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{source}: slices cannot be read ({error!r})", hint="run `herder robustness` again") from None
    return robustness_sections(result, slices)


def group_rows(result: Robustness) -> list[tuple[str, str, tuple[str, ...]]]:
    """The two groups of corruptions that means are taken over: title, metric name, and corruptions."""
    of_15 = "15 published" if len(result.published) == 15 else f"{len(result.published)} of the 15 published"
    groups = [(of_15, result.published), (", ".join(title(name) for name in result.own), result.own)]
    return [(text, metric, names) for text, names in groups if names for metric in ("mAP50", "mAP50_95")]


def _summary(result: Robustness) -> Section:
    clean = result.clean
    published = result.published or result.own
    left = result.relative("mAP50_95", published)
    sentence = (
        f"Under corruption {left:.0%} of the clean mAP50-95 is left, as the mean over {len(published)} corruptions."
        if isinstance(left, float)
        else f"Relative performance is {left}."
    )
    rows = [
        (group, metric.replace("_", "-"), _cell(clean.metric(metric)), *_means(result, metric, names))
        for group, metric, names in group_rows(result)
    ]
    return Section(
        "Robustness",
        f"{sentence}\n\nmPC is the mean over corruptions and severities, rPC that divided by the clean value "
        "(Michaelis et al. 2019, arXiv:1907.07484). Low light, occlusion and scale are not in the published 15 and "
        f"stand apart. {clean.photos:,} photos, {clean.truths:,} labelled boxes, severities "
        f"{', '.join(str(s) for s in result.severities) or 'none'}.",
        numbers=[
            ("Clean mAP50", clean.map50),
            ("Clean mAP50-95", clean.map50_95),
            ("mPC", _value(result.performance("mAP50_95", published))),
            ("rPC", _value(left)),
        ],
        tables=[Table(("Corruptions", "Metric", "Clean", "mPC", "rPC"), rows)] if rows else [],
    )


def _tables(result: Robustness) -> Section:
    columns = ("Corruption", "Clean", *(str(s) for s in result.severities), "Mean", "Of clean")
    tables = []
    for metric in ("mAP50_95", "mAP50"):
        rows: list[tuple[Value, ...]] = []
        for name in result.corruptions:
            known = {cell.severity: cell for cell in result.of(name)}
            values = [_cell(known[s].metric(metric)) if s in known else "not measured" for s in result.severities]
            rows.append((title(name), _cell(result.clean.metric(metric)), *values, *_means(result, metric, (name,))))
        tables.append(Table(columns, rows, f"{metric.replace('_', '-')} by severity."))
    described = [CORRUPTIONS[name] for name in result.corruptions if name in CORRUPTIONS]
    levels = [(c.title, c.quantity, *(c.levels[s - 1] for s in result.severities)) for c in described]
    columns = ("Corruption", "What changes", *(str(s) for s in result.severities))
    return Section("Each corruption", tables=[*tables, Table(columns, levels, "What the severities are.")])


def _curves(result: Robustness) -> Section:
    picture = Picture(
        robustness_plot(result),
        "mAP over severity, one panel a corruption",
        "mAP50 and mAP50-95 over severity; the dashed lines are the clean photos.",
        Width.FULL,
    )
    return Section("Curves", pictures=[picture])


def _at_work(result: Robustness) -> Section:
    """Recall and precision of a detector whose threshold nobody moves when the weather turns."""
    rows = []
    for name in result.corruptions:
        hardest = result.of(name)[-1]
        means = (_value(result.performance(metric, (name,))) for metric in ("recall", "precision"))
        rows.append((title(name), *means, hardest.severity, _cell(hardest.recall), _cell(hardest.precision)))
    clean = ("clean", _cell(result.clean.recall), _cell(result.clean.precision), 0, "", "")
    return Section(
        "At work",
        f"Recall and precision at IoU 0.5 and a score of {result.threshold:.2f}, the best threshold on clean photos: "
        "what a detector that is already running would do. Means are over the severities.",
        tables=[
            Table(("Corruption", "Recall", "Precision", "Severity", "Recall there", "Precision there"), [clean, *rows])
        ],
    )


def slice_section(slices: Sequence[SliceResult]) -> Section:
    """What the detector does where the photos themselves are hard."""
    columns = ("Slice", "Photos", "Boxes", "Recall", "mAP50", "mAP50-95", "Which boxes")
    rows = [(s.name, s.photos, s.truths, _value(s.recall), _value(s.map50), _value(s.map50_95), s.rule) for s in slices]
    return Section(
        "Hard photos",
        "Found in the clean photos, not made. Other boxes are ignored; false alarms on nothing count in every slice, "
        "so compare slices by recall first. A slice of few boxes says little.",
        tables=[Table(columns, rows)],
    )


def damage_section(
    result: Robustness,
    dataset: Dataset,
    detections: Sequence[Detections],
    detector: Detector,
    *,
    seed: int,
    size: int | None = None,
    limit: int = 6,
) -> Section:
    """Photos that corruptions damaged most, clean beside corrupted, with what was found (solid) and labelled (dashed).

    ``detections`` are those on the clean photos of ``dataset``; those on the few corrupted ones are computed again.
    """
    mapping = class_mapping(detector.class_names, dataset.class_names, {})
    pictures = []
    for cell, index in most_damaged(result, limit):
        record = dataset[index]
        worse, labelled = corrupted(record, cell.cell, seed)
        again = detector.detect(worse, score=min(result.threshold, 1.0), size=size)
        found = to_data_classes(again, mapping, dataset.class_names)
        clean = detections[index].above(result.threshold)
        pair = [
            draw_detections(read_image(record.path), clean, _counting(record)),
            draw_detections(worse, found, _counting(labelled)),
        ]
        counts = [_counted(row, index) for row in (result.clean, cell)]
        caption = f"{record.path.name}, {title(cell.corruption)} {cell.severity}: {counts[0]}, then {counts[1]}"
        pictures.append(Picture.of(_side_by_side(pair), f"{caption}; clean and corrupted", caption))
    if not pictures:
        return Section("Photos that suffered most", "No corruption added a miss or a false alarm to any photo.")
    return Section(
        "Photos that suffered most",
        "Of the corruptions that cost most, at the highest severity, the photo that gained the most errors: on the "
        f"left as it is, on the right corrupted. Dashed: labelled. Solid: found with a score of {result.threshold:.2f} "
        "or more.",
        pictures=pictures,
    )


def _side_by_side(pair: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Two photos of one size, each ``SHOWN`` pixels wide, with a white line between them."""
    height = max(1, round(SHOWN * pair[0].shape[0] / pair[0].shape[1]))
    left, right = (np.asarray(cv2.resize(p, (SHOWN, height), interpolation=cv2.INTER_AREA), np.uint8) for p in pair)
    return np.hstack([left, np.full((height, SHOWN // 60, 3), 255, np.uint8), right])


def _counting(record: ImageRecord) -> FloatArray:
    """The labelled boxes that count."""
    return record.boxes[~record.ignore]


def _counted(row: CellResult, photo: int) -> str:
    return f"{row.misses[photo]} missed and {row.false_alarms[photo]} false"


def _means(result: Robustness, metric: str, names: Sequence[str]) -> tuple[Value, Value]:
    return _value(result.performance(metric, names)), _value(result.relative(metric, names))


def _value(value: float | NotComputed) -> Value:
    return str(value) if isinstance(value, NotComputed) else value


def _cell(value: float) -> Value:
    return "not defined" if np.isnan(value) else value
