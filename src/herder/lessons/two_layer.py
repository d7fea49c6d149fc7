"""A two-layer network: features are learned, not only weighed.

    h = max(0, x W1 + b1)        (H,)   hidden layer: each unit looks for one pattern
    s = h W2 + b2                (C,)   scores: a linear classifier of what the units found
    L = softmax loss(s, y) + 0.5 * reg * (sum(W1^2) + sum(W2^2))

Learned by gradient descent through both layers (Rumelhart, Hinton and Williams, 1986,
https://doi.org/10.1038/323533a0).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from herder.foundations.two_layer_net import TwoLayerNet
from herder.lessons.datasets import CourseData, Floats, as_rows
from herder.lessons.figures import COLOURS, INK, draw_figure, frame, logarithmic, show, smooth, tiles
from herder.lessons.lesson import LessonResult, LessonSettings, NumberTable

HIDDEN = (2, 5, 20, 100)
"""Hidden units that are tried."""

EPOCHS, QUICK_EPOCHS = 60, 5
BATCH = 100
RATE, DECAY, STRENGTH, SPREAD = 0.5, 0.97, 1e-3, 0.05
"""Learning rate, its factor after each epoch, regularisation, standard deviation of the first weights."""

FILTERS = 36
"""Filters in the figure."""


@dataclass(frozen=True)
class Trained:
    """A network and how it got there."""

    network: TwoLayerNet
    losses: Floats
    """Loss of each step."""
    training: Floats
    validation: Floats
    """Accuracy on a batch and on the validation pictures, each epoch."""
    right: tuple[float, float]
    """Accuracy at the end, on all training and on all validation pictures."""


def run(settings: LessonSettings) -> LessonResult:
    """Train networks with few and many hidden units; test the one that is best on the validation pictures."""
    data = settings.data
    epochs = QUICK_EPOCHS if settings.quick else EPOCHS
    trained = {}
    for hidden in HIDDEN:
        settings.say(f"{hidden} hidden units")
        trained[hidden] = train_one(data, hidden, epochs, settings.seed)
    accuracy = {hidden: each.right[1] for hidden, each in trained.items()}
    best = max(accuracy, key=lambda hidden: accuracy[hidden])
    right = trained[best].network.predict(as_rows(data.X_test)) == data.y_test
    sizes = NumberTable(
        f"Accuracy after {epochs} epochs, by the number of hidden units",
        ("hidden units", "weights", "training", "validation"),
        tuple(
            (hidden, sum(int(p.size) for p in each.network.params.values()), *each.right)
            for hidden, each in trained.items()
        ),
    )
    tested = NumberTable(
        "Chosen on the validation pictures, tested once",
        ("hidden units", "test pictures", "test accuracy"),
        ((best, len(right), float(right.mean())),),
    )
    sentences = (
        f"With {HIDDEN[0]} hidden units all {len(data.class_names)} classes must be told apart by {HIDDEN[0]} numbers: "
        f"{accuracy[HIDDEN[0]]:.1%} of the validation pictures are right. With {best} it is {accuracy[best]:.1%}.",
        f"On the test pictures the network with {best} hidden units is right for {right.mean():.1%}.",
        "The loss falls fast, then slowly; where the two accuracies part, the network learns its training pictures by "
        "heart.",
        "A filter is what one hidden unit looks for: strokes at a place, not whole digits as in the linear classifier."
        if data.shape[0] == 1
        else "A filter is what one hidden unit looks for in the whole picture.",
    )
    return LessonResult(sentences, (sizes, tested), {"two-layer": _draw(data, trained, best)})


def train_one(data: CourseData, hidden: int, epochs: int, seed: int) -> Trained:
    """Train a network with ``hidden`` units by gradient descent."""
    network = TwoLayerNet(data.dimensions, hidden, len(data.class_names), std=SPREAD, seed=seed)
    history = network.train(
        as_rows(data.X_train),
        data.y_train,
        as_rows(data.X_val),
        data.y_val,
        learning_rate=RATE,
        learning_rate_decay=DECAY,
        reg=STRENGTH,
        num_iters=epochs * max(len(data.X_train) // BATCH, 1),
        batch_size=BATCH,
    )
    losses, training, validation = (
        np.asarray(history[name], np.float64) for name in ("loss_history", "train_acc_history", "val_acc_history")
    )
    right = (
        float(np.mean(network.predict(as_rows(data.X_train)) == data.y_train)),
        float(np.mean(network.predict(as_rows(data.X_val)) == data.y_val)),
    )
    return Trained(network, losses, training, validation, right)


def _draw(data: CourseData, trained: dict[int, Trained], best: int) -> bytes:
    each = trained[best]
    units = np.linalg.norm(each.network.params["W2"], axis=1).argsort()[::-1][:FILTERS]  # those that say the most
    filters = each.network.params["W1"].T[units].reshape(-1, *data.shape)  # (FILTERS, C, H, W)

    def draw(figure: Any) -> None:
        loss, accuracy, pictures = figure.subplots(1, 3, width_ratios=(1, 1, 1.1))
        for (hidden, one), colour in zip(trained.items(), COLOURS, strict=False):
            epochs = np.arange(1, len(one.losses) + 1) / max(len(data.X_train) // BATCH, 1)
            loss.plot(epochs, smooth(one.losses, 20), color=colour, label=f"{hidden} hidden units")
            accuracy.plot(np.arange(len(one.validation)), one.validation, color=colour, label=f"{hidden}")
        accuracy.plot(
            np.arange(len(each.training)),
            smooth(each.training, 3),
            color=INK,
            linestyle=":",
            label=f"{best}, training batches",
        )
        logarithmic(loss.yaxis, np.concatenate([one.losses for one in trained.values()]))
        frame(loss, "epoch", "loss, mean of 20 steps (logarithmic)", "Loss")
        loss.legend()
        frame(accuracy, "epoch", "accuracy", "Accuracy on the validation pictures")
        accuracy.set_ylim(0, 1.02)
        accuracy.legend(loc="lower right", title="hidden units", title_fontsize=8)
        show(pictures, tiles(filters, columns=6, signed=True, gap=2), f"Filters of {len(filters)} hidden units")

    return draw_figure(draw, (11, 3.9))
