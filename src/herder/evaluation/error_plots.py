"""Pictures of errors: what fixing each kind is worth, and whether scores say how often they are right."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from herder.evaluation.calibration import Bin, Reliability
from herder.evaluation.error_breakdown import ErrorBreakdown
from herder.evaluation.plots import COLOURS, FAINT, INK, PictureFormat, frame_axes, render_figure

NORMAL_95 = 1.959964
"""Standard deviations of a normal distribution that 95 % lies within."""


def breakdown_plot(breakdown: ErrorBreakdown, kind: PictureFormat = PictureFormat.SVG) -> bytes:
    """Bars: on the left the mAP50 that fixing each kind gives, on the right how often it comes at the threshold."""
    rows = breakdown.kinds
    names = [row.name for row in rows]
    colours = COLOURS[: len(rows)]

    def draw(figure: Any) -> None:
        left, right = figure.subplots(1, 2, sharey=True)
        gains = [row.gain if isinstance(row.gain, float) else 0.0 for row in rows]
        counts = [row.at_threshold for row in rows]
        for axes, values, form in ((left, gains, "{:.3f}"), (right, counts, "{:,}")):
            bars = axes.barh(names, values, color=colours, height=0.7)
            axes.bar_label(bars, [form.format(value) for value in values], padding=3, fontsize=8, color=INK)
            axes.set_xlim(0, max(max(values) * 1.18, 0.01 if axes is left else 1))
        left.invert_yaxis()  # both share it: the first kind on top
        frame_axes(left, "mAP50 that fixing all of these would add", "")
        frame_axes(right, f"errors at a score of {breakdown.threshold:.2f}", "")
        right.xaxis.get_major_locator().set_params(integer=True)
        for axes in (left, right):
            axes.grid(visible=False, axis="y")
            axes.tick_params(axis="y", length=0)

    return render_figure(draw, (8.4, 2.9), kind)


def reliability_plot(
    before: Reliability, after: Reliability | None = None, kind: PictureFormat = PictureFormat.SVG
) -> bytes:
    """Precision over score, bin by bin, with 95 % intervals; on the dashed line scores are right. Below, the counts.

    Left of or above the line the detector is too modest, below it too sure. ``after`` is drawn beside ``before``.
    """
    shown = [(before, "as it is" if after else "", COLOURS[1])]
    if after:
        shown.append((after, "calibrated", COLOURS[0]))

    def draw(figure: Any) -> None:
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        top.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle="--")
        for place, (reliability, label, colour) in enumerate(shown):
            name = f"{label}, D-ECE {reliability.ece:.3f}".lstrip(", ")
            points = [(b.confidence, b.precision, *_wilson(b)) for b in reliability.bins if b.count]
            x, y, low, high = np.array(points, np.float64).reshape(-1, 4).T
            top.errorbar(
                x, y, (y - low, high - y), color=colour, marker="o", markersize=4, capsize=2, linewidth=1.2, label=name
            )
            width = 1 / len(reliability.bins) / (len(shown) + 0.25)
            left = [b.low + width * (place + 0.125) for b in reliability.bins]
            bottom.bar(left, [b.count for b in reliability.bins], width, align="edge", color=colour)
        frame_axes(top, "", "precision", unit=True)
        top.legend(frameon=False, fontsize=8, loc="upper left")
        frame_axes(bottom, "score", "detections")
        bottom.grid(visible=False, axis="x")
        bottom.spines["bottom"].set_color(FAINT)
        bottom.yaxis.get_major_locator().set_params(integer=True, nbins=3)

    return render_figure(draw, (4.8, 5.0), kind)


def _wilson(cell: Bin) -> tuple[float, float]:
    """The 95 % interval of a bin's precision: E. B. Wilson, 1927, https://doi.org/10.1080/01621459.1927.10502953."""
    n, p, z = cell.count, float(cell.precision) if isinstance(cell.precision, float) else math.nan, NORMAL_95
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    # Rounding may put an end a hair past the precision of 0 or 1 itself.
    return min(p, max(0.0, centre - half)), max(p, min(1.0, centre + half))
