"""Dropout: hidden units are left out by chance while training, so that none can rely on another.

    train   out = x * mask / p      mask is 1 with probability p, else 0: p is the probability of keeping a unit
    test    out = x                 the division by p has kept the mean the same (inverted dropout)

Srivastava et al. (2014), https://jmlr.org/papers/v15/srivastava14a.html. A network with many weights and few pictures
can learn them by heart, mistakes included. So this lesson makes mistakes: three in ten training labels are wrong
(Zhang et al., 2017, https://arxiv.org/abs/1611.03530). Validation and test labels are right, as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from herder.foundations.fully_connected import FullyConnectedNet
from herder.foundations.solver import Solver
from herder.lessons.datasets import CourseData, Floats
from herder.lessons.figures import COLOURS, FAINT, SOFT, draw_figure, frame
from herder.lessons.lesson import LessonResult, LessonSettings, NumberTable

KEPT = (1.0, 0.75, 0.5, 0.25)
"""Probabilities of keeping a unit; 1 is no dropout."""

WRONG, RIGHT = 0.3, 0.0
"""Shares of training labels that are made wrong."""

HIDDEN = (200, 200)
TRAINING = 600
"""Hidden units and training pictures: far more weights than pictures."""

RUNS, QUICK_RUNS = 4, 2
"""Trainings of each setting, each with pictures, first weights and masks of its own."""

EPOCHS, LARGE_EPOCHS, QUICK_EPOCHS = 50, 15, 8
"""Passes over the pictures: of digits, of photos, for a first look."""

BATCH, RATE = 50, 1e-3


@dataclass(frozen=True)
class Trained:
    """All runs of one setting."""

    training: Floats
    """Accuracy by epoch (RUNS, EPOCHS + 1), against the labels that were trained on."""
    validation: Floats
    """Accuracy by epoch (RUNS, EPOCHS + 1)."""
    test: Floats
    """Accuracy (RUNS,) of the weights of the epoch with the best validation accuracy."""

    @property
    def gap(self) -> Floats:
        """Training less validation accuracy in the end (RUNS,)."""
        return np.asarray(self.training[:, -1] - self.validation[:, -1])


Found = dict[tuple[float, float], Trained]
"""By share of wrong labels and probability of keeping a unit."""


def run(settings: LessonSettings) -> LessonResult:
    """Train the same large network on few pictures, with wrong labels and without, with less and more dropout."""
    runs, epochs = QUICK_RUNS, QUICK_EPOCHS
    if not settings.quick:
        runs, epochs = RUNS, LARGE_EPOCHS if settings.data.large else EPOCHS
    found: Found = {}
    for wrong in (WRONG, RIGHT):
        for kept in KEPT:
            settings.say(f"{wrong:.0%} wrong labels, units kept with probability {kept:g}")
            histories = [train_one(settings.data, kept, wrong, epochs, settings.seed, number) for number in range(runs)]
            training, validation, test = (np.array(part) for part in zip(*histories, strict=True))
            found[wrong, kept] = Trained(training, validation, test)
    count = min(TRAINING, len(settings.data.X_train))
    tables = tuple(
        NumberTable(
            f"{_labels(wrong)} of {count}: means of {runs} runs",
            ("p", "training", "validation", "deviation", "gap", "best epoch", "its test"),
            tuple((kept, *_row(found[wrong, kept])) for kept in KEPT),
        )
        for wrong in (WRONG, RIGHT)
    )
    return LessonResult(_sentences(found), tables, {"dropout": _draw(found, runs)})


def train_one(
    data: CourseData, kept: float, wrong: float, epochs: int, seed: int, number: int
) -> tuple[Floats, Floats, float]:
    """Run ``number`` of a setting: training and validation accuracy by epoch (EPOCHS + 1,), and test accuracy.

    Pictures, labels and first weights of a run are the same whatever ``kept`` is: what differs is dropout alone.
    """
    rng = np.random.default_rng([seed, number])
    chosen = rng.permutation(len(data.X_train))[:TRAINING]
    labels, classes = data.y_train[chosen], len(data.class_names)  # (N,)
    spoilt = rng.permutation(len(labels))[: round(wrong * len(labels))]
    labels[spoilt] = (labels[spoilt] + rng.integers(1, classes, len(spoilt))) % classes  # never the right one
    network = FullyConnectedNet(
        HIDDEN,
        input_dim=data.dimensions,
        num_classes=classes,
        dropout_keep_ratio=kept,
        weight_scale=float(np.sqrt(2 / data.dimensions)),
        rng=rng,  # ever new masks, where a seed would give the same one in every step
    )
    solver = Solver(
        network,
        {**data.for_solver(), "X_train": data.X_train[chosen], "y_train": labels},
        update_rule="adam",
        optim_config={"learning_rate": RATE},
        batch_size=BATCH,
        num_epochs=epochs,
        verbose=False,
        seed=seed + number,
    )
    solver.train()  # in the end the network has the weights of its best epoch
    test = solver.check_accuracy(data.X_test, data.y_test)
    return np.array(solver.train_acc_history), np.array(solver.val_acc_history), test


def _labels(wrong: float) -> str:
    return f"{wrong:.0%} wrong training labels" if wrong else "Right training labels"


def _row(each: Trained) -> tuple[float, ...]:
    last = each.validation[:, -1]
    parts = (each.training[:, -1].mean(), last.mean(), last.std(ddof=1), each.gap.mean())
    return (*map(float, parts), float(each.validation.max(axis=1).mean()), float(each.test.mean()))


def _sentences(found: Found) -> tuple[str, ...]:
    last = {key: float(each.validation[:, -1].mean()) for key, each in found.items()}
    best = {wrong: max(KEPT, key=lambda kept: last[wrong, kept]) for wrong in (WRONG, RIGHT)}
    none, some = found[WRONG, 1.0], found[WRONG, best[WRONG]]
    return (
        f"Without dropout the network learns {none.training[:, -1].mean():.1%} of its labels, wrong ones included, and "
        f"reads {last[WRONG, 1.0]:.1%} of the validation pictures.",
        f"Best there is p = {best[WRONG]:g}: it learns {some.training[:, -1].mean():.1%} of the labels, of which "
        f"{1 - WRONG:.0%} are right, and reads {last[WRONG, best[WRONG]]:.1%}. Right labels follow a rule that all "
        "units can share; a wrong one must be remembered, and what only some units remember is lost.",
        f"Stopping at the best epoch is another remedy: without dropout {none.test.mean():.1%} of the test pictures "
        f"are right then, with p = {best[WRONG]:g} {some.test.mean():.1%}.",
        f"Where all labels are right, no dropout reads {last[RIGHT, 1.0]:.1%} of the validation pictures and the best "
        f"p = {best[RIGHT]:g} {last[RIGHT, best[RIGHT]]:.1%}: dropout helps where there is something to forget.",
    )


def _draw(found: Found, runs: int) -> bytes:
    def draw(figure: Any) -> None:
        top, bottom = figure.subfigures(2, 1, height_ratios=(1, 1.05))
        low = min(float(each.validation[:, -1].min()) for each in found.values()) - 0.15
        curves = top.subplots(1, len(KEPT), sharey=True)
        for axes, kept in zip(curves, KEPT, strict=True):
            _draw_curves(axes, found[WRONG, kept])
            what = "No dropout" if kept == 1 else f"Kept with p = {kept:g}"
            frame(axes, "epoch", "accuracy" if kept == 1 else "", what)
            axes.axhline(1 - WRONG, color=COLOURS[6], linewidth=1, linestyle=":")
            axes.set_ylim(min(low, 0.6), 1.03)
        curves[0].text(
            len(found[WRONG, 1.0].training[0]) - 1,
            1 - WRONG - 0.01,
            "share of right labels",
            ha="right",
            va="top",
            fontsize=8,
            color=SOFT,
        )
        curves[1].legend(loc="lower right")
        for axes, wrong in zip(bottom.subplots(1, 2, sharey=True), (WRONG, RIGHT), strict=True):
            _draw_gaps(axes, [found[wrong, kept] for kept in KEPT])
            frame(
                axes,
                "p, probability of keeping a unit",
                "accuracy in the end" if wrong else "",
                f"{_labels(wrong)}, and the gap in points",
            )
        axes.legend(loc="lower left")

    return draw_figure(draw, (11, 6.2))


def _draw_curves(axes: Any, each: Trained) -> None:
    epochs = np.arange(each.training.shape[1])
    for name, values, colour in (("training", each.training, 0), ("validation", each.validation, 1)):
        mean, spread = values.mean(axis=0), values.std(axis=0, ddof=1)
        axes.fill_between(epochs, mean - spread, mean + spread, color=COLOURS[colour], alpha=0.18, linewidth=0)
        axes.plot(epochs, mean, color=COLOURS[colour], label=name)


def _draw_gaps(axes: Any, settings: list[Trained]) -> None:
    """Both accuracies in the end over the settings, a dot a run, and the gap between them in points."""
    for name, colour in (("training", 0), ("validation", 1)):
        ends = [getattr(each, name)[:, -1] for each in settings]
        axes.plot(range(len(ends)), [end.mean() for end in ends], "o-", color=COLOURS[colour], label=name)
        for place, end in enumerate(ends):
            axes.plot(np.full(len(end), place), end, ".", color=COLOURS[colour], alpha=0.4, markersize=6)
    for place, each in enumerate(settings):
        upper, lower = each.training[:, -1].mean(), each.validation[:, -1].mean()
        axes.plot([place, place], [lower, upper], color=FAINT, linewidth=7, zorder=0, solid_capstyle="butt")
        text = f"{100 * (upper - lower):+.1f}"
        paper = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1}
        at = min(upper, lower) - 0.014
        axes.text(place - 0.06, at, text, ha="right", va="top", fontsize=9, fontweight="bold", bbox=paper)
    axes.set_xticks(range(len(KEPT)), [f"{kept:g}" for kept in KEPT])
    axes.set_xlim(-0.45, len(KEPT) - 0.7)
