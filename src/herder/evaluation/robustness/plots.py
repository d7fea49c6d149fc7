"""A curve for each corruption: what is left of the detector's quality as the photos get worse."""

from __future__ import annotations

import math
from typing import Any

from herder.evaluation.corruptions import CORRUPTIONS
from herder.evaluation.plots import COLOURS, FAINT, INK, PictureFormat, frame_axes, render_figure
from herder.evaluation.robustness.result import Robustness

COLUMNS = 6
"""Panels side by side: the 15 published corruptions and the three others are three full rows."""


def robustness_plot(result: Robustness, kind: PictureFormat = PictureFormat.SVG) -> bytes:
    """Small panels, one a corruption: mAP50 and mAP50-95 over severity, from clean (0) on; a dashed line is clean."""
    names = result.corruptions
    columns = min(COLUMNS, max(1, len(names)))
    rows = max(1, -(-len(names) // columns))

    def draw(figure: Any) -> None:
        panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
        for panel, name in zip(panels, names, strict=False):
            cells = (result.clean, *result.of(name))
            severities = [cell.severity for cell in cells]
            for metric, label, colour in (("mAP50", "mAP50", COLOURS[5]), ("mAP50_95", "mAP50-95", COLOURS[0])):
                values = [cell.metric(metric) for cell in cells]
                if not math.isnan(values[0]):
                    panel.axhline(values[0], color=colour, linewidth=0.8, linestyle="--")
                panel.plot(severities, values, color=colour, marker="o", markersize=3, label=label)
            frame_axes(panel, "", "")
            panel.set_title(title(name), fontsize=9, color=INK)
            panel.set_ylim(0, 1)
            panel.set_xticks(range(max((*result.severities, 1)) + 1))
        for panel in panels[len(names) :]:
            panel.set_axis_off()
        figure.supxlabel("severity (0: the photos as they are)", fontsize=9, color=INK)
        if names:
            figure.legend(
                *panels[0].get_legend_handles_labels(), loc="outside upper right", ncols=2, fontsize=8, edgecolor=FAINT
            )

    return render_figure(draw, (2.0 * columns + 0.4, 1.6 * rows + 0.7), kind)


def title(name: str) -> str:
    """The name of a corruption as people write it; one that this herder does not know stays as it is.

    >>> title("low_light")
    'low light'
    """
    return CORRUPTIONS[name].title if name in CORRUPTIONS else name
