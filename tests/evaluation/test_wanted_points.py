from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import fbeta_score

from herder.errors import ConfigError
from herder.evaluation.operating_point import DEFAULT_THRESHOLD, Curve, NotReached, OperatingPoint
from herder.evaluation.wanted_points import wanted_points

ROWS = st.lists(st.tuples(st.sampled_from([0.1, 0.3, 0.5, 0.7, 0.9]), st.booleans()), max_size=25)


def curve_of(rows: list[tuple[float, bool]], missed: int) -> Curve:
    truths = sum(hit for _, hit in rows) + missed
    return Curve.of(np.array([s for s, _ in rows]), np.array([h for _, h in rows], bool), truths)


@given(ROWS, st.integers(1, 5), st.sampled_from([0.2, 0.5, 0.75, 0.95, 1.0]))
def test_the_best_of_all_thresholds_that_reach_what_is_wanted(
    rows: list[tuple[float, bool]], missed: int, wanted: float
) -> None:
    curve = curve_of(rows, missed)
    points = [curve.at(threshold) for threshold in sorted({score for score, _ in rows}, reverse=True)]
    for at, key, other in ((curve.at_precision, "precision", "recall"), (curve.at_recall, "recall", "precision")):
        point = at(wanted)
        enough = [p for p in points if getattr(p, key) >= wanted - 1e-9]
        if not enough:
            assert isinstance(point, NotReached)
            assert point.highest == pytest.approx(max((getattr(p, key) for p in points), default=0.0))
        else:
            best = max(getattr(p, other) for p in enough)
            assert point == next(p for p in enough if getattr(p, other) == best)


@given(ROWS, st.integers(1, 5), st.sampled_from([0.5, 1.0, 2.0]))
def test_f_beta_agrees_with_scikit_learn(rows: list[tuple[float, bool]], missed: int, beta: float) -> None:
    curve = curve_of(rows, missed)
    real = np.array([hit for _, hit in rows] + [True] * missed)
    scores = np.array([score for score, _ in rows] + [-1.0] * missed)  # never found
    values = [fbeta_score(real, scores >= threshold, beta=beta) for threshold in curve.scores]
    np.testing.assert_allclose(curve.f_beta(beta), values)
    if any(hit for _, hit in rows):
        points = wanted_points(curve, [curve], ("alpaca",), beta=beta)
        assert points.rows[0].f_beta == pytest.approx(max(values))


def test_recall_weighs_more_with_a_larger_beta() -> None:
    curve = Curve.of(np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, False, False, True]), truths=2)
    assert (curve.best(0.5).threshold, curve.best(2).threshold) == (0.9, 0.6)


@pytest.mark.parametrize("beta", [0.0, -1.0, math.nan, math.inf])
def test_beta_must_be_positive(beta: float) -> None:
    with pytest.raises(ConfigError, match="beta"):
        curve_of([(0.5, True)], 0).best(beta)


@pytest.mark.parametrize("wanted", [0.0, 1.1, -0.5, math.nan])
def test_what_is_wanted_must_be_a_share(wanted: float) -> None:
    curve = curve_of([(0.5, True)], 0)
    for at in (curve.at_precision, curve.at_recall):
        with pytest.raises(ConfigError, match="not above 0"):
            at(wanted)


def test_what_cannot_be_reached_says_why() -> None:
    empty, unlabelled = curve_of([], 3), curve_of([(0.5, False)], 0)
    assert str(empty.at_recall(0.5)) == "not reached: nothing was detected"
    assert str(unlabelled.at_precision(0.5)) == str(unlabelled.at_recall(0.5)) == "not computed: no box is labelled"
    alarms = curve_of([(0.7, False), (0.6, True)], 1)
    assert str(alarms.at_precision(0.9)) == "not reached: the highest precision is 0.500, at a score of 0.600"


def test_rows_and_json() -> None:
    one, two = curve_of([(0.9, True), (0.8, False)], 1), curve_of([], 0)
    points = wanted_points(one, [one, two], ("alpaca", "llama"), precision=0.9, recall=0.9)
    assert [row.name for row in points.rows] == ["all", "alpaca", "llama"]
    assert isinstance(points.rows[0].at_precision, OperatingPoint)
    data = json.loads(json.dumps(points.as_dict(), allow_nan=False))
    assert data["rows"][0]["at_precision"]["threshold"] == 0.9
    assert data["rows"][0]["at_recall"]["highest"] == 0.5
    assert data["rows"][2]["best"]["threshold"] == DEFAULT_THRESHOLD
    assert data["rows"][2]["best"]["recall"] is None
    assert data["rows"][2]["at_recall"]["not_reached"] == "not computed: no box is labelled"
    assert [row.name for row in wanted_points(one, [one], ("alpaca",)).rows] == ["all"]
