"""The parts of a report about a cross-validation: numbers with intervals, folds, and how steady they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from herder.evaluation.cross_validation import LEVEL, METRICS, CrossValidation, Measure, Pooled
from herder.evaluation.not_computed import NotComputed
from herder.evaluation.plots import COLOURS, INK, PictureFormat, frame_axes, render_figure
from herder.evaluation.report import Picture, Section, Table, Width
from herder.evaluation.significance.intervals import Interval

Cell = str | int | float

DECIMALS = 3


def crossval_sections(result: CrossValidation) -> list[Section]:
    """Summary, all folds together, each fold, and the spread over folds."""
    return [_summary(result), _pooled(result), _folds(result), _spread(result)]


def sections_from_json(data: Mapping[str, Any], source: str) -> list[Section]:
    """The same sections from the content of a ``crossval.json``, for a report made later.

    Raises DataError naming ``source`` where the content is something else.
    """
    return crossval_sections(CrossValidation.from_dict(data, source))


def _summary(result: CrossValidation) -> Section:
    score = result.robustness()
    numbers: list[tuple[str, Cell]] = []
    sentences = []
    for strategy in result.strategies:
        first = next((pooled for pooled in result.pooled if pooled.strategy == strategy), None)
        if first is not None:
            measure = measure_of(first, "mAP50_95")
            numbers.append((f"mAP50-95, {strategy}", cell(measure.value)))
            sentences.append(
                f"{strategy}: mAP50-95 {shown(measure.value)} on {first.photos:,} photos that were not trained on "
                f"({LEVEL:.0%} interval {measure.interval})."
            )
    numbers.append(("Robustness score", cell(score)))
    text = " ".join(sentences) or "No fold was measured."
    notes = "\n\n".join(result.notes)
    return Section("Cross-validation", f"{text}\n\n{notes}" if notes else text, numbers=numbers)


def _pooled(result: CrossValidation) -> Section:
    rows: list[tuple[Cell, ...]] = []
    for pooled in result.pooled:
        for name in METRICS:
            measure = measure_of(pooled, name)
            low, high = ends(measure.interval)
            repeat = f"{pooled.strategy} {pooled.repeat}"
            rows.append((repeat, title(name), cell(measure.value), low, high, pooled.photos, pooled.truths))
    return Section(
        "All folds together",
        "Each photo was looked at by the detector that did not train on it; measured as if one detector had looked at "
        f"all. BCa intervals ({LEVEL:.0%}) from photos drawn with replacement, those that never part together: they "
        "tell how much the choice of photos matters, not that of the training's seed. Precision, recall and F1 at the "
        "one score threshold with the best F1. Scores of different detectors are taken for comparable.",
        tables=[Table(("Strategy, repeat", "Metric", "Value", "From", "To", "Photos", "Boxes"), rows)] if rows else [],
    )


def _folds(result: CrossValidation) -> Section:
    columns = ("Repeat-fold", "Trained on", "Photos", "Boxes", *(title(name) for name in METRICS), "Epoch", "Minutes")
    rows = [
        (
            f"{fold.strategy} {fold.repeat}-{fold.fold}",
            fold.trained,
            fold.photos,
            fold.truths,
            *(cell(fold.value(name)) for name in METRICS),
            fold.epoch,
            fold.seconds / 60,
        )
        for fold in result.folds
    ]
    picture = Picture(
        folds_plot(result),
        "A dot for each fold and metric; the lines are the means over folds",
        "Each dot is a fold, each line the mean over the folds of a strategy.",
        Width.FULL,
    )
    return Section("Each fold", tables=[Table(columns, rows)], pictures=[picture] if rows else [])


def _spread(result: CrossValidation) -> Section:
    rows = [
        (s.strategy, title(s.metric), s.n, cell(s.mean), cell(s.std), *ends(s.interval), cell(s.steadiness))
        for s in result.spreads()
    ]
    columns = ("Strategy", "Metric", "Folds", "Mean", "Std", "From", "To", "1 - std / mean")
    return Section(
        "Spread over folds",
        f"Robustness score: {shown(result.robustness())}, the mean over strategies and metrics of 1 - standard "
        f"deviation / mean; 1 where all folds agree. Intervals of the mean ({LEVEL:.0%}) allow for folds that share "
        "training photos (Nadeau and Bengio 2003).",
        tables=[Table(columns, rows)] if rows else [],
    )


def folds_plot(result: CrossValidation, kind: PictureFormat = PictureFormat.SVG) -> bytes:
    """A dot for each fold over the metrics, one colour a strategy, with the means as short lines."""

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        count = len(result.strategies)
        for number, strategy in enumerate(result.strategies):
            colour = COLOURS[number % len(COLOURS)]
            folds = [fold for fold in result.folds if fold.strategy == strategy]
            for place, metric in enumerate(METRICS):
                values = [fold.metrics[metric] for fold in folds if metric in fold.metrics]
                if not values:
                    continue
                middle = place + (number - (count - 1) / 2) * 0.8 / count
                # Side by side within a strategy's strip, so that equal values are seen.
                offsets = np.linspace(-0.22, 0.22, len(values)) / count if len(values) > 1 else np.zeros(1)
                label = strategy if place == 0 else None
                axes.scatter(middle + offsets, values, s=22, color=colour, label=label, zorder=3)
                axes.hlines(np.mean(values), middle - 0.35 / count, middle + 0.35 / count, color=colour, linewidth=1.5)
        frame_axes(axes, "", "on photos that were not trained on", unit=False)
        axes.set_xticks(range(len(METRICS)), [title(name) for name in METRICS], color=INK)
        axes.set_ylim(0, 1)
        if count > 1:
            axes.legend(frameon=False, fontsize=8)

    return render_figure(draw, (7.0, 3.4), kind)


def title(metric: str) -> str:
    """The metric as people write it.

    >>> title("mAP50_95"), title("recall")
    ('mAP50-95', 'Recall')
    """
    return metric.replace("_", "-") if metric.startswith("mAP") else metric[:1].upper() + metric[1:]


def measure_of(pooled: Pooled, name: str) -> Measure:
    """The measure of this name; not computed where a file lacks it."""
    missing = NotComputed("not in the result")
    return next((m for m in pooled.measures if m.name == name), Measure(name, missing, missing))


def ends(interval: Interval | NotComputed) -> tuple[Cell, Cell]:
    """Both ends; where there are none the reason and nothing."""
    return (str(interval), "") if isinstance(interval, NotComputed) else (interval.low, interval.high)


def cell(value: float | NotComputed) -> Cell:
    """A number, or the reason why there is none, for a table."""
    return str(value) if isinstance(value, NotComputed) else value


def shown(value: float | NotComputed) -> str:
    """The same in a sentence."""
    return str(value) if isinstance(value, NotComputed) else f"{value:.{DECIMALS}f}"
