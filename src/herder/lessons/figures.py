"""How the lessons' figures look: one style, colours that colour-blind eyes tell apart, no window ever opened."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from herder.errors import MissingExtraError
from herder.evaluation.plots import COLOURS, FAINT, INK, frame_axes

__all__ = ["COLOURS", "FAINT", "INK", "SOFT", "draw_figure", "frame", "heat", "logarithmic", "show", "smooth", "tiles"]

SOFT = "#5b6770"
"""Ink of what is said beside the numbers."""

FRAME = 0.8
"""Grey of the line around a picture that may be white itself."""

Pixels = NDArray[Any]


def draw_figure(draw: Callable[[Any], None], size: tuple[float, float], title: str = "") -> bytes:
    """Bytes of a PNG: ``draw`` fills a matplotlib Figure of ``size`` inches, at 150 dots an inch.

    Raises MissingExtraError without matplotlib.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("drawing the figures of a lesson", "learn") from None
    style = {
        "font.size": 9,
        "axes.titlesize": 10,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.titlepad": 8,
        "axes.labelsize": 9,
        "axes.labelcolor": INK,
        "text.color": INK,
        "axes.titlecolor": INK,
        "lines.linewidth": 1.8,
        "legend.frameon": False,
        "legend.fontsize": 8,
        "text.parse_math": False,
    }
    with matplotlib.rc_context(style):
        figure: Any = Figure(figsize=size, layout="constrained")
        figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08, wspace=0.04, hspace=0.06)
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
        draw(figure)
        out = io.BytesIO()
        figure.savefig(out, format="png", dpi=150)
    return out.getvalue()


def frame(axes: Any, x: str, y: str, title: str = "") -> None:
    """Name the axes and give them a title, in the style of ``herder.evaluation.plots``."""
    axes.set_title(title)
    frame_axes(axes, x, y)


def logarithmic(axis: Any, values: Pixels) -> None:
    """Make an axis (``axes.xaxis`` or ``axes.yaxis``) logarithmic, with plain numbers, as fits ``values``."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    known = values[np.isfinite(values) & (values > 0)]
    decades = math.log10(float(known.max() / known.min())) if known.size else 0.0
    axis.set_major_locator(LogLocator(10, subs=(1, 2, 5) if decades < 2.2 else (1,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def show(axes: Any, picture: Pixels, title: str = "", *, span: float | None = None) -> None:
    """Show a picture (H, W, 3) of 0 to 1, or signed numbers (H, W) in blue (below 0) and red up to ``span``."""
    if picture.ndim == 2:
        top = span or float(np.abs(picture).max()) or 1.0
        axes.imshow(picture, cmap="RdBu_r", vmin=-top, vmax=top, interpolation="nearest")
    else:
        axes.imshow(picture.clip(0, 1), interpolation="nearest")
    axes.set_title(title)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def heat(axes: Any, values: Pixels, columns: list[str], rows: list[str], title: str) -> None:
    """A table (R, C) in colours, each number written in its cell."""
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    axes.imshow(values, cmap="cividis", vmin=low, vmax=high or 1.0, aspect="auto")
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(labelsize=8, length=0, labelcolor=INK)
    axes.spines[:].set_visible(False)
    axes.set_title(title)
    for row, column in np.ndindex(*values.shape):
        value = values[row, column]
        dark = not math.isfinite(value) or value < (low + high) / 2
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", color="white" if dark else INK, fontsize=8)


def tiles(pictures: Pixels, columns: int, *, signed: bool = False, gap: int = 1) -> Pixels:
    """Pictures (N, C, H, W) side by side on white, row by row: (rows * (H + gap) - gap, ..., 3), values 0 to 1.

    Grey pictures (C = 1) become three equal channels. ``signed`` scales each picture by its own largest magnitude, so
    that 0 is the middle, and draws it four times as large in a thin frame: a single channel in blue (below 0) and red,
    three channels as colours around grey.

    >>> tiles(np.zeros((5, 1, 8, 8)), columns=3).shape
    (17, 26, 3)
    """
    if signed:
        pictures = np.pad(_signed_colours(pictures).repeat(4, 2).repeat(4, 3), ((0, 0), (0, 0), (1, 1), (1, 1)))
        pictures[:, :, [0, -1]] = pictures[:, :, :, [0, -1]] = FRAME
    elif pictures.shape[1] == 1:
        pictures = np.repeat(pictures, 3, axis=1)
    count, _, height, width = pictures.shape
    columns = min(columns, count)
    down = math.ceil(count / columns)
    sheet = np.ones((down * (height + gap) - gap, columns * (width + gap) - gap, 3))
    for i, picture in enumerate(pictures):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        sheet[top : top + height, left : left + width] = picture.transpose(1, 2, 0).clip(0, 1)
    return sheet


def smooth(values: list[float] | NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """The mean of the last ``window`` values at each place (fewer at the start): noise goes, the trend stays.

    >>> smooth([1.0, 3.0, 5.0], 2).tolist()
    [1.0, 2.0, 4.0]
    """
    sums = np.concatenate([[0.0], np.cumsum(np.asarray(values, np.float64))])
    ends = np.arange(1, len(sums))
    starts = np.maximum(ends - window, 0)
    means: NDArray[np.float64] = (sums[ends] - sums[starts]) / (ends - starts)
    return means


def _signed_colours(pictures: Pixels) -> Pixels:
    """Signed pictures (N, 1 or 3, H, W) as colours (N, 3, H, W): blue, white at 0 and vermilion, or around grey."""
    largest = np.abs(pictures).max(axis=(1, 2, 3), keepdims=True)
    values: Pixels = pictures / np.where(largest > 0, largest, 1)  # -1 to 1
    if pictures.shape[1] == 3:
        return np.asarray((values + 1) / 2)
    blue, red = (np.array([int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)]) for c in (COLOURS[0], COLOURS[1]))
    end = np.where(values < 0, blue[None, :, None, None], red[None, :, None, None])  # (N, 3, H, W)
    return np.asarray(1 - np.abs(values) * (1 - end))
