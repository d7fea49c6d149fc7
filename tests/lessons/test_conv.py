"""The lesson on convolution: moved pictures, equal results of slow and fast, weights, honest testing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from herder.lessons import conv, conv_timing
from herder.lessons.datasets import CourseData
from herder.lessons.lesson import LessonResult, LessonSettings

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def run() -> Any:
    """The lesson with smaller images to time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conv_timing, "QUICK_IMAGES", 1)
        patch.setattr(conv_timing, "SHAPE", (2, 12, 12))
        yield conv.run


@pytest.fixture(scope="module")
def result(
    run: Callable[..., LessonResult], few: CourseData, quick_with: Callable[..., LessonSettings]
) -> LessonResult:
    return run(quick_with(few))


@pytest.mark.parametrize(("pixels", "axis"), [(1, 2), (-1, 2), (2, 3), (-2, 3), (0, 2)])
def test_moved_pictures_are_those_of_scipy(digits: CourseData, pixels: int, axis: int) -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    shift = [0, 0, 0, 0]
    shift[axis] = pixels
    wanted = ndimage.shift(digits.X_test + digits.mean, shift, order=0, cval=0.0)
    np.testing.assert_allclose(conv.moved(digits, pixels, axis) + digits.mean, wanted, atol=1e-12)


def test_slow_and_fast_agree() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conv_timing, "SHAPE", (3, 16, 16))
        table = conv_timing.time_convolution(0, quick=True)
    assert table.timing
    assert [row[0] for row in table.rows] == [f"{what} {way}" for what in ("convolution", "pooling") for way in WAYS]
    assert all(row[4] < 1e-9 for row in table.rows)
    assert all(row[3] == pytest.approx(row[1] / row[2]) for row in table.rows)
    assert table.rows[0][3] > 1
    assert table.rows[1][3] > 1


WAYS = ("forward", "backward")


def test_learns(digits: CourseData) -> None:
    trained = conv.train_one(digits, conv._conv_net(digits, 5, 0), 480, 0)
    assert trained.losses[0] == pytest.approx(np.log(10), abs=0.1)
    assert trained.validation[-1] > 0.9
    truth = (trained.network.loss(digits.X_test).argmax(axis=1) == digits.y_test).mean()
    assert conv.move_accuracy(digits, trained)[0] == pytest.approx(truth)


def test_the_network_without_convolution_has_about_as_many_weights(result: LessonResult) -> None:
    *convolutional, dense = (int(row[1]) for row in result.tables[0].rows)
    assert dense == pytest.approx(max(convolutional), rel=0.02)
    # 16 filters of 3 x 3, then 16 maps of 4 x 4 to 100 units to 10 digits, and biases
    assert convolutional[0] == 16 * 9 + 16 + 16 * 16 * 100 + 100 + 1000 + 10


def test_the_best_filters_are_tested(result: LessonResult) -> None:
    learned, tested, _ = result.tables
    accuracy = {row[0]: row[3] for row in learned.rows}
    assert tested.rows[1][0] == conv.DENSE == learned.rows[-1][0]
    assert accuracy[tested.rows[0][0]] == max(value for name, value in accuracy.items() if name != conv.DENSE)


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
    assert len(tested) == 4
    assert tested != spoilt_tested


def test_draws(result: LessonResult) -> None:
    assert list(result.figures) == ["conv"]
    assert result.figures["conv"].startswith(b"\x89PNG")
