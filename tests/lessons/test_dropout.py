"""The lesson on dropout: what a run is given, what dropout keeps a network from learning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from herder.foundations.solver import Solver
from herder.lessons import dropout
from herder.lessons.datasets import CourseData
from herder.lessons.lesson import LessonResult, LessonSettings

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def run() -> Any:
    """The lesson with fewer epochs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dropout, "QUICK_EPOCHS", 3)
        yield dropout.run


@pytest.fixture(scope="module")
def result(
    run: Callable[..., LessonResult], few: CourseData, quick_with: Callable[..., LessonSettings]
) -> LessonResult:
    return run(quick_with(few))


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, dict[str, Any]]]:
    """Networks and pictures that solvers are given; the networks' first weights are copies."""
    seen = []

    class Recorder(Solver):
        def __init__(self, model: Any, data: Any, **settings: Any) -> None:
            seen.append(({name: values.copy() for name, values in model.params.items()}, model, data))
            super().__init__(model, data, **settings)

    monkeypatch.setattr(dropout, "Solver", Recorder)
    return seen


def test_runs_differ_by_dropout_alone(digits: CourseData, given: list[Any]) -> None:
    for kept in (1.0, 0.5):
        dropout.train_one(digits, kept, 0.3, 1, 0, 2)
    (weights, network, data), (same_weights, dropped_network, same_data) = given
    assert all(np.array_equal(values, same_weights[name]) for name, values in weights.items())
    assert all(np.array_equal(values, same_data[name]) for name, values in data.items())
    assert not network.use_dropout
    assert dropped_network.dropout_param["p"] == 0.5
    assert "seed" not in dropped_network.dropout_param  # which would draw the same mask in every step


def test_exactly_so_many_training_labels_are_wrong_and_no_other(digits: CourseData, given: list[Any]) -> None:
    before = digits.y_train.copy()
    for wrong in (0.3, 0.0):
        dropout.train_one(digits, 1.0, wrong, 1, 0, 0)
    truth = {picture.tobytes(): label for picture, label in zip(digits.X_train, digits.y_train, strict=True)}
    for (_, _, data), wrong in zip(given, (180, 0), strict=True):
        assert len(data["X_train"]) == 600
        right = np.array([truth[picture.tobytes()] for picture in data["X_train"]])
        assert (data["y_train"] != right).sum() == wrong
        assert set(data["y_train"]) == set(range(10))
        assert data["y_val"] is digits.y_val
    assert np.array_equal(digits.y_train, before)


def test_runs_of_a_setting_differ_and_can_be_repeated(digits: CourseData) -> None:
    first, again, other = (dropout.train_one(digits, 0.5, 0.3, 2, 0, number) for number in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_dropout_learns_fewer_wrong_labels_and_reads_better(digits: CourseData) -> None:
    plain, dropped = (dropout.train_one(digits, kept, 0.3, 40, 0, 0) for kept in (1.0, 0.5))
    assert plain[0][-1] > 0.9  # of the labels, of which 0.7 are right
    assert dropped[0][-1] < 0.8
    assert dropped[1][-1] > plain[1][-1] + 0.05
    assert plain[0][-1] - plain[1][-1] > dropped[0][-1] - dropped[1][-1]


def test_tables_hold_means_and_gaps(result: LessonResult) -> None:
    assert [table.rows[0][0] for table in result.tables] == [1.0, 1.0]
    for table in result.tables:
        assert [row[0] for row in table.rows] == list(dropout.KEPT)
        for _, training, validation, _, gap, best, _ in table.rows:
            assert gap == pytest.approx(training - validation)
            assert best >= validation


def test_test_pictures_choose_nothing_and_a_run_can_be_repeated(
    run: Callable[..., LessonResult],
    result: LessonResult,
    spoilt: CourseData,
    quick_with: Callable[..., LessonSettings],
    numbers_of: Callable[..., Any],
) -> None:
    tested, others = numbers_of(result)
    spoilt_tested, spoilt_others = numbers_of(run(quick_with(spoilt)))
    assert others == spoilt_others
    assert tested != spoilt_tested


def test_draws(result: LessonResult) -> None:
    assert list(result.figures) == ["dropout"]
    assert result.figures["dropout"].startswith(b"\x89PNG")
