from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import mean_absolute_error, root_mean_squared_error

from herder.evaluation.counting import CountingCurve, CountingError, count_animals
from herder.evaluation.not_computed import NotComputed
from herder.evaluation.tables import DetectionTable, TruthTable

SCORES = [0.1, 0.3, 0.5, 0.9]


def truth(photos, classes, ignore) -> TruthTable:
    n = len(photos)
    return TruthTable(
        np.array(photos, np.int64), np.array(classes, np.int64), np.ones((n, 4)), np.array(ignore, bool), np.ones(n)
    )


def found(photos, classes, scores) -> DetectionTable:
    return DetectionTable(
        np.array(photos, np.int64), np.array(classes, np.int64), np.ones((len(photos), 4)), np.array(scores, float)
    )


@given(
    st.lists(st.tuples(st.integers(0, 5), st.sampled_from(SCORES)), max_size=40),
    st.lists(st.integers(0, 6), min_size=6, max_size=6),
)
def test_every_threshold_agrees_with_scikit_learn(rows: list[tuple[int, float]], labelled: list[int]) -> None:
    photos = np.array([p for p, _ in rows], np.int64)
    scores = np.array([s for _, s in rows], float)
    g = np.array(labelled, np.int64)
    curve = CountingCurve.of(photos, scores, g, np.ones(6, bool))
    every = []
    for threshold in (0.0, *SCORES, 0.95):
        n = np.bincount(photos[scores >= threshold], minlength=6)
        error = curve.at(threshold)
        assert isinstance(error, CountingError)
        assert error.mae == pytest.approx(mean_absolute_error(g, n))
        assert error.rmse == pytest.approx(root_mean_squared_error(g, n))
        assert error.bias == pytest.approx(float((n - g).mean()))
        assert error.exact == pytest.approx(float((n == g).mean()))
        assert (error.photos, error.labelled, error.counted) == (6, g.sum(), n.sum())
        every.append(error.mae)
    best = curve.best()
    if isinstance(best, NotComputed):
        assert every[-1] == min(every)  # nothing is counted at 0.95
    else:
        assert best.mae == pytest.approx(min(every))
        assert curve.at(best.threshold) == best
        higher = [t for t in SCORES if t > best.threshold]
        assert all(curve.at(t).mae > best.mae for t in higher)


def test_photos_with_herd_boxes_are_left_out_class_by_class() -> None:
    # Photo 0: two llamas and a herd of alpacas; photo 1: an alpaca. Found: a llama in 0, two alpacas in 1, one in 0.
    labels = truth([0, 0, 0, 1], [1, 1, 0, 0], [False, False, True, False])
    seen = found([0, 0, 1, 1], [1, 0, 0, 0], [0.9, 0.9, 0.8, 0.6])
    counting = count_animals(labels, seen, 2, ("alpaca", "llama"), 0.5)
    whole = counting.whole.at(0.5)
    assert isinstance(whole, CountingError)
    assert (whole.photos, whole.mae, whole.bias, counting.whole.unknown) == (1, 1.0, 1.0, 1)
    alpaca, llama = (curve for _, curve in counting.per_class)
    assert (alpaca.photos, alpaca.unknown, llama.photos, llama.unknown) == (1, 1, 2, 0)
    error = llama.at(0.5)
    assert isinstance(error, CountingError)
    assert (error.mae, error.bias, error.exact) == (0.5, -0.5, 0.5)
    assert (counting.labelled.tolist(), counting.counted.tolist()) == ([1], [2])
    assert [name for name, _ in counting.rows()] == ["all", "alpaca", "llama"]


def test_one_class_has_one_row() -> None:
    counting = count_animals(truth([0], [0], [False]), found([0], [0], [0.9]), 1, ("alpaca",), 0.5)
    assert [name for name, _ in counting.rows()] == ["all"]
    row = counting.as_dict()["rows"][0]
    assert row["at_threshold"]["mae"] == 0
    assert row["at_best_mae"]["threshold"] == 0.9


@pytest.mark.parametrize(
    ("labels", "photos", "reason"),
    [
        (truth([0], [0], [True]), 1, "a herd box hides the number of animals in every photo"),
        (truth([], [], []), 0, "there are no photos"),
    ],
)
def test_without_a_known_count_there_is_a_reason(labels: TruthTable, photos: int, reason: str) -> None:
    counting = count_animals(labels, found([], [], []), photos, ("alpaca",), 0.5)
    assert counting.whole.at(0.5) == counting.whole.best() == NotComputed(reason)
    assert counting.as_dict()["rows"][0]["at_threshold"] == {"not_computed": reason}


def test_false_alarms_alone_have_no_best_threshold() -> None:
    counting = count_animals(truth([], [], []), found([0, 1], [0, 0], [0.9, 0.4]), 2, ("alpaca",), 0.3)
    assert str(counting.whole.best()) == "not computed: no threshold counts better than not counting at all"
    error = counting.whole.at(0.3)
    assert isinstance(error, CountingError)
    assert (error.mae, error.exact) == (1.0, 0.0)


def test_more_than_a_hundred_animals_are_counted() -> None:
    many = np.zeros(150, np.int64)
    labels = truth(many, many, np.zeros(150, bool))
    error = count_animals(labels, found(many, many, np.linspace(0.5, 1, 150)), 1, ("alpaca",), 0.5).whole.at(0.5)
    assert isinstance(error, CountingError)
    assert (error.counted, error.mae) == (150, 0.0)
