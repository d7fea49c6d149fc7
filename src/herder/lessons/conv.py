"""Convolution: one small filter looks everywhere, so that a stroke is known wherever it stands.

    out[f, i, j] = b[f] + sum_{c, u, v} w[f, c, u, v] * x[c, i + u - pad, j + v - pad]

LeCun et al. (1998), https://doi.org/10.1109/5.726791. A filter has few weights and sees every place of every picture.
The network is convolution, ReLU, 2 x 2 max pooling, a hidden layer and the scores; beside it learns one without
convolution and with about as many weights, its hidden layer right on the pixels. Both are then shown the test pictures
moved by a pixel or two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from herder.foundations.conv_net import ThreeLayerConvNet
from herder.foundations.fully_connected import FullyConnectedNet
from herder.foundations.solver import Solver
from herder.lessons.conv_figures import draw_lesson
from herder.lessons.conv_timing import time_convolution
from herder.lessons.datasets import CourseData, Floats, Labels
from herder.lessons.lesson import LessonResult, LessonSettings, NumberTable

SIZES = (3, 5, 7)
"""Sides of the filters that are tried, in pixels."""

FILTERS, HIDDEN = 16, 100
STEPS, LARGE_STEPS, QUICK_STEPS = 960, 200, 60
"""Steps of a training, about: on digits, on photos, for a first look."""

BATCH, RATE, STRENGTH, SPREAD = 50, 1e-3, 1e-2, 0.02
"""Pictures in a batch, Adam's learning rate, regularisation, standard deviation of the first weights."""

DENSE = "no convolution"

SHIFTS = (0, 1, 2)
"""Pixels by which the test pictures are moved, in each of the four directions."""


@dataclass(frozen=True)
class Trained:
    """A network and how it got there."""

    network: ThreeLayerConvNet | FullyConnectedNet
    losses: Floats
    """Loss of each step."""
    training: Floats
    validation: Floats
    """Accuracy after each epoch."""

    def accuracy(self, X: Floats, y: Labels) -> float:
        """Share of pictures X (N, C, H, W) that get their label y (N,)."""
        return float(np.mean(self.network.loss(X).argmax(axis=1) == y))


def run(settings: LessonSettings) -> LessonResult:
    """Train with filters of several sizes and without; move the test pictures; time loops against a matrix product."""
    data = settings.data
    steps = QUICK_STEPS if settings.quick else LARGE_STEPS if data.large else STEPS
    networks: dict[str, ThreeLayerConvNet | FullyConnectedNet] = {
        f"{side} x {side}": _conv_net(data, side, settings.seed) for side in SIZES if side <= min(data.shape[1:])
    }
    networks[DENSE] = _dense_net(data, max(map(_weights, networks.values())), settings.seed)
    trained = {}
    for name, network in networks.items():
        settings.say(f"filters: {name}")
        trained[name] = train_one(data, network, steps, settings.seed)
    best = max((name for name in trained if name != DENSE), key=lambda name: float(trained[name].validation[-1]))
    settings.say("the test pictures, moved")
    moved = {name: move_accuracy(data, trained[name]) for name in (best, DENSE)}
    settings.say("loops against a matrix product")
    timing = time_convolution(settings.seed, quick=settings.quick)
    learned = NumberTable(
        f"Accuracy after about {steps} steps",
        ("filters", "weights", "training", "validation"),
        tuple((name, _weights(each.network), each.training[-1], each.validation[-1]) for name, each in trained.items()),
    )
    tested = NumberTable(
        f"Accuracy on {len(data.X_test)} test pictures, as they are and moved by some pixels",
        ("filters", *(f"moved by {shift}" if shift else "as they are" for shift in SHIFTS)),
        tuple((name, *found.values()) for name, found in moved.items()),
    )
    first = trained[best].network.params["W1"]  # (F, C, HH, WW)
    curves = {name: (each.losses, each.training, each.validation) for name, each in trained.items()}
    figure = draw_lesson(data, first, trained[best].network.params["b1"], curves, moved, timing)
    return LessonResult(
        _sentences(trained, moved, best, len(data.X_test), timing), (learned, tested, timing), {"conv": figure}
    )


def train_one(data: CourseData, network: ThreeLayerConvNet | FullyConnectedNet, steps: int, seed: int) -> Trained:
    """Train a network with Adam for about ``steps`` steps, that is for whole epochs."""
    solver = Solver(
        network,
        data.for_solver(),
        update_rule="adam",
        optim_config={"learning_rate": RATE},
        batch_size=BATCH,
        num_epochs=max(1, round(steps * BATCH / len(data.X_train))),
        verbose=False,
        seed=seed,
    )
    solver.train()
    histories = solver.loss_history, solver.train_acc_history, solver.val_acc_history
    return Trained(network, *(np.array(history) for history in histories))


def move_accuracy(data: CourseData, trained: Trained) -> dict[int, float]:
    """Test accuracy by how many pixels the pictures were moved, the mean over left, right, up and down."""
    return {
        shift: float(
            np.mean(
                [trained.accuracy(moved(data, step * shift, axis), data.y_test) for axis in (2, 3) for step in (-1, 1)]
            )
        )
        for shift in SHIFTS
    }


def moved(data: CourseData, pixels: int, axis: int) -> Floats:
    """The test pictures (M, C, H, W) moved along an axis; black comes in from the edge."""
    pictures = np.roll(data.X_test + data.mean, pixels, axis)
    edge = slice(pixels) if pixels >= 0 else slice(pixels, None)
    pictures[(*(slice(None),) * axis, edge)] = 0
    return np.asarray(pictures - data.mean)


def _conv_net(data: CourseData, side: int, seed: int) -> ThreeLayerConvNet:
    return ThreeLayerConvNet(
        input_dim=data.shape,
        num_filters=FILTERS,
        filter_size=side,
        hidden_dim=HIDDEN,
        num_classes=len(data.class_names),
        weight_scale=SPREAD,
        reg=STRENGTH,
        seed=seed,
    )


def _dense_net(data: CourseData, weights: int, seed: int) -> FullyConnectedNet:
    """A network with one hidden layer and about so many weights."""
    return FullyConnectedNet(
        [weights // (data.dimensions + 1 + len(data.class_names))],
        input_dim=data.dimensions,
        num_classes=len(data.class_names),
        weight_scale=SPREAD,
        reg=STRENGTH,
        seed=seed,
    )


def _weights(network: ThreeLayerConvNet | FullyConnectedNet) -> int:
    return sum(int(values.size) for values in network.params.values())


def _sentences(
    trained: Mapping[str, Trained],
    moved: Mapping[str, Mapping[int, float]],
    best: str,
    tested: int,
    timing: NumberTable,
) -> tuple[str, ...]:
    forward, backward = (float(row[3]) for row in timing.rows[:2])
    error = float(np.sqrt(moved[best][0] * (1 - moved[best][0]) / tested))
    return (
        f"Best on the validation pictures are filters of {best}: {trained[best].validation[-1]:.1%} are right, without "
        f"convolution {trained[DENSE].validation[-1]:.1%}. On the test pictures it is {moved[best][0]:.1%} and "
        f"{moved[DENSE][0]:.1%}; chance alone moves each by {error:.1%} (one standard error).",
        f"Moved by one pixel, {moved[best][1]:.1%} of the test pictures are still right with convolution and "
        f"{moved[DENSE][1]:.1%} without. The filters move along, pooling forgives one step, but the hidden layer has "
        "learned where things stand.",
        "A filter answers where its pattern is: look along a row of the maps to see a filter find edges or ends of "
        "strokes.",
        f"As one matrix product the convolution is {forward:,.0f} times faster forward and {backward:,.0f} times "
        "backward than by loops, with the same result.",
    )
