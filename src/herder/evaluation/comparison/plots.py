"""Pictures of a comparison: the differences that photos drawn anew give, and the values of single seeds or folds."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from herder.evaluation.comparison.result import TITLES, PhotoRow, PhotoTable, SeedTable
from herder.evaluation.not_computed import NotComputed
from herder.evaluation.plots import COLOURS, FAINT, INK, PictureFormat, frame_axes, render_figure

SIDE_COLOURS = (COLOURS[6], COLOURS[0])
"""Of A, what is there, and B, what may be better."""


def difference_plot(table: PhotoTable, margin: float | None = None, kind: PictureFormat = PictureFormat.SVG) -> bytes:
    """For each metric the histogram of B - A over the draws, its interval as a band, and 0 as a line.

    ``margin`` draws what the gate asks for as a second line.
    """
    rows = [row for row in table.rows if row.counts]

    def draw(figure: Any) -> None:
        panels = figure.subplots(1, max(1, len(rows)), squeeze=False).ravel()
        for panel, row in zip(panels, rows, strict=False):
            _histogram(panel, row, margin)
        if not rows:
            panels[0].set_axis_off()

    return render_figure(draw, (3.4 * max(1, len(rows)), 2.7), kind)


def _histogram(panel: Any, row: PhotoRow, margin: float | None) -> None:
    edges = np.array(row.edges)
    panel.bar(edges[:-1], row.counts, width=np.diff(edges), align="edge", color=COLOURS[5])
    if not isinstance(row.bounds, NotComputed):
        panel.axvspan(*row.bounds, color=COLOURS[4], alpha=0.25, linewidth=0, zorder=0)
    panel.axvline(0, color=INK, linewidth=1)
    if margin:
        panel.axvline(margin, color=COLOURS[1], linewidth=1, linestyle=":")
    if not isinstance(row.difference, NotComputed):
        panel.axvline(row.difference, color=INK, linewidth=1, linestyle="--")
    frame_axes(panel, f"B - A in {TITLES[row.metric]}", "draws")
    panel.set_yticks([])
    # 0 is always to be seen: how far the differences lie from it is the point.
    low, high = min(edges[0], 0.0), max(edges[-1], 0.0)
    room = 0.05 * (high - low) or 0.01
    panel.set_xlim(low - room, high + room)


def seed_plot(table: SeedTable, kind: PictureFormat = PictureFormat.SVG) -> bytes:
    """For each metric a dot for each seed or fold of A and of B, their means as a bar, pairs joined by a line."""

    def draw(figure: Any) -> None:
        panels = figure.subplots(1, max(1, len(table.rows)), squeeze=False).ravel()
        for panel, row in zip(panels, table.rows, strict=False):
            if table.paired_by:
                for one, other in zip(row.a, row.b, strict=True):
                    panel.plot([0, 1], [one, other], color=FAINT, linewidth=1, zorder=1)
            for place, values in enumerate((row.a, row.b)):
                colour = SIDE_COLOURS[place]
                panel.plot([place] * len(values), values, "o", color=colour, alpha=0.7, markersize=5, zorder=3)
                if values:
                    mean = math.fsum(values) / len(values)
                    panel.plot([place - 0.18, place + 0.18], [mean, mean], color=colour, linewidth=2, zorder=2)
            frame_axes(panel, "", TITLES[row.metric])
            panel.set_xticks([0, 1], ["A", "B"])
            panel.set_xlim(-0.5, 1.5)

    return render_figure(draw, (2.6 * max(1, len(table.rows)), 2.7), kind)
