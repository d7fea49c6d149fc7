"""Numbers with intervals: against the metrics themselves, and a bootstrap written out in the test."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from herder.evaluation.average_precision import evaluate_tables
from herder.evaluation.headline import TITLES, headline, headline_section, sample_measures
from herder.evaluation.not_computed import NotComputed
from herder.evaluation.tables import DetectionTable, TruthTable

PHOTOS = 24


def tables() -> tuple[TruthTable, DetectionTable]:
    """Two boxes a photo; one is found in every photo, the other in every second; a false alarm in every third."""
    photos = np.repeat(np.arange(PHOTOS), 2)
    boxes = np.tile([[0.0, 0, 10, 10], [50, 50, 10, 10]], (PHOTOS, 1))
    truth = TruthTable(photos, photos * 0, boxes, photos < 0, boxes[:, 2] * boxes[:, 3])
    rows = [(i, boxes[0], 0.9 - i / 1000) for i in range(PHOTOS)]
    rows += [(i, boxes[1], 0.6 - i / 1000) for i in range(0, PHOTOS, 2)]
    rows += [(i, np.array([90.0, 0, 5, 5]), 0.5 - i / 1000) for i in range(0, PHOTOS, 3)]
    rows.sort(key=lambda row: row[0])
    at, found, scores = (np.array(column) for column in zip(*rows, strict=True))
    return truth, DetectionTable(at, at * 0, found, scores)


def test_the_values_are_those_of_the_evaluation() -> None:
    truth, found = tables()
    metrics = evaluate_tables(truth, found, PHOTOS, ["alpaca"])
    sampled = sample_measures(truth, found, PHOTOS, 1, metrics.threshold, draws=200, seed=0)
    wanted = (metrics.map50, metrics.map50_95, metrics.precision, metrics.recall, metrics.f1)
    assert sampled.values == pytest.approx(wanted)
    assert sampled.draws.shape == (200, 5)
    assert sampled.left_out.shape == (PHOTOS, 5)
    # Without photo 0, at the threshold that takes everything: 35 - 2 hits of 46 boxes.
    everything = sample_measures(truth, found, PHOTOS, 1, 0.0, draws=100, seed=0)
    assert everything.left_out[0, 3] == pytest.approx((36 - 2) / 46)
    assert everything.left_out[0, 2] == pytest.approx((36 - 2) / (36 - 2 + 8 - 1))


def test_intervals_hold_their_numbers() -> None:
    truth, found = tables()
    measures = headline(sample_measures(truth, found, PHOTOS, 1, 0.3, draws=500, seed=1))
    assert [measure.name for measure in measures] == list(TITLES)
    for measure in measures:
        assert not isinstance(measure.value, NotComputed)
        assert not isinstance(measure.interval, NotComputed)
        assert measure.interval.low <= measure.value <= measure.interval.high
        assert json.dumps(measure.as_dict(), allow_nan=False)
    recall = measures[3]
    # 36 of 48 in pairs of which one half is 2 of 2 and the other 1 of 2: the standard error of a mean of 24 values.
    error = 0.25 / math.sqrt(PHOTOS)
    assert not isinstance(recall.interval, NotComputed)
    assert recall.interval.high - recall.interval.low == pytest.approx(2 * 1.96 * error, rel=0.2)


def test_nothing_labelled() -> None:
    none = np.zeros(0, np.int64)
    truth = TruthTable(none, none, np.zeros((0, 4)), none > 0, np.zeros(0))
    nothing = DetectionTable(none, none, np.zeros((0, 4)), np.zeros(0))
    for photos in (0, 3):
        measures = headline(sample_measures(truth, nothing, photos, 1, 0.5, draws=100, seed=0))
        assert all(isinstance(measure.value, NotComputed) for measure in measures)
        assert measures[0].as_dict()["value"] is None
        section = headline_section([("a", 0.5, measures), ("b", 0.5, measures)], photos, 0)
        assert "not computed: " in str(section.tables[0].rows[0][2])


def test_photos_of_one_group_are_drawn_together() -> None:
    """Every photo four times over, as four groups of copies: no more is known than from the photos once."""
    truth, found = tables()
    times = 4
    copies = TruthTable(
        np.concatenate([truth.photos + i * PHOTOS for i in range(times)]),
        *(np.concatenate([getattr(truth, name)] * times) for name in ("classes", "boxes", "ignore", "areas")),
    )
    again = DetectionTable(
        np.concatenate([found.photos + i * PHOTOS for i in range(times)]),
        *(np.concatenate([getattr(found, name)] * times) for name in ("classes", "boxes", "scores")),
    )
    groups = np.tile(np.arange(PHOTOS), times)
    once = sample_measures(truth, found, PHOTOS, 1, 0.3, draws=100, seed=2)
    grouped = sample_measures(copies, again, times * PHOTOS, 1, 0.3, draws=100, seed=2, groups=groups)
    assert grouped.draws[:, 2:] == pytest.approx(once.draws[:, 2:])
    assert grouped.left_out == pytest.approx(once.left_out)
    alone = sample_measures(copies, again, times * PHOTOS, 1, 0.3, draws=100, seed=2)
    assert alone.draws[:, 3].std() < 0.7 * grouped.draws[:, 3].std()
