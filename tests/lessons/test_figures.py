"""The parts that figures are made of."""

from __future__ import annotations

import io
import sys
from typing import Any

import numpy as np
import pytest
from PIL import Image

from herder.errors import MissingExtraError
from herder.lessons.figures import draw_figure, frame, heat, logarithmic, show, smooth, tiles

Figure = pytest.importorskip("matplotlib.figure").Figure


@pytest.fixture
def axes() -> Any:
    return Figure().subplots()


def test_a_figure_is_a_png_of_its_size() -> None:
    data = draw_figure(lambda figure: frame(figure.subplots(), "x", "y", "Title"), (4, 3), "Above")
    picture = Image.open(io.BytesIO(data))
    assert picture.format == "PNG"
    assert picture.size == (600, 450)


def test_the_same_drawing_has_the_same_bytes() -> None:
    def draw(figure: Any) -> None:
        figure.subplots().plot([1, 3, 2])

    assert draw_figure(draw, (2, 2)) == draw_figure(draw, (2, 2))


def test_style_ends_with_the_figure() -> None:
    matplotlib = pytest.importorskip("matplotlib")
    before = matplotlib.rcParams["font.size"]
    draw_figure(lambda figure: figure.subplots(), (1, 1))
    assert matplotlib.rcParams["font.size"] == before


def test_dollars_are_no_formula() -> None:
    data = draw_figure(lambda figure: figure.subplots().set_title("$no_formula"), (3, 2))
    assert data.startswith(b"\x89PNG")


def test_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match="figures of a lesson"):
        draw_figure(lambda figure: None, (1, 1))


@pytest.mark.parametrize(
    ("values", "some"),
    [([1.0, 30.0], {"1", "2", "5", "10", "20"}), ([0.001, 10.0], {"0.001", "0.01", "0.1", "1", "10"})],
)
def test_logarithmic_axes_have_plain_numbers(axes: Any, values: list[float], some: set[str]) -> None:
    axes.plot(values, values)
    logarithmic(axes.yaxis, np.array(values))
    axes.figure.draw_without_rendering()
    texts = {label.get_text() for label in axes.get_yticklabels()}
    assert axes.get_yscale() == "log"
    assert some <= texts
    assert not any("$" in text for text in texts)


@pytest.mark.parametrize("values", [[], [0.0, -1.0], [np.nan, np.inf]])
def test_logarithmic_axes_of_nothing(axes: Any, values: list[float]) -> None:
    logarithmic(axes.xaxis, np.array(values))
    assert axes.get_xscale() == "log"


def test_a_table_in_colours_writes_each_number(axes: Any) -> None:
    heat(axes, np.array([[0.123, 0.5], [np.nan, 1.0]]), ["a", "b"], ["c", "d"], "Title")
    assert [text.get_text() for text in axes.texts] == ["0.12", "0.50", "nan", "1.00"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b"]


def test_a_table_of_equal_or_no_numbers(axes: Any) -> None:
    heat(axes, np.zeros((1, 2)), ["a", "b"], ["c"], "")
    heat(axes, np.full((1, 2), np.nan), ["a", "b"], ["c"], "")


def test_signed_numbers_are_white_at_zero(axes: Any) -> None:
    show(axes, np.array([[-2.0, 1.0]]))
    assert axes.images[0].get_clim() == (-2, 2)
    show(axes, np.zeros((2, 2)))
    assert axes.images[1].get_clim() == (-1, 1)


def test_tiles_stand_row_by_row() -> None:
    pictures = np.arange(3)[:, None, None, None] / 4 * np.ones((3, 1, 2, 2))
    sheet = tiles(pictures, columns=2)  # two rows of 2 x 2 pictures with a line between
    assert sheet.shape == (5, 5, 3)
    np.testing.assert_array_equal(sheet[:2, :2], 0)
    np.testing.assert_array_equal(sheet[:2, 3:], 0.25)
    np.testing.assert_array_equal(sheet[3:, :2], 0.5)
    np.testing.assert_array_equal(sheet[2], 1)
    np.testing.assert_array_equal(sheet[3:, 3:], 1)


def test_fewer_pictures_than_columns() -> None:
    assert tiles(np.zeros((2, 3, 4, 5)), columns=8).shape == (4, 11, 3)


def test_colours_of_signed_pictures() -> None:
    picture = np.array([-4.0, 0.0, 2.0])[None, None, None]  # (1, 1, 1, 3)
    sheet = tiles(picture, columns=1, signed=True)
    below, zero, above = sheet[2, 2], sheet[2, 6], sheet[2, 10]
    np.testing.assert_allclose(zero, 1)  # white
    assert below[2] > below[0]  # blue
    assert above[0] > above[2]  # red
    assert np.abs(1 - above).max() < np.abs(1 - below).max()  # half as far from zero: paler
    colour = tiles(np.repeat(picture, 3, axis=1), columns=1, signed=True)
    np.testing.assert_allclose(colour[2, [2, 6, 10], 0], [0, 0.5, 0.75])


def test_signed_pictures_of_zeros_are_white() -> None:
    sheet = tiles(np.zeros((1, 1, 2, 2)), columns=1, signed=True)
    np.testing.assert_allclose(sheet[1:-1, 1:-1], 1)


@pytest.mark.parametrize("window", [1, 3, 20])
def test_smoothing_against_plain_means(window: int) -> None:
    values = np.random.default_rng(0).normal(size=12)
    wanted = [values[max(0, i + 1 - window) : i + 1].mean() for i in range(12)]
    np.testing.assert_allclose(smooth(values, window), wanted)


def test_smoothing_nothing() -> None:
    assert smooth([], 5).shape == (0,)
