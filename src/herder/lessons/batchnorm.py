"""Batch normalisation: each hidden unit is centred and scaled over the batch, whatever the weights before it.

    y = gamma * (x - mean) / sqrt(var + eps) + beta

Batch norm takes mean and var of each unit over the N pictures of the batch (Ioffe and Szegedy, 2015,
https://arxiv.org/abs/1502.03167), layer norm those of each picture over the H units of the layer (Ba, Kiros and Hinton,
2016, https://arxiv.org/abs/1607.06450). In a deep network without either, signals shrink or grow from layer to layer
with the size of the first weights, and gradients with them.
"""

from __future__ import annotations

from collections.abc import Sequence
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

SCALES = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Standard deviations of the first weights that are tried."""

SHOWN_SCALES = (0.01, 0.1, 1.0)
"""Those whose loss curves are drawn: too small, about right, too large."""

TRAINING = 1_000
"""Pictures trained on: a step of 2 pictures is a step, but an epoch of such steps takes long."""

BATCHES, QUICK_BATCHES = (2, 4, 10, 20, 50), (10, 20, 50)
BATCH = 50
"""Sizes of the batch that are tried at GOOD_SCALE, and the one used elsewhere."""

GOOD_SCALE = 0.1

STEPS, QUICK_STEPS = 500, 100
RATE = 1e-3

PLAIN, BATCH_NORM, LAYER_NORM = "without", "batch norm", "layer norm"
NORMALIZATIONS = {PLAIN: None, BATCH_NORM: "batchnorm", LAYER_NORM: "layernorm"}
"""What ``FullyConnectedNet`` calls them."""


@dataclass(frozen=True)
class Trained:
    """What became of one network."""

    network: FullyConnectedNet
    """With the weights of its best epoch."""
    losses: Floats
    """Loss of each step."""
    validation: float
    """Accuracy in the best epoch."""

    @property
    def loss(self) -> float:
        """Mean loss of the last steps."""
        return float(self.losses[-20:].mean())


Found = dict[str, list[Trained]]
"""A training for each value tried, by kind of network."""


def run(settings: LessonSettings) -> LessonResult:
    """Train a deep network without norm, with batch norm and with layer norm, from first weights of many sizes and with
    batches of many sizes; test the best of each kind.
    """
    data = settings.data
    steps, batches = (QUICK_STEPS, QUICK_BATCHES) if settings.quick else (STEPS, BATCHES)
    by_scale: Found = {name: [] for name in NORMALIZATIONS}
    by_batch: Found = {name: [] for name in NORMALIZATIONS}
    for scale in SCALES:
        settings.say(f"first weights of {scale:g}")
        for name, trained in by_scale.items():
            trained.append(train_one(data, name, scale, BATCH, steps, settings.seed))
    for batch in batches:
        settings.say(f"batches of {batch}")
        for name, trained in by_batch.items():
            known = by_scale[name][SCALES.index(GOOD_SCALE)]
            same = batch == BATCH
            trained.append(known if same else train_one(data, name, GOOD_SCALE, batch, steps, settings.seed))
    tested = _test(data, by_scale)
    of_batch = f"size of the batch, first weights of {GOOD_SCALE:g}"
    tables = (
        *_tables("size of the first weights", "first weights", SCALES, by_scale),
        *_tables(of_batch, "batch", batches, by_batch),
        tested,
    )
    sentences = _sentences(by_scale, by_batch, batches, len(data.class_names), tested)
    return LessonResult(sentences, tables, {"batchnorm": _draw(by_scale, by_batch, batches)})


def train_one(data: CourseData, name: str, scale: float, batch: int, steps: int, seed: int) -> Trained:
    """Train one kind of network for ``steps`` steps of Adam, or the nearest whole number of epochs."""
    network = FullyConnectedNet(
        HIDDEN,
        input_dim=data.dimensions,
        num_classes=len(data.class_names),
        normalization=NORMALIZATIONS[name],
        weight_scale=scale,
        seed=seed,
    )
    X, y = data.X_train[:TRAINING], data.y_train[:TRAINING]  # (N, C, H, W), (N,)
    solver = Solver(
        network,
        {**data.for_solver(), "X_train": X, "y_train": y},
        update_rule="adam",
        optim_config={"learning_rate": RATE},
        batch_size=batch,
        num_epochs=max(1, round(steps / max(1, len(X) // batch))),
        num_train_samples=1,  # only the accuracy on the validation pictures is wanted
        verbose=False,
        seed=seed,
    )
    solver.train()
    return Trained(network, np.array(solver.loss_history), solver.best_val_acc)


def _test(data: CourseData, by_scale: Found) -> NumberTable:
    rows = []
    for name, trained in by_scale.items():
        i = max(range(len(SCALES)), key=lambda i: trained[i].validation)
        right = trained[i].network.loss(data.X_test).argmax(axis=1) == data.y_test  # (M,)
        rows.append((name, SCALES[i], trained[i].validation, float(right.mean())))
    return NumberTable(
        f"Best first weights on {len(data.y_val)} validation pictures, tested once on {len(data.y_test)}",
        ("norm", "first weights", "validation accuracy", "test accuracy"),
        tuple(rows),
    )


def _sentences(
    by_scale: Found, by_batch: Found, batches: Sequence[int], classes: int, tested: NumberTable
) -> tuple[str, ...]:
    best = max(each.validation for trained in by_scale.values() for each in trained)
    good = {
        name: [scale for scale, each in zip(SCALES, trained, strict=True) if each.validation >= 0.9 * best]
        for name, trained in by_scale.items()
    }
    counts = "; ".join(
        f"{name}: {len(scales)}" + (f", from {min(scales):g} to {max(scales):g}" if scales else "")
        for name, scales in good.items()
    )
    lost, kept = by_scale[PLAIN][0], by_scale[BATCH_NORM][0]
    losses = "; ".join(
        f"{name} {trained[0].loss:.2f} with {batches[0]} pictures, {trained[-1].loss:.2f} with {batches[-1]}"
        for name, trained in by_batch.items()
    )
    right = ", ".join(f"{row[0]} {row[3]:.1%}" for row in tested.rows)
    return (
        f"Of {len(SCALES)} sizes of the first weights, so many come within a tenth of the best validation accuracy: "
        f"{counts}.",
        f"From first weights of {SCALES[0]:g} the last training loss is {lost.loss:.2f} without norm and "
        f"{kept.loss:.2f} with batch norm, after {len(lost.losses)} steps; a guess among {classes} classes costs "
        f"log({classes}) = {np.log(classes):.2f}.",
        f"Batch norm needs a batch to know mean and variance, layer norm does not. Last training loss: {losses}.",
        f"Each kind from the first weights that suit it best, test accuracy: {right}.",
    )


def _tables(by: str, heading: str, values: Sequence[float], found: Found) -> list[NumberTable]:
    return [
        NumberTable(
            f"{title} by the {by}",
            (heading, *found),
            tuple(
                (value, *(float(getattr(one, measure)) for one in trained))
                for value, *trained in zip(values, *found.values(), strict=True)
            ),
        )
        for title, measure in (
            ("Validation accuracy of the best epoch", "validation"),
            ("Training loss in the end", "loss"),
        )
    ]


def _draw(by_scale: Found, by_batch: Found, batches: Sequence[int]) -> bytes:
    colours = dict(zip(NORMALIZATIONS, (COLOURS[1], COLOURS[0], COLOURS[2]), strict=True))

    def line(axes: Any, values: Sequence[float], found: Found, measure: str) -> None:
        for name, trained in found.items():
            heights = [getattr(each, measure) for each in trained]
            axes.plot(values, heights, "o-", color=colours[name], markersize=4, label=name)

    def draw(figure: Any) -> None:
        top, bottom = figure.subplots(2, 3)
        for axes, scale, kind in zip(top, SHOWN_SCALES, ("small", "about right", "large"), strict=True):
            for name, trained in by_scale.items():
                losses = trained[SCALES.index(scale)].losses
                steps = np.arange(1, len(losses) + 1)
                axes.plot(steps, losses, color=colours[name], alpha=0.2, linewidth=0.7)
                axes.plot(steps, smooth(losses, 15), color=colours[name], label=name)
            frame(axes, "step", "loss of a batch", f"First weights of {scale:g}: {kind}")
            axes.set_ylim(0, 3.2)
        _say_what_is_beyond(top[-1], by_scale[PLAIN][SCALES.index(SHOWN_SCALES[-1])], colours[PLAIN])
        top[0].legend(loc="upper right")
        accuracy, loss, by_size = bottom
        line(accuracy, SCALES, by_scale, "validation")
        line(loss, SCALES, by_scale, "loss")
        for axes in (accuracy, loss):
            for scale in SHOWN_SCALES:
                axes.axvline(scale, color=FAINT, linewidth=4, zorder=0)
            logarithmic(axes.xaxis, np.array(SCALES))
        logarithmic(loss.yaxis, np.array([each.loss for trained in by_scale.values() for each in trained]))
        x = "standard deviation of the first weights"
        frame(accuracy, x, "accuracy", "Validation accuracy")
        frame(loss, x, "loss (logarithmic)", "Training loss in the end")
        line(by_size, batches, by_batch, "validation")
        logarithmic(by_size.xaxis, np.array(batches))
        by_size.set_xticks(batches, [str(batch) for batch in batches])
        frame(by_size, "pictures in a batch", "accuracy", f"By batch, first weights of {GOOD_SCALE:g}")
        for axes in (accuracy, by_size):
            axes.set_ylim(0, 1.02)

    return draw_figure(draw, (11, 6.2))


def _say_what_is_beyond(axes: Any, trained: Trained, colour: str) -> None:
    """Name the loss of a curve that never comes down into the axes."""
    if smooth(trained.losses, 15).min() > axes.get_ylim()[1]:
        text = f"{PLAIN}: above, {trained.loss:,.0f} in the end"
        axes.text(0.97, 0.95, text, transform=axes.transAxes, ha="right", va="top", color=colour, fontsize=8)
