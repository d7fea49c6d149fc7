"""Batch normalisation: each hidden unit is centred and scaled over the batch, whatever the weights before it.

    y = gamma * (x - mean) / sqrt(var + eps) + beta      mean and var over the N pictures of the batch

Ioffe and Szegedy (2015), https://arxiv.org/abs/1502.03167. In a deep network without it, signals shrink or grow from
layer to layer with the size of the first weights, and gradients with them. With it they cannot; but a small batch knows
its mean and variance badly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from herder.foundations.fully_connected import FullyConnectedNet
from herder.foundations.solver import Solver
from herder.lessons.datasets import CourseData, Floats
from herder.lessons.figures import COLOURS, FAINT, draw_figure, frame, logarithmic, smooth
from herder.lessons.lesson import LessonResult, LessonSettings, NumberTable

HIDDEN = (50, 50, 50, 50, 50)
"""Units of the hidden layers: deep enough for signals to get lost."""

SCALES = tuple(float(f"{scale:.1g}") for scale in np.logspace(-4, 0, 13))
"""Standard deviations of the first weights that are tried."""

SHOWN_SCALES = (0.01, 0.2, 1.0)
"""Those whose loss curves are drawn: too small, about right, too large."""

BATCHES = (3, 5, 10, 20, 50)
BATCH = 50
"""Sizes of the batch that are tried at GOOD_SCALE, and the one used elsewhere."""

GOOD_SCALE = 0.2

STEPS, QUICK_STEPS = 480, 60
"""About so many: a training ends with a whole epoch, that is N // batch steps."""

RATE = 1e-3

PLAIN, NORMED = "without", "with batch norm"


@dataclass(frozen=True)
class Trained:
    """What became of one network."""

    losses: Floats
    """Loss of each step."""
    training: float
    validation: float
    """Accuracies in the end."""

    @property
    def loss(self) -> float:
        """Mean loss of the last steps."""
        return float(self.losses[-20:].mean())


def run(settings: LessonSettings) -> LessonResult:
    """Train the same deep network from first weights of many sizes and with batches of many sizes, with and without."""
    data = settings.data
    steps = QUICK_STEPS if settings.quick else STEPS
    by_scale: dict[str, list[Trained]] = {PLAIN: [], NORMED: []}
    for scale in SCALES:
        settings.say(f"first weights of {scale:g}")
        for name, trained in by_scale.items():
            trained.append(train_one(data, name == NORMED, scale, BATCH, steps, settings.seed))
    by_batch: dict[str, list[Trained]] = {PLAIN: [], NORMED: []}
    for batch in BATCHES:
        settings.say(f"batches of {batch}")
        for name, trained in by_batch.items():
            trained.append(train_one(data, name == NORMED, GOOD_SCALE, batch, steps, settings.seed))
    return LessonResult(
        _sentences(by_scale, by_batch, len(data.class_names), steps),
        (
            _table(
                f"Validation accuracy and training loss after about {steps} steps, by the size of the first weights",
                "weights",
                by_scale,
            ),
            _table(f"The same by the size of the batch, first weights {GOOD_SCALE:g}", "batch", by_batch),
        ),
        {"batchnorm": _draw(by_scale, by_batch)},
    )


def train_one(data: CourseData, normed: bool, scale: float, batch: int, steps: int, seed: int) -> Trained:
    """Train a network with or without batch norm for about ``steps`` steps of Adam."""
    network = FullyConnectedNet(
        HIDDEN,
        input_dim=data.dimensions,
        num_classes=len(data.class_names),
        normalization="batchnorm" if normed else None,
        weight_scale=scale,
        seed=seed,
    )
    solver = Solver(
        network,
        data.for_solver(),
        update_rule="adam",
        optim_config={"learning_rate": RATE},
        batch_size=batch,
        num_epochs=max(1, round(steps * batch / len(data.X_train))),
        verbose=False,
        seed=seed,
    )
    solver.train()
    return Trained(np.array(solver.loss_history), solver.train_acc_history[-1], solver.val_acc_history[-1])


def _sentences(
    by_scale: dict[str, list[Trained]], by_batch: dict[str, list[Trained]], classes: int, steps: int
) -> tuple[str, ...]:
    good = {
        name: [scale for scale, each in zip(SCALES, trained, strict=True) if each.validation >= 0.9 * _best(by_scale)]
        for name, trained in by_scale.items()
    }
    low = {name: f"from {min(scales):g} to {max(scales):g}" if scales else "none" for name, scales in good.items()}
    lost = by_scale[PLAIN][0]
    small, large = by_batch[NORMED][0], by_batch[NORMED][-1]
    return (
        f"Within a tenth of the best validation accuracy are {len(good[NORMED])} of {len(SCALES)} sizes of the first "
        f"weights with batch norm ({low[NORMED]}), and {len(good[PLAIN])} without ({low[PLAIN]}).",
        f"Without it and with first weights of {SCALES[0]:g} nothing reaches the last layer: after about {steps} steps "
        f"the loss is {lost.loss:.2f}; a guess among {classes} classes costs log({classes}) = {np.log(classes):.2f}.",
        f"Batch norm needs a batch: with {BATCHES[0]} pictures at a time it ends at a training loss of "
        f"{small.loss:.2f}, with {BATCHES[-1]} at {large.loss:.2f} (without it: {by_batch[PLAIN][0].loss:.2f} and "
        f"{by_batch[PLAIN][-1].loss:.2f}).",
    )


def _best(by_scale: dict[str, list[Trained]]) -> float:
    return max(each.validation for trained in by_scale.values() for each in trained)


def _table(title: str, heading: str, found: dict[str, list[Trained]]) -> NumberTable:
    values = SCALES if heading == "weights" else BATCHES
    return NumberTable(
        title,
        (heading, *(f"{what} {name}" for what in ("accuracy", "loss") for name in ("without", "with"))),
        tuple(
            (value, plain.validation, normed.validation, plain.loss, normed.loss)
            for value, plain, normed in zip(values, found[PLAIN], found[NORMED], strict=True)
        ),
    )


def _draw(by_scale: dict[str, list[Trained]], by_batch: dict[str, list[Trained]]) -> bytes:
    colours = {PLAIN: COLOURS[1], NORMED: COLOURS[0]}

    def draw(figure: Any) -> None:
        top, bottom = figure.subplots(2, 3, height_ratios=(1, 1))
        for axes, scale in zip(top, SHOWN_SCALES, strict=True):
            for name, trained in by_scale.items():
                losses = trained[SCALES.index(scale)].losses
                steps = np.arange(1, len(losses) + 1)
                axes.plot(steps, losses, color=colours[name], alpha=0.25, linewidth=0.8)
                axes.plot(steps, smooth(losses, 15), color=colours[name], label=name)
            frame(axes, "step", "loss (logarithmic)", f"First weights of {scale:g}")
            logarithmic(axes.yaxis, np.concatenate([t[SCALES.index(scale)].losses for t in by_scale.values()]))
            axes.legend(loc="best")
        accuracy, loss, batches = bottom
        for name, trained in by_scale.items():
            accuracy.plot(SCALES, [each.validation for each in trained], "o-", color=colours[name], markersize=4)
            loss.plot(SCALES, [each.loss for each in trained], "o-", color=colours[name], markersize=4)
        for axes in (accuracy, loss):
            for scale in SHOWN_SCALES:
                axes.axvline(scale, color=FAINT, linewidth=3, zorder=0)
            logarithmic(axes.xaxis, np.array(SCALES))
        accuracy.set_ylim(0, 1.02)
        frame(accuracy, "standard deviation of the first weights", "accuracy", "Validation accuracy in the end")
        logarithmic(loss.yaxis, np.array([each.loss for trained in by_scale.values() for each in trained]))
        frame(loss, "standard deviation of the first weights", "loss (logarithmic)", "Training loss in the end")
        for name, trained in by_batch.items():
            batches.plot(BATCHES, [each.validation for each in trained], "o-", color=colours[name], markersize=4)
        logarithmic(batches.xaxis, np.array(BATCHES))
        batches.set_xticks(BATCHES, [str(batch) for batch in BATCHES])
        batches.set_ylim(0, 1.02)
        frame(batches, "pictures in a batch", "accuracy", f"By batch, first weights of {GOOD_SCALE:g}")

    return draw_figure(draw, (11, 6.2))
