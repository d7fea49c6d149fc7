"""The tables of a comparison against scipy, and what they come to in words."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from herder.evaluation.comparison.measured_sides import MeasuredSides
from herder.evaluation.comparison.photo_table import photo_table, probability_better
from herder.evaluation.comparison.result import PhotoRow, PhotoTable, SeedTable
from herder.evaluation.comparison.seed_table import seed_table
from herder.evaluation.comparison.verdict import conclude
from herder.evaluation.not_computed import NotComputed
from herder.evaluation.significance import Gate
from herder.evaluation.tables import DetectionTable, TruthTable

NONE = NotComputed("nothing was given")


def columns(*values: float) -> np.ndarray:
    return np.array([values, values, values]).T


def test_seeds_against_scipy() -> None:
    a, b = (0.50, 0.52, 0.49, 0.51), (0.55, 0.58, 0.53, 0.565)
    table = seed_table(columns(*a), columns(*b), "", 0.95)
    assert isinstance(table, SeedTable)
    row = table.rows[0]
    test = stats.ttest_ind(b, a, equal_var=False)
    assert row.p_value == pytest.approx(test.pvalue)
    assert row.bounds == pytest.approx((test.confidence_interval().low, test.confidence_interval().high))
    assert row.adjusted == pytest.approx(3 * test.pvalue)
    facts = dict(row.facts_a)
    assert facts["mean"] == pytest.approx(0.505)
    assert facts["Shapiro-Wilk p"] == pytest.approx(stats.shapiro(a).pvalue)
    paired = seed_table(columns(*a), columns(*b), "seed", 0.95)
    assert isinstance(paired, SeedTable)
    assert paired.rows[0].p_value == pytest.approx(stats.ttest_rel(b, a).pvalue)


def test_seeds_that_cannot_be_compared() -> None:
    one, nan = columns(0.5), columns(np.nan)
    assert isinstance(seed_table(one, one, "", 0.95), NotComputed)
    assert seed_table(np.repeat(nan, 2, 0), np.repeat(one, 2, 0), "", 0.95) == NotComputed("no labelled box counts")
    several = seed_table(one, columns(0.6, 0.7), "", 0.95)
    assert isinstance(several, SeedTable)
    assert isinstance(several.rows[0].p_value, NotComputed)
    flat = seed_table(columns(0.5, 0.5), columns(0.5, 0.5), "seed", 0.95, validated=0.25)
    assert isinstance(flat, SeedTable)
    assert isinstance(flat.rows[0].p_value, NotComputed)


def sides(photos: int, right: int) -> MeasuredSides:
    """One box a photo; A finds it in the first ``right`` photos, B in all, nobody raises a false alarm."""
    at = np.arange(photos)
    truth = TruthTable(at, at * 0, np.tile([0.0, 0, 20, 20], (photos, 1)), at < 0, np.full(photos, 400.0))
    found = DetectionTable(at, at * 0, truth.boxes, np.linspace(0.9, 0.5, photos))
    return MeasuredSides.of(truth, [found.pick(at < right)], [found], 1, at)


def test_photos_where_the_answer_is_known() -> None:
    table = photo_table(sides(40, 20), (), 400, 0, 0.95)
    f1 = table.rows[2]
    assert (f1.a, f1.b) == (pytest.approx(2 / 3), 1.0)
    # A's recall in a draw is a share of a binomial; B's F1 is 1 in every draw.
    low, high = (1 - 2 * share / (1 + share) for share in stats.binom(40, 0.5).ppf([0.975, 0.025]) / 40)
    assert f1.bounds == pytest.approx((low, high), abs=0.04)
    assert f1.better == 1.0
    assert f1.p_value == pytest.approx(1 / 401)
    assert table.rows[0].adjusted == pytest.approx(3 / 401)
    assert sum(f1.counts) == 400
    assert photo_table(sides(40, 20), (), 400, 0, 0.95, workers=2) == table


def test_too_few_photos_and_equal_sides() -> None:
    few = photo_table(sides(3, 1), (), 100, 0, 0.95)
    assert isinstance(few.rows[0].p_value, NotComputed)
    same = photo_table(sides(10, 10), (), 100, 0, 0.95).rows[0]
    assert (same.difference, same.bounds, same.better, same.p_value) == (0.0, (0.0, 0.0), 0.5, 1.0)
    assert isinstance(probability_better(np.array([np.nan])), NotComputed)


def photo_words(difference: float, bounds: tuple[float, float], p: float) -> str:
    row = PhotoRow("F1", 0.5, 0.5 + difference, difference, bounds, "BCa", 0.9, p, p, ())
    return conclude(PhotoTable(30, 30, 100, (row,)), NONE, "F1", 0.95, None)[0]


def test_words() -> None:
    text = photo_words(0.1, (0.05, 0.15), 0.003)
    assert "B has a higher F1 than A on these 30 photos, by 0.100 (95 % interval 0.050 to 0.150)" in text
    assert "Chance hardly explains the difference: p = 0.003" in text
    text = photo_words(-0.1, (-0.25, 0.05), 0.2)
    assert "B has a lower F1 than A on these 30 photos, by 0.100 (95 % interval -0.050 to 0.250)" in text
    assert "Chance alone may explain the difference" in text
    assert "no proof" in text
    assert "have the same F1" in photo_words(0.0, (0.0, 0.0), 1.0)
    assert conclude(NONE, NONE, "F1", 0.95, None) == ("Nothing could be compared.", None)


def test_the_gate_goes_by_photos_first() -> None:
    row = PhotoRow("F1", 0.5, 0.52, 0.02, (0.01, 0.03), "BCa", 0.99, 0.01, 0.01, ())
    photos = PhotoTable(30, 30, 100, (row,))
    seeds = seed_table(columns(0.5, 0.9), columns(0.1, 0.6), "", 0.95)
    for gate, passed in (
        (Gate("better"), True),
        (Gate("better", 0.015), False),
        (Gate("not-worse", 0.0), True),
    ):
        verdict = conclude(photos, seeds, "F1", 0.95, gate)[1]
        assert verdict is not None
        assert verdict.passed is passed
        assert "over photos" in verdict.words
    by_seeds = conclude(NONE, seeds, "F1", 0.95, Gate("better"))[1]
    assert by_seeds is not None
    assert not by_seeds.passed
    assert "over seeds" in by_seeds.words
    nothing = conclude(NONE, NONE, "F1", 0.95, Gate("not-worse"))[1]
    assert nothing is not None
    assert not nothing.passed
