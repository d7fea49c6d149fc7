"""Plots of a dataset: classes, sizes and places of its boxes, sizes of its photos, and how fast it was fetched.

Each function returns the bytes of an SVG file. N boxes, P photos.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from herder.api.dataset_throughput import Throughput
from herder.data.records import ImageRecord
from herder.data.statistics import ClassStatistics
from herder.evaluation.plots import COLOURS, FAINT, INK, frame_axes, render_figure

CLASSES_DRAWN = 20
"""Bars of single classes; the rest is one bar."""

CELLS = 24
"""Cells on each side of the map of box centres."""

Values = NDArray[np.float64]


def class_plot(classes: Sequence[ClassStatistics]) -> bytes:
    """Boxes of each class, the most frequent first, and those to be ignored in grey."""
    ordered = sorted(classes, key=lambda entry: -entry.boxes)
    shown, rest = ordered[:CLASSES_DRAWN], ordered[CLASSES_DRAWN:]
    names = [entry.name for entry in shown] + ([f"{len(rest)} others"] if rest else [])
    used = [entry.boxes - entry.ignored for entry in shown] + [sum(e.boxes - e.ignored for e in rest)] * bool(rest)
    ignored = [entry.ignored for entry in shown] + [sum(e.ignored for e in rest)] * bool(rest)

    def draw(axes: Any) -> None:
        places = range(len(names))
        axes.barh(places, used, 0.6, color=COLOURS[0], label="counted")
        axes.barh(places, ignored, 0.6, left=used, color="#b8bfc6", label="to be ignored")
        for place, (a, b) in enumerate(zip(used, ignored, strict=True)):
            axes.text(a + b, place, f" {a + b:,}", va="center", fontsize=8, color=INK)
        axes.set_yticks(places, names)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.margins(x=0.14)
        frame_axes(axes, "boxes", "")
        if any(ignored):
            axes.legend(frameon=False, fontsize=8, loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderpad=0)

    return render_figure(lambda figure: draw(figure.subplots()), (4.6, min(6.5, max(2.2, 0.9 + 0.28 * len(names)))))


def histogram(values: Values, name: str, *, ratio: bool = False, marks: Sequence[tuple[float, str]] = ()) -> bytes:
    """How often each value comes; ``ratio``: on a logarithmic axis. ``marks`` are limits with their names."""
    edges = histogram_edges(values, ratio=ratio)

    def draw(axes: Any) -> None:
        axes.hist(values, edges, color=COLOURS[0], edgecolor="white", linewidth=0.4)
        if ratio:
            axes.set_xscale("log")
            from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

            axes.xaxis.set_major_locator(
                LogLocator(subs=(1, 2, 5) if edges[-1] > 30 * edges[0] else (1, 1.5, 2, 3, 5, 7))
            )
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.xaxis.set_minor_formatter(NullFormatter())
        for value, text in marks:
            axes.axvline(value, color=COLOURS[1], linewidth=1, linestyle="--")
            place = axes.get_xaxis_transform()
            axes.text(value, 0.97, f" {text}", transform=place, fontsize=8, color=COLOURS[1], va="top")
        frame_axes(axes, name, "count")

    return render_figure(lambda figure: draw(figure.subplots()), (4.6, 2.9))


def histogram_edges(values: Values, *, ratio: bool = False, bins: int = 30) -> Values:
    """Edges (bins + 1,) over all values: even, at whole numbers for few whole values, or in even ratios."""
    if not len(values):
        return np.array([0.0, 1.0])
    low, high = float(values.min()), float(values.max())
    if ratio and low > 0:
        high = max(high, low * 1.1)
        return np.asarray(np.geomspace(low, high, bins + 1), np.float64)
    if high - low < bins and (values == values.round()).all():
        return np.arange(low - 0.5, high + 1)
    return np.linspace(low, max(high, low + 1e-6 * max(1.0, abs(low))), bins + 1)


def place_plot(records: Sequence[ImageRecord]) -> bytes:
    """Where in the photo the centres of the boxes lie: dark is often."""
    centres = [
        (record.boxes[:, :2] + record.boxes[:, 2:]) / 2 / (record.width, record.height) for record in records
    ]  # (n, 2) each
    points = np.concatenate([np.zeros((0, 2)), *centres])  # (N, 2)
    counts = np.histogram2d(points[:, 1], points[:, 0], CELLS, ((0, 1), (0, 1)))[0]  # (rows, columns)

    def draw(axes: Any) -> None:
        image = axes.imshow(counts, cmap="Blues", extent=(0, 1, 1, 0), vmin=0, aspect=0.75)
        axes.figure.colorbar(image, ax=axes, shrink=0.85, label="boxes")
        axes.set_xlabel("from left to right", color=INK)
        axes.set_ylabel("from top to bottom", color=INK)
        axes.tick_params(labelsize=8, colors=INK)
        axes.spines[:].set_color(FAINT)

    return render_figure(lambda figure: draw(figure.subplots()), (4.6, 3.1))


def throughput_plot(batches: Sequence[Throughput]) -> bytes:
    """Photos a second over the photos that have arrived; each step is a batch."""
    edges = np.concatenate([[0], np.cumsum([batch.photos for batch in batches])])
    rates = [batch.rate for batch in batches]
    mean = sum(batch.photos for batch in batches) / max(1e-9, sum(batch.seconds for batch in batches))

    def draw(axes: Any) -> None:
        axes.stairs(rates, edges, fill=True, color=COLOURS[5], alpha=0.5)
        axes.stairs(rates, edges, color=COLOURS[0], linewidth=1.5, baseline=None)
        axes.axhline(mean, color=COLOURS[1], linewidth=1, linestyle="--", label=f"mean {mean:,.0f}")
        axes.set_ylim(0, 1.15 * max(rates, default=1) or 1)
        axes.set_xlim(0, max(1, edges[-1]))
        frame_axes(axes, "photos that had arrived", "photos a second")
        axes.legend(frameon=False, fontsize=8, loc="lower right")

    return render_figure(lambda figure: draw(figure.subplots()), (9.2, 2.6))
