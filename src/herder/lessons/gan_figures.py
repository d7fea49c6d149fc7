"""The figures of the GAN lesson."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from herder.generative.gan_training import GanStep
from herder.generative.pictures import Pictures
from herder.lessons.datasets import Floats
from herder.lessons.figures import COLOURS, INK, SOFT, draw_figure, frame, logarithmic, show, smooth, tiles
from herder.lessons.gan_trainings import Trained

SHOWN = 14
"""Samples in a row."""

SMOOTHED = 30
"""Steps that a curve's points are means of."""


def draw_training(pictures: Pictures, real: tuple[float, ...], trained: Trained) -> bytes:
    """Samples over training, losses, beliefs, distance and which digits are drawn (``real``: in the real ones)."""

    def draw(figure: Any) -> None:
        top, bottom = figure.subfigures(2, 1, height_ratios=(1.3, 1))
        samples, losses = top.subplots(1, 2, width_ratios=(1.35, 1))
        _draw_samples(samples, pictures, trained)
        _draw_losses(losses, trained.result.history)
        beliefs, distance, shares = bottom.subplots(1, 3)
        draw_beliefs(beliefs, trained.result.history, "Belief of the discriminator")
        _draw_distance(distance, trained)
        _draw_shares(shares, pictures.class_names, trained.seen[max(trained.seen)].shares, real)

    return draw_figure(draw, (11, 7))


def draw_mistakes(trainings: dict[str, Trained], step: int) -> bytes:
    """Samples and beliefs of several trainings by name, after ``step`` steps of each."""

    def draw(figure: Any) -> None:
        rows = figure.subplots(2, len(trainings), height_ratios=(1.1, 1))
        for (name, each), above, below in zip(trainings.items(), *rows, strict=True):
            show(above, tiles(as_grey(each.samples[step][:48]), columns=8), name)
            quality = each.seen[step]
            above.set_xlabel(
                f"distance {quality.frechet:.3g}, {quality.classes_covered} of {len(quality.shares)} digits", color=SOFT
            )
            draw_beliefs(below, each.result.history[:step], "")
        for axes in rows[1, 1:]:
            axes.set_ylabel("")
            axes.get_legend().remove()

    return draw_figure(draw, (11, 4.9))


def as_grey(pictures: Tensor) -> Floats:
    """Pictures (N, 1, H, W) from -1 to 1 as numbers from 0 to 1."""
    return ((pictures.double() + 1) / 2).clamp(0, 1).numpy()


def draw_beliefs(axes: Any, history: tuple[GanStep, ...], title: str) -> None:
    """D(x) and D(G(z)) of each step."""
    steps = np.arange(1, len(history) + 1)
    axes.axhline(0.5, color=SOFT, linewidth=0.8, linestyle="--")
    for name, values, colour in (
        ("D(x), real", [row.real_score for row in history], COLOURS[0]),
        ("D(G(z)), generated", [row.fake_score for row in history], COLOURS[1]),
    ):
        axes.plot(steps, smooth(values, SMOOTHED), color=colour, label=name)
    frame(axes, "step", "belief that it is real", title)
    axes.set_ylim(-0.02, 1.02)
    axes.legend(loc="upper right", ncols=1)


def _draw_samples(axes: Any, pictures: Pictures, trained: Trained) -> None:
    rows = [drawn[:SHOWN] for drawn in trained.samples.values()]  # (SHOWN, 1, 8, 8) each
    sheet = tiles(as_grey(torch.cat([*rows, pictures.images[:SHOWN]])), columns=SHOWN)
    show(axes, sheet, "The same noise over training")
    side = pictures.size + 1
    names = [*(f"step {step:,}" for step in trained.samples), "real digits"]
    axes.set_yticks([(i + 0.5) * side - 1 for i in range(len(names))], names)
    axes.tick_params(length=0, labelsize=8, labelcolor=INK)
    axes.axhline(len(rows) * side - 1, color=INK, linewidth=1.5)


def _draw_losses(axes: Any, history: tuple[GanStep, ...]) -> None:
    steps = np.arange(1, len(history) + 1)
    for name, values, colour in (
        ("discriminator", [row.discriminator_loss for row in history], COLOURS[0]),
        ("generator", [row.generator_loss for row in history], COLOURS[1]),
    ):
        axes.plot(steps, values, color=colour, alpha=0.2, linewidth=0.6)
        axes.plot(steps, smooth(values, SMOOTHED), color=colour, label=name)
    frame(axes, "step", "loss of a batch", "Losses: two opponents, no downhill")
    axes.set_ylim(0)
    axes.legend()


def _draw_distance(axes: Any, trained: Trained) -> None:
    steps, found = list(trained.seen), [quality.frechet for quality in trained.seen.values()]
    floor = trained.seen[steps[-1]].real_halves
    axes.plot(steps, found, "o-", color=COLOURS[1], markersize=4)
    axes.axhline(floor, color=COLOURS[2])
    axes.text(steps[0], 1.12 * floor, "two halves of the real digits", color=COLOURS[2], fontsize=8)
    logarithmic(axes.xaxis, np.array(steps))
    logarithmic(axes.yaxis, np.array([floor, *found]))
    ticks = steps if len(steps) < 5 else [steps[0], *steps[2::2]]
    axes.set_xticks(ticks, [f"{step:,}" for step in ticks])
    frame(axes, "step (logarithmic)", "Fréchet distance (logarithmic)", "Distance of the samples to real digits")


def _draw_shares(axes: Any, names: tuple[str, ...], drawn: tuple[float, ...], real: tuple[float, ...]) -> None:
    places = np.arange(len(names))
    axes.bar(places - 0.2, drawn, 0.4, color=COLOURS[1], label="samples")
    axes.bar(places + 0.2, real, 0.4, color=COLOURS[2], label="real digits")
    axes.set_xticks(places, names)
    frame(axes, "digit", "share", "Which digits are drawn")
    axes.grid(visible=False, axis="x")
    axes.set_ylim(0, 1.3 * max(*drawn, *real))
    axes.legend(loc="upper right", ncols=2)
