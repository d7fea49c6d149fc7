"""The figures of the diffusion lesson."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from herder.generative.noise_schedule import NoiseSchedule
from herder.lessons.datasets import Floats
from herder.lessons.diffusion_samples import Drawn
from herder.lessons.figures import COLOURS, INK, draw_figure, frame, logarithmic, show, smooth, tiles

SMOOTHED = 15
"""Steps that a point of the loss curve is the mean of."""


def draw_walks(
    noised: Tensor, times: Sequence[int], walk: Tensor, left: Sequence[int], by_guidance: dict[float, Tensor]
) -> bytes:
    """The way to noise, the way back, and samples.

    ``noised`` (k, 1, H, W) is a digit after ``times`` (k) steps of noise; ``walk`` (m, 10, 1, H, W) one digit of each
    kind with ``left`` (m) steps of noise left; ``by_guidance`` samples (10 * n, 1, H, W), n of each digit.
    """

    def draw(figure: Any) -> None:
        top, bottom = figure.subfigures(2, 1, height_ratios=(1.1, 6.4))
        _draw_row(top.subplots(), noised, times, "Forward: a digit after so many steps of noise")
        widths = (len(left), *(len(samples) / 10 for samples in by_guidance.values()))
        back, *others = bottom.subplots(1, len(widths), width_ratios=widths)
        title = "Back: asked for 0 to 9, so many steps of noise left"
        _draw_digits(back, walk.transpose(0, 1).flatten(0, 1), title)
        _name_columns(back, left, walk.shape[-1] + 1)
        for axes, (guidance, samples) in zip(others, by_guidance.items(), strict=True):
            _draw_digits(axes, samples, f"Samples, guidance {guidance:g}")

    return draw_figure(draw, (11, 6.5))


def draw_numbers(
    losses: Sequence[float],
    schedules: dict[str, NoiseSchedule],
    guided: Sequence[Drawn],
    walks: Sequence[Drawn],
    floor: float,
) -> bytes:
    """Loss, schedules, what guidance does (``guided``) and what fewer steps cost (``walks``: DDPM first, then DDIM)."""

    def draw(figure: Any) -> None:
        (loss, curves), (pull, cost) = figure.subplots(2, 2)
        _draw_loss(loss, losses)
        _draw_schedules(curves, schedules)
        _draw_guidance(pull, guided)
        _draw_costs(cost, walks, floor)

    return draw_figure(draw, (10, 6.6))


def as_grey(pictures: Tensor) -> Floats:
    """Pictures (N, 1, H, W) from -1 to 1 as numbers from 0 to 1."""
    grey: Floats = ((pictures.double() + 1) / 2).clamp(0, 1).numpy()
    return grey


def _draw_row(axes: Any, pictures: Tensor, names: Sequence[int], title: str) -> None:
    show(axes, tiles(as_grey(pictures), columns=len(pictures)), title)
    _name_columns(axes, names, pictures.shape[3] + 1)


def _name_columns(axes: Any, names: Sequence[int], side: int) -> None:
    axes.set_xticks([(i + 0.5) * side - 1 for i in range(len(names))], [str(name) for name in names])
    axes.tick_params(length=0, labelsize=8, labelcolor=INK)


def _draw_digits(axes: Any, pictures: Tensor, title: str) -> None:
    """Pictures (10 * n, 1, H, W), n in a row, the rows named 0 to 9."""
    show(axes, tiles(as_grey(pictures), columns=len(pictures) // 10), title)
    side = pictures.shape[2] + 1
    axes.set_yticks([(i + 0.5) * side - 1 for i in range(10)], list("0123456789"))
    axes.tick_params(length=0, labelsize=8, labelcolor=INK)


def _draw_loss(axes: Any, losses: Sequence[float]) -> None:
    steps = np.arange(1, len(losses) + 1)
    axes.plot(steps, losses, color=COLOURS[0], alpha=0.25, linewidth=0.6)
    axes.plot(steps, smooth(list(losses), SMOOTHED), color=COLOURS[0])
    logarithmic(axes.yaxis, np.asarray(losses))
    frame(axes, "training step", "loss of a batch (logarithmic)", "Loss: one goal, downhill")


def _draw_schedules(axes: Any, schedules: dict[str, NoiseSchedule]) -> None:
    for (name, schedule), colour in zip(schedules.items(), COLOURS, strict=False):
        axes.plot(np.arange(1, len(schedule) + 1), schedule.alphas_cumprod.numpy(), color=colour, label=name)
    frame(axes, "step t", "ᾱ, share of the picture left", "Three schedules of noise")
    axes.legend()


def _draw_guidance(axes: Any, guided: Sequence[Drawn]) -> None:
    strengths = [each.guidance for each in guided]
    places = np.arange(len(strengths))
    axes.bar(places - 0.2, [each.as_asked for each in guided], 0.38, color=COLOURS[0], label="read as the digit asked")
    axes.bar(places + 0.2, [each.variety for each in guided], 0.38, color=COLOURS[4], label="variety (real digits: 1)")
    for place, each in zip(places, guided, strict=True):
        for shift, value in ((-0.2, each.as_asked), (0.2, each.variety)):
            axes.text(place + shift, value + 0.01, f"{value:.2f}", ha="center", va="bottom", fontsize=8)
    axes.set_xticks(places, [f"{strength:g}" for strength in strengths])
    frame(axes, "guidance", "share", "Guidance: clearer, less varied")
    axes.grid(visible=False, axis="x")
    axes.set_ylim(0, 1.35)
    axes.legend(loc="upper center", ncols=2)


def _draw_costs(axes: Any, walks: Sequence[Drawn], floor: float) -> None:
    whole, *short = walks
    axes.plot([e.seconds for e in short], [e.distance for e in short], "o-", color=COLOURS[0], label="DDIM")
    axes.plot([whole.seconds], [whole.distance], "s", color=COLOURS[1], markersize=7, label="DDPM")
    for each in walks:
        at = (each.seconds, each.distance)
        axes.annotate(f"{each.steps}", at, (0, 8), textcoords="offset points", ha="center", fontsize=8)
    axes.axhline(floor, color=COLOURS[2], label="two sets of real digits")
    logarithmic(axes.xaxis, np.array([each.seconds for each in walks]))
    axes.set_ylim(0, 1.2 * max(floor, *(each.distance for each in walks)))
    axes.margins(x=0.1)
    frame(axes, "seconds to draw (logarithmic)", "Fréchet distance", "What fewer steps cost (numbers: steps)")
    axes.legend(loc="lower right")
