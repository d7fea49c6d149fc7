"""The lesson on linear classifiers: first losses, the search, honest testing, and scikit-learn beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from herder.foundations.linear_classifiers import LinearSVM, Softmax
from herder.lessons import softmax
from herder.lessons.datasets import CourseData, as_rows, with_bias
from herder.lessons.lesson import LessonResult, LessonSettings

linear_model = pytest.importorskip("sklearn.linear_model")
pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def result(few: CourseData, quick_with: Callable[..., LessonSettings]) -> LessonResult:
    return softmax.run(quick_with(few))


def test_first_losses_are_those_of_a_guess(digits: CourseData) -> None:
    assert softmax.train_one(Softmax, digits, 0.1, 0.0, 1, 0).losses[0] == pytest.approx(np.log(10), abs=0.01)
    assert softmax.train_one(LinearSVM, digits, 0.1, 0.0, 1, 0).losses[0] == pytest.approx(9, abs=0.01)


def test_softmax_reads_like_logistic_regression(digits: CourseData) -> None:
    trained = softmax.train_one(Softmax, digits, 1.0, 0.001, 600, 0)
    # Both minimise the mean loss + 0.001 |W|^2: scikit-learn's C weighs the summed loss against |W|^2 / 2.
    C = 1 / (2 * 0.001 * len(digits.X_train))
    theirs = linear_model.LogisticRegression(C=C, max_iter=500).fit(as_rows(digits.X_train), digits.y_train)
    X_test = as_rows(digits.X_test)
    agree = trained.classifier.predict(with_bias(X_test)) == theirs.predict(X_test)
    assert agree.mean() > 0.97
    assert trained.validation == pytest.approx(theirs.score(as_rows(digits.X_val), digits.y_val), abs=0.02)


def test_the_best_of_each_grid_is_chosen(result: LessonResult) -> None:
    chosen, *grids = result.tables
    assert [row[0] for row in chosen.rows] == ["softmax", "SVM"]
    for row, grid in zip(chosen.rows, grids, strict=True):
        assert grid.title.startswith(f"{row[0]}:")
        values = {
            (cells[0], strength): value
            for cells in grid.rows
            for strength, value in zip(softmax.STRENGTHS, cells[1:], strict=True)
        }
        assert len(values) == len(softmax.RATES) * len(softmax.STRENGTHS)
        assert row[4] == max(values.values()) == values[row[1], row[2]]


def test_test_pictures_choose_nothing_and_a_run_can_be_repeated(
    result: LessonResult, spoilt: CourseData, quick_with: Callable[..., LessonSettings], numbers_of: Callable[..., Any]
) -> None:
    tested, others = numbers_of(result)
    spoilt_tested, spoilt_others = numbers_of(softmax.run(quick_with(spoilt)))
    assert others == spoilt_others
    assert all(accuracy > 0.8 for cells in tested.values() for accuracy in cells)
    assert all(accuracy < 0.1 for cells in spoilt_tested.values() for accuracy in cells)


def test_another_seed_gives_other_numbers(digits: CourseData) -> None:
    losses = [softmax.train_one(Softmax, digits, 0.1, 0.0, 5, seed).losses.tolist() for seed in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]


def test_draws(result: LessonResult) -> None:
    assert list(result.figures) == ["softmax"]
    assert result.figures["softmax"].startswith(b"\x89PNG")
