"""The lesson on nearest neighbours against scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from herder.foundations.nearest_neighbors import KNearestNeighbor
from herder.lessons import knn
from herder.lessons.datasets import CourseData, as_rows
from herder.lessons.lesson import LessonResult, LessonSettings

neighbors = pytest.importorskip("sklearn.neighbors")
selection = pytest.importorskip("sklearn.model_selection")
pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def result() -> LessonResult:
    return knn.run(LessonSettings(quick=True))


def test_cross_validation_and_choice_are_those_of_scikit_learn(result: LessonResult, digits: CourseData) -> None:
    X, y = as_rows(digits.X_train), digits.y_train
    folds = np.array_split(np.random.default_rng(0).permutation(len(X)), 5)
    splits = [(np.concatenate(folds[:i] + folds[i + 1 :]), fold) for i, fold in enumerate(folds)]
    cv, tested, _ = result.tables
    wanted = {}
    for k, mean, deviation in cv.rows:
        classifier = neighbors.KNeighborsClassifier(k, algorithm="brute")
        scores = selection.cross_val_score(classifier, X, y, cv=splits)
        wanted[k] = scores.mean()
        # Of training digits that are equally far away scikit-learn takes any: one picture in 1,197 may turn.
        assert mean == pytest.approx(scores.mean(), abs=1.01 / len(X))
        assert deviation == pytest.approx(scores.std(ddof=1), abs=0.002)
    best = max(wanted, key=lambda k: (wanted[k], -k))
    right = neighbors.KNeighborsClassifier(best).fit(X, y).score(as_rows(digits.X_test), digits.y_test)
    assert tested.rows == ((best, 360, pytest.approx(right)),)


def test_the_three_versions_agree(digits: CourseData) -> None:
    classifier = KNearestNeighbor()
    classifier.train(as_rows(digits.X_train), digits.y_train)
    table = knn.time_versions(classifier, as_rows(digits.X_test), quick=True)
    assert table.timing
    assert [row[0] for row in table.rows] == ["two loops", "one loop", "no loops"]
    assert all(row[3] < 1e-9 for row in table.rows)
    assert table.rows[0][2] == 1


def test_test_pictures_choose_nothing_and_a_run_can_be_repeated(
    few: CourseData, spoilt: CourseData, quick_with: Callable[..., LessonSettings], numbers_of: Callable[..., Any]
) -> None:
    tested, others = numbers_of(knn.run(quick_with(few)))
    spoilt_tested, spoilt_others = numbers_of(knn.run(quick_with(spoilt)))
    assert others == spoilt_others
    assert tested != spoilt_tested


def test_k_stays_below_the_number_of_training_pictures(
    few: CourseData, quick_with: Callable[..., LessonSettings]
) -> None:
    tiny = replace(few, X_train=few.X_train[:30], y_train=few.y_train[:30])
    cv, *_ = knn.run(quick_with(tiny)).tables
    assert [row[0] for row in cv.rows] == [k for k in knn.CHOICES if k <= 24]


def test_says_and_draws(result: LessonResult) -> None:
    assert list(result.figures) == ["knn"]
    assert result.figures["knn"].startswith(b"\x89PNG")
    assert f"k = {result.tables[1].rows[0][0]}" in result.sentences[0]
