"""Bootstrap and jackknife of mAP: what is drawn, what is left out, and that nothing else changes the numbers."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from herder.evaluation.photo_matches import PhotoMatches
from herder.evaluation.resampled_precision import draw_weights, jackknife, resample
from herder.evaluation.tables import DetectionTable, TruthTable


def model(seed: int, photos: int = 9, noise: float = 4.0) -> PhotoMatches:
    """A detector of this noise on photos of two boxes each."""
    labels, rng = np.random.default_rng(0), np.random.default_rng(seed)
    where = np.repeat(np.arange(photos), 2)
    boxes = np.concatenate([labels.uniform(0, 200, (len(where), 2)), labels.uniform(20, 60, (len(where), 2))], axis=1)
    kinds = np.arange(len(where)) % 2
    truth = TruthTable(where, kinds, boxes, where < 0, boxes[:, 2] * boxes[:, 3])
    seen = boxes + rng.normal(0, noise, boxes.shape)
    return PhotoMatches.of(truth, DetectionTable(where, kinds, seen, rng.random(len(where))), photos, 2)


def test_the_same_seed_gives_the_same_draws_whatever_the_workers() -> None:
    models = [model(1), model(2)]
    first = resample(models, 70, seed=5)
    assert first.shape == (70, 2, 2)
    np.testing.assert_array_equal(first, resample(models, 70, seed=5, workers=3))
    assert not np.array_equal(first, resample(models, 70, seed=6))
    np.testing.assert_array_equal(first[:40], resample(models, 40, seed=5))  # more draws keep the first ones


def test_all_models_see_the_same_photos() -> None:
    models = [model(1), model(2), model(1)]
    draws = resample(models, 30, seed=0)
    np.testing.assert_array_equal(draws[:, 0], draws[:, 2])
    np.testing.assert_array_equal(draws[:, 1], resample(models[1:2], 30, seed=0)[:, 0])


def test_a_draw_is_the_map_of_the_photos_drawn() -> None:
    one = model(3)
    draws = resample([one], 20, seed=4)[:, 0]
    for row, child in enumerate(np.random.SeedSequence(4).spawn(20)):
        weights = draw_weights(np.arange(len(one)), np.random.default_rng(child))
        assert weights.sum() == len(one)
        assert tuple(draws[row]) == one.map(weights)


def test_groups_are_drawn_whole() -> None:
    members = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2])
    for seed in range(20):
        weights = draw_weights(members, np.random.default_rng(seed))
        per_group = [weights[members == group] for group in range(3)]
        assert all((values == values[0]).all() for values in per_group)
        assert sum(values[0] for values in per_group) == 3
    one = model(3)
    named = np.array([7, 7, 7, 1, 1, 5, 5, 5, 5])  # any numbers name the groups
    assert len(np.unique(resample([one], 200, 0, groups=named)[:, 0, 0])) <= 10  # of 3 groups, 10 different draws
    assert Counter(members.tolist())[2] == 4


def test_jackknife_leaves_out_each_photo_once() -> None:
    one = model(3)
    values = jackknife([one], workers=2)
    assert values.shape == (9, 1, 2)
    for left_out in range(9):
        assert tuple(values[left_out, 0]) == one.map((np.arange(9) != left_out) * 1.0)
    members = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2])
    by_group = jackknife([one], members)
    assert by_group.shape == (3, 1, 2)
    assert tuple(by_group[1, 0]) == one.map((members != 1) * 1.0)
    assert jackknife([one], 4).shape == (4, 1, 2)
    np.testing.assert_array_equal(jackknife([one], 100), values)


def test_photos_without_boxes_give_nan_and_progress_is_told() -> None:
    none, boxes = np.zeros(0, np.int64), np.zeros((0, 4))
    empty = PhotoMatches.of(
        TruthTable(none, none, boxes, none > 0, boxes[:, 0]), DetectionTable(none, none, boxes, boxes[:, 0]), 3, 1
    )
    told: list[tuple[int, int]] = []
    assert np.isnan(resample([empty], 20, 0, progress=lambda *step: told.append(step))).all()
    assert told[-1] == (20, 20)
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert resample([empty], 0).shape == (0, 1, 2)


def test_what_does_not_fit_together() -> None:
    with pytest.raises(ValueError, match="models of"):
        resample([model(1), model(1, photos=4)], 5)
    with pytest.raises(ValueError, match="models of"):
        resample([], 5)
    with pytest.raises(ValueError, match="groups of 2 photos do not match 9"):
        jackknife([model(1)], np.array([0, 1]))


def test_the_spread_of_the_draws_is_that_of_new_photos() -> None:
    """The bootstrap's standard deviation of mAP50 against that over really new datasets of the same kind."""
    fresh = []
    for seed in range(120):
        rng = np.random.default_rng(1000 + seed)
        fresh.append(found_or_not(rng).map()[0])
    estimated = np.mean([resample([found_or_not(np.random.default_rng(s))], 100, s)[:, 0, 0].std() for s in range(8)])
    assert estimated == pytest.approx(np.std(fresh), rel=0.25)


def found_or_not(rng: np.random.Generator, photos: int = 80) -> PhotoMatches:
    """One box a photo, found with probability 0.7, and as often a false alarm beside it."""
    where, boxes = np.arange(photos), np.tile([0.0, 0, 20, 20], (photos, 1))
    truth = TruthTable(where, where * 0, boxes, where < 0, boxes[:, 2] * boxes[:, 3])
    hit, alarm = (np.flatnonzero(rng.random(photos) < share) for share in (0.7, 0.3))
    photo = np.concatenate([where[hit], where[alarm]])
    order = np.argsort(photo, kind="stable")
    seen = np.concatenate([boxes[hit], boxes[alarm] + [100.0, 100, 0, 0]])
    scores = np.concatenate([rng.beta(4, 2, len(hit)), rng.beta(2, 4, len(alarm))])
    return PhotoMatches.of(truth, DetectionTable(photo[order], photo[order] * 0, seen[order], scores[order]), photos, 1)
