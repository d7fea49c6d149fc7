"""Linear classifiers: one template a class, and the class whose template fits best.

    scores s = x W                                          x (D,), W (D, C)
    softmax  L = -log(exp(s_y) / sum_c exp(s_c))            how surprised the classifier is by the truth y
    SVM      L = sum_{c != y} max(0, s_c - s_y + 1)         by how much wrong classes come too near
    both     + reg * sum(W^2)

Learned by gradient descent on small batches. A column of W has the shape of a picture: it can be looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from herder.foundations.linear_classifiers import LinearClassifier, LinearSVM, Softmax
from herder.lessons.datasets import CourseData, Floats, as_rows, with_bias
from herder.lessons.figures import COLOURS, SOFT, draw_figure, frame, heat, logarithmic, show, smooth, tiles
from herder.lessons.lesson import LessonResult, LessonSettings, NumberTable

RATES = (0.001, 0.01, 0.1, 1.0)
STRENGTHS = (0.0, 0.0001, 0.001, 0.01, 0.1)
"""Learning rates and regularisation strengths of the grid."""

STEPS, LARGE_STEPS, QUICK_STEPS = 1_500, 300, 200
"""Steps of a training: on digits, on photos, for a first look."""

BATCH = 200

KINDS: tuple[tuple[str, type[LinearClassifier]], ...] = (("softmax", Softmax), ("SVM", LinearSVM))


@dataclass(frozen=True)
class Trained:
    """One classifier of the grid."""

    rate: float
    strength: float
    classifier: LinearClassifier
    losses: Floats
    """Loss of each step (STEPS,)."""
    training: float
    validation: float
    """Accuracies."""


def run(settings: LessonSettings) -> LessonResult:
    """Search both losses over the grid, test the best of each, and look at their templates."""
    data = settings.data
    steps = QUICK_STEPS if settings.quick else LARGE_STEPS if data.large else STEPS
    best: dict[str, Trained] = {}
    grids: dict[str, Floats] = {}
    for name, kind in KINDS:
        tried = []
        for rate in RATES:
            for strength in STRENGTHS:
                settings.say(f"{name}: learning rate {rate:g}, regularisation {strength:g}")
                tried.append(train_one(kind, data, rate, strength, steps, settings.seed))
        grids[name] = np.array([each.validation for each in tried]).reshape(len(RATES), len(STRENGTHS))
        best[name] = max(tried, key=lambda each: each.validation)
    X_test = with_bias(as_rows(data.X_test))  # (M, D + 1)
    tested = {name: float(np.mean(each.classifier.predict(X_test) == data.y_test)) for name, each in best.items()}
    chosen = NumberTable(
        f"Best on {len(data.y_val)} validation pictures, tested once",
        ("loss", "learning rate", "reg", "training accuracy", "validation accuracy", "test accuracy"),
        tuple((name, e.rate, e.strength, e.training, e.validation, tested[name]) for name, e in best.items()),
    )
    grid_tables = tuple(
        NumberTable(
            f"{name}: validation accuracy over the grid",
            ("learning rate", *(f"reg {strength:g}" for strength in STRENGTHS)),
            tuple((rate, *map(float, row)) for rate, row in zip(RATES, grids[name], strict=True)),
        )
        for name, _ in KINDS
    )
    classes = len(data.class_names)
    sentences = (
        f"Before the first step every class is equally likely, so the softmax loss starts at log({classes}) = "
        f"{np.log(classes):.2f} (here {best['softmax'].losses[0]:.2f}) and the SVM loss at {classes - 1} "
        f"(here {best['SVM'].losses[0]:.2f}). A loss that starts elsewhere has a mistake in it.",
        f"On the test pictures softmax is right for {tested['softmax']:.1%}, the SVM for {tested['SVM']:.1%}: the two "
        "losses differ, the classifiers hardly do.",
        "A learning rate that is too small has not arrived yet, one that is too large jumps about; much regularisation "
        "makes the templates smooth and the scores timid.",
        "Each template is red where ink speaks for its class and blue where ink speaks against it."
        if data.shape[0] == 1
        else "Each template shows the colours that speak for its class.",
    )
    return LessonResult(sentences, (chosen, *grid_tables), {"softmax": _draw(data, best, grids)})


def train_one(
    kind: type[LinearClassifier], data: CourseData, rate: float, strength: float, steps: int, seed: int
) -> Trained:
    """Train one classifier on the training rows with a bias column (N, D + 1); measure it on the validation rows."""
    X, X_val = with_bias(as_rows(data.X_train)), with_bias(as_rows(data.X_val))
    classifier = kind()
    losses = classifier.train(X, data.y_train, rate, strength, num_iters=steps, batch_size=BATCH, seed=seed)
    right = float(np.mean(classifier.predict(X) == data.y_train))
    right_val = float(np.mean(classifier.predict(X_val) == data.y_val))
    return Trained(rate, strength, classifier, np.asarray(losses), right, right_val)


def _draw(data: CourseData, best: dict[str, Trained], grids: dict[str, Floats]) -> bytes:
    columns, rows = [f"{s:g}" for s in STRENGTHS], [f"{r:g}" for r in RATES]

    def draw(figure: Any) -> None:
        top, bottom = figure.subfigures(2, 1, height_ratios=(1.25, 1))
        curves, *grid_axes = top.subplots(1, 3)
        for (name, trained), colour in zip(best.items(), COLOURS, strict=False):
            steps = np.arange(1, len(trained.losses) + 1)
            curves.plot(steps, trained.losses, color=colour, alpha=0.25, linewidth=0.8)
            curves.plot(
                steps, smooth(trained.losses, 40), color=colour, label=f"{name}, learning rate {trained.rate:g}"
            )
        logarithmic(curves.yaxis, np.concatenate([trained.losses for trained in best.values()]))
        frame(curves, "step", "loss of a batch (logarithmic)", "Loss while learning")
        curves.legend(loc="upper right")
        for axes, (name, values) in zip(grid_axes, grids.items(), strict=True):
            heat(axes, values, columns, rows, f"{name}: validation accuracy")
            axes.set_xlabel("regularisation")
            axes.set_ylabel("learning rate")
        for axes, (name, trained) in zip(bottom.subplots(2, 1), best.items(), strict=True):
            templates = trained.classifier.W[:-1].T.reshape(-1, *data.shape)  # (C, channels, H, W), without the bias
            show(
                axes,
                tiles(templates, columns=len(templates), signed=True, gap=3),
                f"Templates of the {name}, one a class",
            )
            for i, label in enumerate(data.class_names):
                at = (i + 0.5) / len(templates)
                axes.text(at, -0.04, label, transform=axes.transAxes, ha="center", va="top", color=SOFT)

    return draw_figure(draw, (11, 6.2))
