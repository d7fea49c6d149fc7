"""The figure of the convolution lesson: filters, what they find, curves, moved pictures, times."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from herder.foundations.fast_convolution import conv_forward_fast
from herder.lessons.datasets import CourseData, Floats
from herder.lessons.figures import COLOURS, INK, SOFT, draw_figure, frame, logarithmic, show, tiles
from herder.lessons.lesson import NumberTable

MAPS, PICTURES = 8, 5
"""Filters and pictures whose maps are drawn."""

Curves = Mapping[str, tuple[Floats, Floats, Floats]]
"""By network: losses of each step, training and validation accuracy after each epoch."""


def draw_lesson(
    data: CourseData,
    filters: Floats,
    biases: Floats,
    curves: Curves,
    moved: Mapping[str, Mapping[int, float]],
    timing: NumberTable,
) -> bytes:
    """PNG of the lesson for the learned ``filters`` (F, C, HH, WW) with their ``biases`` (F,)."""

    def draw(figure: Any) -> None:
        top, bottom = figure.subfigures(2, 1, height_ratios=(1.15, 1))
        left, right = top.subfigures(1, 2, width_ratios=(1, 2.1))
        show(left.subplots(), tiles(filters, columns=4, signed=True, gap=2), f"The {len(filters)} filters learned")
        _draw_maps(right.subplots(), data, filters, biases)
        accuracy, shifted, times = bottom.subplots(1, 3)
        for (name, (_, _, validation)), colour in zip(curves.items(), COLOURS, strict=False):
            accuracy.plot(validation, color=colour, label=name)
        frame(accuracy, "epoch", "accuracy", "Validation accuracy")
        accuracy.legend(loc="lower right", title="filters", title_fontsize=8)
        _draw_moved(shifted, moved)
        _draw_times(times, timing)

    return draw_figure(draw, (11.5, 7))


def _draw_maps(axes: Any, data: CourseData, filters: Floats, biases: Floats) -> None:
    """A row a picture: the picture, then what each of the first filters answers, after ReLU."""
    _, first = np.unique(data.y_test, return_index=True)
    pictures = data.X_test[first[:PICTURES]]  # (P, C, H, W)
    pad = (filters.shape[2] - 1) // 2
    strongest = np.abs(filters).sum(axis=(1, 2, 3)).argsort()[::-1][:MAPS]
    maps, _ = conv_forward_fast(
        pictures, filters[strongest].astype(float), biases[strongest].astype(float), {"stride": 1, "pad": pad}
    )  # (P, MAPS, H, W)
    maps = np.maximum(maps, 0)
    maps = maps / np.maximum(maps.max(axis=(0, 2, 3), keepdims=True), 1e-9)  # each filter by its largest answer
    seen = np.repeat((pictures + data.mean).clip(0, 1), 3 // data.shape[0], axis=1)  # (P, 3, H, W)
    rows = []
    for picture, answers in zip(seen, maps, strict=True):
        coloured = _inked(answers)  # (MAPS, 3, H, W)
        rows.append(np.concatenate([picture[None], coloured]))
    sheet = tiles(np.concatenate(rows), columns=1 + len(strongest))
    show(axes, sheet, f"Test pictures, and where {len(strongest)} of the filters answer")
    axes.axvline(data.shape[2], color=INK, linewidth=2)
    for row, label in enumerate(data.y_test[first[:PICTURES]]):
        at = 1 - (row + 0.5) / len(pictures)
        name = data.class_names[int(label)]
        axes.text(-0.012, at, name, transform=axes.transAxes, ha="right", va="center", color=SOFT)


def _inked(answers: Floats) -> Floats:
    """Answers (F, H, W) from 0 to 1 as colours (F, 3, H, W), from a pale grey to blue."""
    pale, blue = np.array([0.95, 0.95, 0.95]), np.array([int(COLOURS[0][i : i + 2], 16) / 255 for i in (1, 3, 5)])
    share = answers[:, None]
    return np.asarray(pale[None, :, None, None] * (1 - share) + blue[None, :, None, None] * share)


def _draw_moved(axes: Any, moved: Mapping[str, Mapping[int, float]]) -> None:
    names = list(moved)
    for i, (name, colour) in enumerate(zip(names, (COLOURS[0], COLOURS[1]), strict=True)):
        shifts = list(moved[name])
        places = np.arange(len(shifts)) + (i - 0.5) * 0.38
        heights = list(moved[name].values())
        label = f"filters of {name}" if i == 0 else name
        axes.bar(places, heights, width=0.36, color=colour, label=label)
        for place, height in zip(places, heights, strict=True):
            axes.text(place, height + 0.015, f"{height:.2f}", ha="center", fontsize=8)
    axes.set_xticks(range(len(shifts)), [str(shift) for shift in shifts])
    frame(axes, "pixels by which test pictures are moved", "accuracy", "Moved pictures")
    axes.grid(visible=False, axis="x")
    axes.set_ylim(0, 1.3)
    axes.set_yticks(np.arange(0, 1.01, 0.2))
    axes.legend(loc="upper right", ncols=2)


def _draw_times(axes: Any, timing: NumberTable) -> None:
    rows = [(str(name), float(slow), float(fast)) for name, slow, fast, *_ in timing.rows]
    places = np.arange(len(rows))
    axes.barh(places - 0.19, [slow for _, slow, _ in rows], height=0.36, color=COLOURS[6], label="loops")
    axes.barh(places + 0.19, [fast for _, _, fast in rows], height=0.36, color=COLOURS[0], label="fast")
    everything = np.array([seconds for _, *pair in rows for seconds in pair])
    axes.set_xlim(everything.min() / 3, everything.max() * 20)
    for place, (_, slow, fast) in zip(places, rows, strict=True):
        for offset, seconds in ((-0.19, slow), (0.19, fast)):
            text = f" {seconds:.2f} s" if seconds >= 0.1 else f" {1000 * seconds:.1f} ms"
            axes.text(seconds, place + offset, text, va="center", fontsize=8)
    axes.set_yticks(places, [name.replace(" ", "\n") for name, *_ in rows])
    axes.invert_yaxis()
    logarithmic(axes.xaxis, np.array([everything.min(), everything.max() * 20]))
    frame(axes, "seconds (logarithmic)", "", "The same results, twice")
    axes.grid(visible=False, axis="y")
    axes.legend(loc="lower right")
