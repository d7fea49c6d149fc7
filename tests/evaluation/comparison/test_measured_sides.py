"""Photos drawn anew and swapped, against photos that are really repeated and really swapped."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from herder.evaluation.average_precision import evaluate_tables, precision_recall_curves
from herder.evaluation.comparison.measured_sides import MeasuredSides, best_threshold, photo_gains
from herder.evaluation.photo_matches import PhotoMatches
from herder.evaluation.resampled_precision import group_numbers
from herder.evaluation.tables import DetectionTable, TruthTable
from herder.evaluation.weighted_f1 import WeightedF1

CLASSES = 2


def scene(rng: np.random.Generator, photos: int) -> tuple[TruthTable, DetectionTable, DetectionTable]:
    """Labels, and what two detectors of different skill find: boxes moved a little, some missing, some invented."""
    counts = rng.integers(0, 4, photos)
    counts[0] = max(counts[0], 1)  # some box is labelled
    at = np.repeat(np.arange(photos), counts)
    boxes = np.concatenate([rng.uniform(0, 60, (len(at), 2)), rng.uniform(10, 40, (len(at), 2))], axis=1)
    classes = rng.integers(0, CLASSES, len(at))
    ignore = rng.random(len(at)) < 0.1
    ignore[0] = False
    truth = TruthTable(at, classes, boxes, ignore, boxes[:, 2] * boxes[:, 3])
    return truth, _found(rng, truth, photos, 2.0), _found(rng, truth, photos, 6.0)


def _found(rng: np.random.Generator, truth: TruthTable, photos: int, noise: float) -> DetectionTable:
    kept = rng.random(len(truth)) < 0.8
    extra = rng.integers(0, 3, photos)
    at = np.concatenate([truth.photos[kept], np.repeat(np.arange(photos), extra)])
    moved = truth.boxes[kept] + rng.normal(0, noise, (kept.sum(), 4))
    moved[:, 2:] = np.maximum(moved[:, 2:], 1)
    boxes = np.concatenate([moved, rng.uniform(5, 50, (extra.sum(), 4))])
    classes = np.concatenate([truth.classes[kept], rng.integers(0, CLASSES, extra.sum())])
    scores = rng.random(len(at))  # no ties: which of two equal ones comes first is no matter here
    order = np.argsort(at, kind="stable")
    return DetectionTable(at[order], classes[order], boxes[order], scores[order])


def repeated(
    weights: NDArray[np.int64], truth: TruthTable, found: DetectionTable, *, keep: bool = False
) -> tuple[float, float, float]:
    """mAP50, mAP50-95 and F1 of the whole evaluation, run on a dataset in which each photo really comes so often.

    F1 is the best, or with ``keep`` that at the threshold which is best where each photo comes once.
    """
    copies = np.repeat(np.arange(len(weights)), weights)
    rows = [np.flatnonzero(truth.photos == photo) for photo in copies]
    all_rows = np.concatenate([np.zeros(0, np.int64), *rows])
    at = np.repeat(np.arange(len(copies)), [len(r) for r in rows])
    labels = TruthTable(
        at, truth.classes[all_rows], truth.boxes[all_rows], truth.ignore[all_rows], truth.areas[all_rows]
    )
    rows = [np.flatnonzero(found.photos == photo) for photo in copies]
    at = np.repeat(np.arange(len(copies)), [len(r) for r in rows])
    picked = found.pick(np.concatenate([np.zeros(0, np.int64), *rows]))
    detections = DetectionTable(at, picked.classes, picked.boxes, picked.scores)
    metrics = evaluate_tables(labels, detections, len(copies), ["a", "b"])
    threshold = best_threshold(truth, found, CLASSES) if keep else metrics.threshold
    f1 = precision_recall_curves(labels, detections, CLASSES)[0].at(threshold).f1
    return metrics.map50, metrics.map50_95, f1


@given(st.integers(0, 10_000), st.lists(st.integers(0, 3), min_size=4, max_size=4))
def test_weights_stand_for_repeated_photos(seed: int, weights: list[int]) -> None:
    truth, found, _ = scene(np.random.default_rng(seed), 4)
    own = np.array(weights)
    matches = PhotoMatches.of(truth, found, 4, CLASSES)
    f1 = WeightedF1.of(matches)
    assert f1.best(own) == pytest.approx(repeated(own, truth, found)[2], abs=1e-12, nan_ok=True)
    assert f1.fixed(own) == pytest.approx(repeated(own, truth, found, keep=True)[2], abs=1e-12, nan_ok=True)
    assert f1.best() == f1.fixed() == pytest.approx(repeated(np.ones(4, np.int64), truth, found)[2])


def test_draws_are_of_whole_groups_and_the_same_for_both_sides() -> None:
    truth, one, other = scene(np.random.default_rng(3), 12)
    groups = np.repeat(np.arange(4), 3)
    sides = MeasuredSides.of(truth, [one], [other], CLASSES, groups)
    draws = sides.bootstrap(40, seed=5)
    assert np.array_equal(draws, sides.bootstrap(40, seed=5, workers=3))
    assert not np.array_equal(draws, sides.bootstrap(40, seed=6))
    # All that four groups can give, from photos that are really repeated.
    possible = {}
    for first in range(256):
        drawn = np.bincount([first // 4**i % 4 for i in range(4)], minlength=4)
        if tuple(drawn) not in possible:
            a, b = (np.array(repeated(drawn[groups], truth, found, keep=True)) for found in (one, other))
            possible[tuple(drawn)] = b - a
    known = np.array(list(possible.values()))
    distance = np.abs(draws[:, None] - known[None]).max(axis=2).min(axis=1)
    assert distance.max() < 1e-9
    same = MeasuredSides.of(truth, [one], [one], CLASSES, groups).bootstrap(20, seed=0)
    assert np.all(same == 0)


def test_leaving_out_groups() -> None:
    truth, one, other = scene(np.random.default_rng(4), 6)
    sides = MeasuredSides.of(truth, [one], [other], CLASSES, np.array([0, 1, 1, 2, 3, 4]))
    found = sides.left_out()
    assert found.shape == (5, 3)
    without = np.array([1, 0, 0, 1, 1, 1])
    a, b = (np.array(repeated(without, truth, table, keep=True)) for table in (one, other))
    assert found[1] == pytest.approx(b - a)
    many = MeasuredSides.of(truth, [one], [other], CLASSES, np.arange(6))
    assert many.left_out().shape == (6, 3)


@given(st.integers(0, 10_000), st.lists(st.booleans(), min_size=5, max_size=5))
def test_swapping_is_what_swapping_the_detections_gives(seed: int, mask: list[bool]) -> None:
    truth, one, other = scene(np.random.default_rng(seed), 5)
    swap = np.array(mask)
    found = MeasuredSides.of(truth, [one], [other], CLASSES, np.arange(5)).swapped()(swap)

    def mixed(mine: DetectionTable, theirs: DetectionTable) -> DetectionTable:
        kept, taken = mine.pick(~swap[mine.photos]), theirs.pick(swap[theirs.photos])
        parts = [np.concatenate(pair) for pair in zip(_columns(kept), _columns(taken), strict=True)]
        return DetectionTable(*parts).pick(np.argsort(parts[0], kind="stable"))

    each = np.ones(5, np.int64)
    a, b = repeated(each, truth, mixed(one, other)), repeated(each, truth, mixed(other, one))
    assert found == pytest.approx(np.subtract(b, a), abs=1e-9)


def _columns(table: DetectionTable) -> tuple[NDArray[np.generic], ...]:
    return table.photos, table.classes, table.boxes, table.scores


def test_several_models_a_side_are_their_mean() -> None:
    truth, one, other = scene(np.random.default_rng(8), 8)
    each = np.arange(8)
    singles = [MeasuredSides.of(truth, [table], [table], CLASSES, each).values()[0] for table in (one, other)]
    both = MeasuredSides.of(truth, [one, other], [one], CLASSES, each)
    a, b = both.values()
    assert a == pytest.approx(np.mean(singles, axis=0))
    assert both.difference() == pytest.approx(b - a)
    with pytest.raises(ValueError, match="shorter"):
        both.swapped()


def test_no_labels_and_no_detections() -> None:
    truth, one, _ = scene(np.random.default_rng(1), 3)
    nothing = one.pick(np.zeros(0, np.int64))
    sides = MeasuredSides.of(truth, [nothing], [nothing], CLASSES, np.arange(3))
    assert sides.values()[0].tolist() == [0, 0, 0]
    none = np.zeros(0, np.int64)
    no_truth = TruthTable(none, none, np.zeros((0, 4)), np.zeros(0, np.bool_), np.zeros(0))
    sides = MeasuredSides.of(no_truth, [one], [nothing], CLASSES, np.arange(3))
    assert np.isnan(sides.difference()).all()
    assert np.isnan(sides.bootstrap(3, seed=0)).all()


def test_groups_and_gains() -> None:
    assert group_numbers([]).tolist() == []
    assert group_numbers(["a", "", "a", "b", ""]).tolist() == [0, 1, 0, 2, 3]
    box = np.array([[0.0, 0, 20, 20]])
    at = np.arange(3)
    truth = TruthTable(at, at * 0, np.repeat(box, 3, 0), at > 9, np.full(3, 400.0))
    scores = np.array([0.9, 0.8, 0.7])
    a = DetectionTable(at, at * 0, truth.boxes + np.array([[50.0], [0], [0]]), scores)  # nothing right on photo 0
    b = DetectionTable(at, at * 0, truth.boxes + np.array([[0.0], [0], [50]]), scores)  # nothing right on photo 2
    indices, gains = photo_gains(truth, [a], [b], ["x", "y", "z"], 1)
    # B keeps scores from 0.8 on (F1 0.8), A must keep all three (F1 2/3): on photo 2 B misses, but raises no alarm.
    assert indices == [0, 2]
    assert [(g.name, g.a, g.b, g.gain) for g in gains] == [("x", 2.0, 0.0, 2.0), ("z", 0.0, 1.0, -1.0)]
    assert photo_gains(truth, [a], [a], ["x", "y", "z"], 1) == ([], ())
