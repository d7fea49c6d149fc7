"""Pictures of numbers: training curves, precision and recall, F1 over the threshold, the confusion matrix.

Each function returns the bytes of an SVG (default) or PNG file. Figures are built without pyplot, so that nothing is
kept between calls and no window is ever opened.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any

import numpy as np

from herder.errors import MissingExtraError
from herder.evaluation.error_analysis import ConfusionMatrix
from herder.evaluation.operating_point import Curve

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f")
"""Told apart by colour-blind eyes, too: Okabe and Ito, https://jfly.uni-koeln.de/color/."""

LOSSES = ("box", "cls", "dfl", "obj", "total")
"""Columns of a training log that hold terms of the loss."""

POINTS = 500
"""A curve is drawn with at most so many points; more make the file large and look the same."""

CLASSES_DRAWN = 7
"""Curves of single classes drawn beside the one of all; more cannot be told apart."""

CELLS_WRITTEN = 16
"""A confusion matrix of more classes shows colours without numbers."""

INK, FAINT = "#1f2933", "#d9dee3"


class PictureFormat(Enum):
    """How a plot is written."""

    SVG = "svg"
    PNG = "png"


def training_curves(rows: Sequence[Mapping[str, Any]], kind: PictureFormat = PictureFormat.SVG) -> bytes:
    """Losses, quality and learning rates over the epochs, from the rows of a training log.

    A row maps names to numbers or their text, as ``csv.DictReader`` gives them. Drawn over ``epoch`` (the row's number
    where it is missing) are the losses (box, cls, dfl, obj, or a name with ``loss`` in it); mAP, precision, recall and
    F1; and what starts with ``lr``.
    Empty cells are left out.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    panels: list[tuple[str, list[str]]] = [
        ("loss", [n for n in names if n in LOSSES or "loss" in n.lower()]),
        ("quality", [n for n in names if n.startswith(("mAP50", "precision", "recall", "F1"))]),
        ("learning rate", [n for n in names if n.lower().startswith(("lr", "learning_rate"))]),
    ]
    panels = [(label, chosen) for label, chosen in panels if chosen] or [("nothing was logged", [])]
    epochs = np.array([_number(row.get("epoch", i)) for i, row in enumerate(rows, start=1)])

    def draw(figure: Any) -> None:
        for axes, (label, chosen) in zip(np.ravel(figure.subplots(1, len(panels))), panels, strict=True):
            for name, colour in zip(chosen, _colours(len(chosen)), strict=True):
                values = np.array([_number(row.get(name)) for row in rows])
                known = np.isfinite(values) & np.isfinite(epochs)
                # A single epoch is a point, which a line alone would not show.
                axes.plot(
                    epochs[known], values[known], color=colour, label=name, marker="o" if known.sum() == 1 else None
                )
            frame_axes(axes, "epoch", label)
            if label == "quality":
                axes.set_ylim(0, 1)
            elif chosen:
                axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 4))
            if chosen:
                axes.legend(frameon=False, fontsize=8)

    return render_figure(draw, (4.2 * len(panels), 3.2), kind)


def precision_recall_plot(
    whole: Curve,
    per_class: Sequence[Curve] = (),
    class_names: Sequence[str] = (),
    kind: PictureFormat = PictureFormat.SVG,
) -> bytes:
    """Precision over recall at IoU 0.5 as counted, not interpolated; the dot is the best F1."""

    def draw(axes: Any) -> None:
        for curve, name, colour in _chosen(per_class, class_names):
            axes.plot(*_thin(curve.recall, curve.precision), color=colour, linewidth=1, label=name)
        axes.plot(*_thin(whole.recall, whole.precision), color=INK, linewidth=2, label="all classes")
        best = whole.best()
        if math.isfinite(best.recall) and math.isfinite(best.precision):
            axes.plot([best.recall], [best.precision], "o", color=INK, label=f"best F1 {best.f1:.2f}")
        frame_axes(axes, "recall", "precision", unit=True)
        axes.legend(frameon=False, fontsize=8, loc="lower left")

    return render_figure(lambda figure: draw(figure.subplots()), (4.6, 3.8), kind)


def f1_plot(
    whole: Curve,
    per_class: Sequence[Curve] = (),
    class_names: Sequence[str] = (),
    kind: PictureFormat = PictureFormat.SVG,
) -> bytes:
    """F1 at IoU 0.5 over the score threshold; the dot is the best."""

    def draw(axes: Any) -> None:
        for curve, name, colour in _chosen(per_class, class_names):
            axes.step(*_thin(curve.scores, curve.f1), color=colour, linewidth=1, label=name, where="post")
        axes.step(*_thin(whole.scores, whole.f1), color=INK, linewidth=2, label="all classes", where="post")
        best = whole.best()
        if math.isfinite(best.f1):
            axes.plot([best.threshold], [best.f1], "o", color=INK, label=f"{best.f1:.2f} at {best.threshold:.2f}")
        frame_axes(axes, "score threshold", "F1", unit=True)
        axes.legend(frameon=False, fontsize=8)

    return render_figure(lambda figure: draw(figure.subplots()), (4.6, 3.8), kind)


def confusion_plot(matrix: ConfusionMatrix, kind: PictureFormat = PictureFormat.SVG) -> bytes:
    """Labelled classes down, detected classes across; the number is the count, the colour the share of the row.

    In the last row, the false alarms, the colour is their number for each labelled box.
    """
    size = len(matrix.names)
    totals = matrix.counts.sum(axis=1, keepdims=True)
    totals[-1] = totals[:-1].sum()
    shares = np.clip(matrix.counts / np.maximum(totals, 1), 0, 1)

    def draw(axes: Any) -> None:
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        axes.set_xticks(range(size), matrix.names, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(size), matrix.names)
        axes.set_xlabel("detected as", color=INK)
        axes.set_ylabel("labelled as", color=INK)
        axes.tick_params(labelsize=8, length=0, labelcolor=INK)
        axes.spines[:].set_color(FAINT)
        if size > CELLS_WRITTEN:
            return
        for row in range(size):
            for column in range(size):
                if row == column == size - 1:
                    text, colour = "-", INK  # what is neither labelled nor detected cannot be counted
                else:
                    text, colour = str(matrix.counts[row, column]), "white" if shares[row, column] > 0.5 else INK
                axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=9)

    side = min(9.0, 2.8 + 0.5 * size)
    return render_figure(lambda figure: draw(figure.subplots()), (side + 0.4, side), kind)


def render_figure(
    draw: Callable[[Any], None], size: tuple[float, float], kind: PictureFormat = PictureFormat.SVG
) -> bytes:
    """The file of a matplotlib Figure of ``size`` inches that ``draw`` fills.

    Raises MissingExtraError without matplotlib.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("plotting", "train") from None
    # A fixed salt and no date: the same numbers give the same file. Names of classes are text, never formulas.
    with matplotlib.rc_context({"svg.hashsalt": "herder", "text.parse_math": False}):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        out = io.BytesIO()
        metadata = {"Date": None} if kind is PictureFormat.SVG else {}
        figure.savefig(out, format=kind.value, dpi=150, metadata=metadata)
    return out.getvalue()


def frame_axes(axes: Any, x: str, y: str, *, unit: bool = False) -> None:
    """Name the axes, draw a faint grid, take away what says nothing; ``unit`` for values from 0 to 1 on both."""
    axes.set_xlabel(x, color=INK)
    axes.set_ylabel(y, color=INK)
    axes.grid(color=FAINT, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["bottom", "left"]].set_color(INK)
    axes.tick_params(labelsize=8, colors=INK)
    if unit:
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.02)


def _chosen(per_class: Sequence[Curve], class_names: Sequence[str]) -> list[tuple[Curve, str, str]]:
    """The classes with the most labelled boxes, each with name and colour; none where there is only one class."""
    named = sorted(zip(per_class, class_names, strict=True), key=lambda pair: -pair[0].truths)
    named = [(curve, name) for curve, name in named if curve.truths and len(curve.scores)][:CLASSES_DRAWN]
    if len(per_class) < 2:
        return []
    return [(curve, name, colour) for (curve, name), colour in zip(named, _colours(len(named)), strict=True)]


def _colours(count: int) -> list[str]:
    return [COLOURS[i % len(COLOURS)] for i in range(count)]


def _thin(x: Any, y: Any) -> tuple[Any, Any]:
    """At most ``POINTS`` points of a curve, ends included."""
    keep = np.unique(np.linspace(0, len(x) - 1, POINTS).round().astype(int)) if len(x) > POINTS else slice(None)
    return x[keep], y[keep]


def _number(value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        return math.nan
