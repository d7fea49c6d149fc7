"""The parts of a report about thresholds: operating points that were asked for, and how well animals are counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from herder.evaluation.counting import Counting, CountingCurve, CountingError
from herder.evaluation.not_computed import NotComputed
from herder.evaluation.operating_point import NotReached, OperatingPoint
from herder.evaluation.plots import COLOURS, FAINT, INK, PictureFormat, frame_axes, render_figure
from herder.evaluation.report import Picture, Section, Table, Width
from herder.evaluation.wanted_points import OperatingPoints

Cells = list[str | int | float]


def operating_section(points: OperatingPoints) -> Section:
    """Thresholds for the best F-beta, the wanted precision and the wanted recall, overall and for each class."""
    columns = ("Class", "Wanted", "Threshold", "Precision", "Recall", "Found", "Missed", "False alarms", "")
    rows: list[Sequence[str | int | float]] = []
    for row in points.rows:
        for wanted, point in (
            (f"best F{points.beta:g}", row.best),
            (f"precision {points.precision:g}", row.at_precision),
            (f"recall {points.recall:g}", row.at_recall),
        ):
            note = f"F{points.beta:g} {row.f_beta:.3f}" if point is row.best and not np.isnan(row.f_beta) else ""
            rows.append([row.name, wanted, *_point_cells(point, note)])
    return Section(
        "Operating points",
        "Which score threshold gives what was asked for, at IoU 0.5. Of the thresholds that reach the wanted "
        "precision, the one with the most recall; of those that reach the wanted recall, the one with the most "
        "precision. The thresholds were chosen on these very photos: on new ones they give a little less.",
        tables=[Table(columns, rows)],
    )


def counting_section(counting: Counting) -> Section:
    """Counting errors at the threshold and at the best one, and two pictures of them."""
    columns = ("Animals", "Threshold", "Photos", "Labelled", "Counted", "MAE", "RMSE", "Bias", "Exact", "")
    rows: list[Sequence[str | int | float]] = []
    for name, curve in counting.rows():
        rows.append([name, *_error_cells(curve.at(counting.threshold), counting.threshold, "")])
        rows.append([name, *_error_cells(curve.best(), None, "the least MAE")])
    hidden = counting.whole.unknown
    left_out = (
        f" In {hidden:,} {'photo' if hidden == 1 else 'photos'} a herd box hides how many animals there are: left out."
        if hidden
        else ""
    )
    error = counting.whole.at(counting.threshold)
    numbers: list[tuple[str, str | int | float]] = []
    pictures = []
    if isinstance(error, CountingError):
        numbers = [("MAE", error.mae), ("RMSE", error.rmse), ("Bias", f"{error.bias:+.3f}"), ("Exact", error.exact)]
        pictures = [
            Picture(
                counting_plot(counting),
                "Animals counted over animals labelled, and the counting error over the score threshold",
                f"Left: each photo's count at a score of {counting.threshold:.2f}, the larger the dot the more photos; "
                "on the line the count is right. Right: the mean error of a photo's count over the threshold.",
                width=Width.FULL,
            )
        ]
    return Section(
        "Counting",
        "How far a photo's count is off: on average (MAE), with large errors weighing more (RMSE), and in which "
        "direction (bias, positive where too many are counted). Exact is the share of photos whose count is right. A "
        f"false alarm beside a missed animal counts right here.{left_out} The second threshold of each pair was chosen "
        "on these very photos.",
        numbers=numbers,
        tables=[Table(columns, rows)],
        pictures=pictures,
    )


def counting_plot(counting: Counting, kind: PictureFormat = PictureFormat.SVG) -> bytes:
    """Animals counted over animals labelled, a dot for each pair of numbers; MAE over the score threshold."""
    pairs, photos = np.unique(np.stack([counting.labelled, counting.counted]), axis=1, return_counts=True)  # (2, n)
    curve: CountingCurve = counting.whole

    def draw(figure: Any) -> None:
        left, right = figure.subplots(1, 2)
        most = max(1, int(pairs.max(initial=0)))
        left.plot([0, most], [0, most], color=FAINT, linewidth=1.5)
        left.scatter(pairs[0], pairs[1], s=12 + 10 * np.sqrt(photos), color=COLOURS[0], alpha=0.7, linewidths=0)
        frame_axes(left, "labelled", "counted")
        left.xaxis.get_major_locator().set_params(integer=True)
        left.yaxis.get_major_locator().set_params(integer=True)
        right.step(curve.scores, curve.mae[1:], color=INK, where="post")
        error = curve.best()
        if isinstance(error, CountingError):
            right.plot(
                [error.threshold], [error.mae], "o", color=INK, label=f"{error.mae:.2f} at {error.threshold:.2f}"
            )
            right.legend(frameon=False, fontsize=8)
        frame_axes(right, "score threshold", "mean absolute error")
        right.set_xlim(0, 1)
        right.set_ylim(bottom=0)
        # Without a threshold nearly everything counts: that far end would flatten what matters.
        if len(curve.scores):
            right.set_ylim(top=float(min(curve.mae.max(), max(3 * curve.mae.min(), 1.5 * curve.mae[0]))) * 1.05 + 0.05)

    return render_figure(draw, (8.4, 3.6), kind)


def _point_cells(point: OperatingPoint | NotReached, note: str) -> Cells:
    if isinstance(point, NotReached):
        return [*["\N{EN DASH}"] * 6, str(point)]
    return [
        point.threshold,
        point.precision,
        point.recall,
        point.hits,
        point.misses,
        point.false_alarms,
        note or ("no box is labelled" if np.isnan(point.recall) else ""),
    ]


def _error_cells(error: CountingError | NotComputed, threshold: float | None, note: str) -> Cells:
    if isinstance(error, NotComputed):
        return ["\N{EN DASH}" if threshold is None else threshold, *["\N{EN DASH}"] * 7, str(error)]
    return [
        error.threshold,
        error.photos,
        error.labelled,
        error.counted,
        error.mae,
        error.rmse,
        f"{error.bias:+.3f}",
        error.exact,
        note,
    ]
