"""The lesson on batch normalisation: where it trains and the plain network does not, and where it does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from herder.lessons import batchnorm
from herder.lessons.batchnorm import BATCH_NORM, LAYER_NORM, PLAIN
from herder.lessons.datasets import CourseData
from herder.lessons.lesson import LessonResult, LessonSettings

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")

SCALES = (0.001, 0.1, 1.0)


@pytest.fixture(scope="module")
def run() -> Any:
    """The lesson with fewer settings."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batchnorm, "SCALES", SCALES)
        patch.setattr(batchnorm, "SHOWN_SCALES", SCALES)
        patch.setattr(batchnorm, "QUICK_STEPS", 30)
        patch.setattr(batchnorm, "QUICK_BATCHES", (10, 50))
        yield batchnorm.run


@pytest.fixture(scope="module")
def result(
    run: Callable[..., LessonResult], few: CourseData, quick_with: Callable[..., LessonSettings]
) -> LessonResult:
    return run(quick_with(few))


def test_trains_from_small_weights_where_the_plain_network_does_not(digits: CourseData) -> None:
    plain, batch, layer = (
        batchnorm.train_one(digits, name, 0.0003, 50, 500, 0) for name in (PLAIN, BATCH_NORM, LAYER_NORM)
    )
    assert plain.loss == pytest.approx(np.log(10), abs=0.02)  # no better than a guess
    assert plain.validation < 0.3
    assert batch.loss < 0.5
    assert batch.validation > 0.9
    assert layer.loss < 0.5
    assert layer.validation > 0.9


def test_from_good_weights_all_train(digits: CourseData) -> None:
    assert all(batchnorm.train_one(digits, name, 0.1, 50, 200, 0).validation > 0.9 for name in (PLAIN, BATCH_NORM))


def test_batch_norm_needs_a_batch_and_layer_norm_does_not(digits: CourseData) -> None:
    """Of two pictures, batch norm leaves a unit nothing but which one is larger."""
    batch, layer = (batchnorm.train_one(digits, name, 0.1, 2, 500, 0) for name in (BATCH_NORM, LAYER_NORM))
    assert len(batch.losses) == len(layer.losses) == 500
    assert batch.loss > 1.5
    assert layer.loss < 0.6


def test_the_best_first_weights_are_tested(result: LessonResult) -> None:
    accuracies, *_, tested = result.tables
    assert [row[0] for row in tested.rows] == list(accuracies.columns[1:]) == [PLAIN, BATCH_NORM, LAYER_NORM]
    for i, (_, scale, validation, _) in enumerate(tested.rows, 1):
        column = {row[0]: row[i] for row in accuracies.rows}
        assert column[scale] == validation == max(column.values())


def test_the_training_that_both_searches_share_is_the_same(result: LessonResult) -> None:
    accuracies, losses, batch_accuracies, batch_losses, _ = result.tables
    for by_scale, by_batch in ((accuracies, batch_accuracies), (losses, batch_losses)):
        assert by_scale.rows[SCALES.index(batchnorm.GOOD_SCALE)][1:] == by_batch.rows[-1][1:]


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
    assert list(result.figures) == ["batchnorm"]
    assert result.figures["batchnorm"].startswith(b"\x89PNG")
