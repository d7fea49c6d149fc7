"""Nearest neighbours: a picture is what the most similar pictures are.

    distance(a, b) = sqrt(sum_d (a_d - b_d)^2),    label(a) = the most frequent one among the k nearest

Cover and Hart (1967), https://doi.org/10.1109/TIT.1967.1053964. k is chosen by cross-validation: the training pictures
are dealt into folds, each fold is predicted from all others, and the k with the best mean accuracy wins.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from herder.foundations.nearest_neighbors import KNearestNeighbor, best_k, cross_validate_k
from herder.lessons.datasets import CourseData, Floats, Labels, as_rows
from herder.lessons.figures import COLOURS, INK, SOFT, draw_figure, frame, logarithmic, show, tiles
from herder.lessons.lesson import LessonResult, LessonSettings, NumberTable

CHOICES = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 30, 50, 100)
"""Values of k that are tried."""

FOLDS = 5

ROWS = 10
"""Test pictures in the figure, half of them mistakes where there are so many."""

TIMED_PAIRS = 500_000
"""Pairs of pictures whose distances are timed: two loops take a few seconds for them."""


def run(settings: LessonSettings) -> LessonResult:
    """Choose k, test it, look at neighbours, and time three ways to compute the same distances."""
    data = settings.data
    X, y = as_rows(data.X_train), data.y_train  # (N, D), (N,)
    settings.say(f"cross-validation over {FOLDS} folds")
    choices = [k for k in CHOICES if k <= len(X) * (FOLDS - 1) // FOLDS]
    accuracies = cross_validate_k(X, y, choices, num_folds=FOLDS, seed=settings.seed)
    best = best_k(accuracies)  # the highest mean, the smaller k of equals
    scores = {k: np.array(found) for k, found in accuracies.items()}  # (FOLDS,) each
    settings.say("the test pictures")
    classifier = KNearestNeighbor()
    classifier.train(X, y)
    distances = classifier.compute_distances_no_loops(as_rows(data.X_test))  # (M, N)
    predicted = classifier.predict_labels(distances, k=best).astype(np.int64)  # (M,)
    accuracy = float((predicted == data.y_test).mean())
    settings.say("the three versions of the distance")
    timing = time_versions(classifier, as_rows(data.X_test), quick=settings.quick)
    seconds = [float(row[1]) for row in timing.rows]
    cv = NumberTable(
        f"Accuracy over {FOLDS} folds",
        ("k", "mean", "standard deviation"),
        tuple((k, float(found.mean()), float(found.std(ddof=1))) for k, found in scores.items()),
    )
    tested = NumberTable(
        "Chosen once, tested once", ("k", "test pictures", "test accuracy"), ((best, len(predicted), accuracy),)
    )
    sentences = (
        f"Cross-validation chooses k = {best}: {scores[best].mean():.1%} of the held-out pictures are right. Each dot "
        "is one fold: the bars show how much luck there is in a single split.",
        f"On {len(predicted)} test pictures that chose nothing, k = {best} is right for {accuracy:.1%}.",
        f"The three ways to compute the distances agree. Without loops it is {seconds[0] / seconds[2]:,.0f} times "
        "faster than with two, since one matrix product does the work.",
    )
    return LessonResult(
        sentences, (cv, tested, timing), {"knn": _draw(data, scores, best, timing, distances, predicted)}
    )


def time_versions(classifier: KNearestNeighbor, X_test: Floats, *, quick: bool = False) -> NumberTable:
    """Seconds that two loops, one loop and no loops take for the same distances, and how far they are apart."""
    pairs = TIMED_PAIRS // 10 if quick else TIMED_PAIRS
    rows = max(1, min(len(X_test), pairs // len(classifier.X_train)))
    versions = (
        ("two loops", classifier.compute_distances_two_loops),
        ("one loop", classifier.compute_distances_one_loop),
        ("no loops", classifier.compute_distances_no_loops),
    )
    found, seconds = [], []
    for _, version in versions:
        start = time.perf_counter()
        found.append(version(X_test[:rows]))  # (rows, N)
        seconds.append(time.perf_counter() - start)
    apart = [float(np.abs(distances - found[0]).max()) for distances in found]
    return NumberTable(
        f"Distances of {rows} test to {len(classifier.X_train):,} training pictures, {X_test.shape[1]:,} numbers each",
        ("version", "seconds", "times faster", "largest difference"),
        tuple(
            (name, took, seconds[0] / took, difference)
            for (name, _), took, difference in zip(versions, seconds, apart, strict=True)
        ),
        timing=True,
    )


def _draw(
    data: CourseData,
    scores: dict[int, Floats],
    best: int,
    timing: NumberTable,
    distances: Floats,
    predicted: Labels,
) -> bytes:
    def draw(figure: Any) -> None:
        left, right = figure.subfigures(1, 2, width_ratios=(1.1, 1))
        curve, bars = left.subplots(2, 1, height_ratios=(2.1, 1))
        _draw_scores(curve, scores, best)
        _draw_times(bars, timing)
        _draw_neighbours(right.subplots(), data, distances, predicted)

    return draw_figure(draw, (10, 5.6))


def _draw_scores(axes: Any, scores: dict[int, Floats], best: int) -> None:
    ks = np.array(list(scores))
    folds = np.array(list(scores.values()))  # (K, FOLDS)
    for fold in folds.T:
        axes.plot(ks, fold, ".", color=COLOURS[5], markersize=4, alpha=0.8)
    axes.errorbar(
        ks, folds.mean(1), folds.std(1, ddof=1), color=COLOURS[0], marker="o", markersize=4, capsize=3, elinewidth=1
    )
    at = float(scores[best].mean())
    axes.plot([best], [at], "o", color=COLOURS[1], markersize=9, zorder=5)
    text = f"best: k = {best}, {at:.1%} right"
    axes.text(0.04, 0.06, text, transform=axes.transAxes, color=COLOURS[1], fontweight="bold")
    axes.set_xscale("log")
    shown = [k for k in (1, 2, 3, 5, 10, 20, 50, 100) if k in scores]
    axes.set_xticks(shown, [str(k) for k in shown])
    axes.minorticks_off()
    frame(axes, "k, neighbours that vote", "accuracy on the held-out fold", "Mean and deviation of five folds")


def _draw_times(axes: Any, timing: NumberTable) -> None:
    names, seconds = [str(row[0]) for row in timing.rows], [float(row[1]) for row in timing.rows]
    axes.barh(names, seconds, color=[COLOURS[6], COLOURS[5], COLOURS[0]], height=0.6)
    axes.set_xlim(min(seconds) / 3, max(seconds) * 8)
    for i, took in enumerate(seconds):
        text = f" {took:.2f} s" if took >= 0.1 else f" {1000 * took:.1f} ms"
        axes.text(took, i, text, va="center", fontsize=8)
    axes.invert_yaxis()
    logarithmic(axes.xaxis, np.array([min(seconds) / 10, max(seconds)]))
    frame(axes, "seconds (logarithmic)", "", "The same distances, three times")
    axes.grid(visible=False, axis="y")


def _draw_neighbours(axes: Any, data: CourseData, distances: Floats, predicted: Labels, count: int = 7) -> None:
    """Test pictures, the mistakes first, beside their nearest training pictures."""
    wrong = np.flatnonzero(predicted != data.y_test)[: ROWS // 2]
    right = np.flatnonzero(predicted == data.y_test)[: ROWS - len(wrong)]
    chosen = np.concatenate([wrong, right])
    rows = []
    for i in chosen:
        nearest = np.argsort(distances[i], kind="stable")[:count]
        rows.append(np.concatenate([data.X_test[i : i + 1], data.X_train[nearest]]) + data.mean)  # (1 + count, C, H, W)
    sheet = tiles(np.concatenate(rows), columns=1 + count)
    show(axes, sheet, "Test pictures (left) and their nearest neighbours")
    axes.axvline(data.shape[2], color=INK, linewidth=2)
    for row, i in enumerate(chosen):
        name, truth = data.class_names[int(predicted[i])], data.class_names[int(data.y_test[i])]
        good = predicted[i] == data.y_test[i]
        text = name if good else f"{name}, is {truth}"
        at, colour = 1 - (row + 0.5) / len(chosen), SOFT if good else COLOURS[1]
        axes.text(-0.015, at, text, transform=axes.transAxes, ha="right", va="center", color=colour)
