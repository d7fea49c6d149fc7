"""The lesson on a network of two layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from herder.lessons import two_layer
from herder.lessons.datasets import CourseData, as_rows
from herder.lessons.lesson import LessonResult, LessonSettings

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def result(few: CourseData, quick_with: Callable[..., LessonSettings]) -> LessonResult:
    return two_layer.run(quick_with(few))


def test_counts_weights(result: LessonResult) -> None:
    """(D + 1) H + (H + 1) C for D = 64 pixels and C = 10 digits."""
    assert [row[1] for row in result.tables[0].rows] == [65 * hidden + 10 * (hidden + 1) for hidden in two_layer.HIDDEN]


def test_learns_and_needs_more_than_two_units(digits: CourseData) -> None:
    small, large = (two_layer.train_one(digits, hidden, 30, 0) for hidden in (2, 100))
    assert large.right[0] > 0.97
    assert large.right[1] > 0.94
    assert small.right[1] < 0.8
    assert large.losses[0] == pytest.approx(2.3026, abs=0.02)  # log(10) before it knows anything
    assert len(large.validation) == len(large.training) == 30


def test_reads_as_well_as_a_network_of_scikit_learn(digits: CourseData) -> None:
    networks = pytest.importorskip("sklearn.neural_network")
    ours = two_layer.train_one(digits, 20, 40, 0)
    theirs = networks.MLPClassifier((20,), solver="lbfgs", alpha=1, max_iter=2000, random_state=0)
    theirs.fit(as_rows(digits.X_train), digits.y_train)
    assert ours.right[1] > theirs.score(as_rows(digits.X_val), digits.y_val) - 0.03


def test_the_best_on_the_validation_pictures_is_tested(result: LessonResult) -> None:
    sizes, tested = result.tables
    accuracy = {row[0]: row[3] for row in sizes.rows}
    assert accuracy[tested.rows[0][0]] == max(accuracy.values())


def test_test_pictures_choose_nothing_and_a_run_can_be_repeated(
    result: LessonResult, spoilt: CourseData, quick_with: Callable[..., LessonSettings], numbers_of: Callable[..., Any]
) -> None:
    tested, others = numbers_of(result)
    spoilt_tested, spoilt_others = numbers_of(two_layer.run(quick_with(spoilt)))
    assert others == spoilt_others
    assert tested != spoilt_tested


def test_draws(result: LessonResult) -> None:
    assert list(result.figures) == ["two-layer"]
    assert result.figures["two-layer"].startswith(b"\x89PNG")
