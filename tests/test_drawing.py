"""Drawn boxes, grids and saved pictures, by the colour of single pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from herder.detections import Detections
from herder.drawing import FORMATS, PALETTE, TRUTH, draw_boxes, draw_detections, grid, save_picture
from herder.errors import ConfigError

RED = (255, 0, 0)


def black(height=60, width=90):
    return np.zeros((height, width, 3), np.uint8)


def test_a_boxs_lines_lie_on_its_outermost_pixels():
    drawn = draw_boxes(black(), [[10, 20, 40, 50]], color=RED, thickness=1)
    red = np.argwhere((drawn == RED).all(-1))
    assert red.min(0).tolist() == [20, 10]
    assert red.max(0).tolist() == [49, 39]
    assert not drawn[25:45, 15:35].any()


def test_the_photo_itself_is_not_changed():
    photo = black()
    draw_boxes(photo, [[0, 0, 90, 60]], ["all"], color=RED)
    assert not photo.any()


def test_nothing_to_draw_gives_the_same_picture():
    assert np.array_equal(draw_boxes(black() + 7, []), black() + 7)
    assert np.array_equal(draw_detections(black() + 7, Detections.empty()), black() + 7)


def test_each_box_has_its_own_colour():
    drawn = draw_boxes(black(), [[0, 0, 20, 20], [40, 30, 60, 50]], color=[RED, (0, 0, 255)], thickness=1)
    assert drawn[0, 10].tolist() == [255, 0, 0]
    assert drawn[30, 50].tolist() == [0, 0, 255]


def test_a_dashed_line_has_gaps_and_a_solid_one_has_none():
    for dashed in (False, True):
        row = draw_boxes(black(60, 200), [[0, 0, 200, 60]], color=RED, thickness=1, dashed=dashed)[0]
        painted = (row == RED).all(-1)
        assert painted.any()
        assert painted.all() != dashed


def test_a_label_stands_above_its_box_and_inside_where_there_is_no_room():
    above = draw_boxes(black(200, 200), [[50, 100, 150, 180]], ["alpaca"], color=RED, thickness=1)
    assert (above[85:99] == RED).all(-1).any()
    inside = draw_boxes(black(200, 200), [[50, 0, 150, 180]], ["alpaca"], color=RED, thickness=1)
    assert (inside[3:10, 60:100] == RED).all(-1).any()


def test_detections_come_over_the_truth():
    found = Detections([[20, 20, 70, 50]], [0.9], [0], ("alpaca",))
    drawn = draw_detections(black(), found, truth=[[5, 5, 30, 30]])
    colours = {tuple(pixel) for pixel in drawn.reshape(-1, 3).tolist()}
    assert TRUTH in colours
    assert PALETTE[0] in colours


@given(
    st.lists(
        st.tuples(*[st.floats(width=32)] * 4),
        max_size=4,
    ),
    st.text(max_size=8),
)
def test_any_box_and_any_text_can_be_drawn(boxes, text):
    drawn = draw_boxes(black(), np.asarray(boxes, np.float32).reshape(-1, 4), [text] * len(boxes))
    assert drawn.shape == (60, 90, 3)


@pytest.mark.parametrize("size", [(8, 8), (1, 300), (3000, 4000)])
def test_tiny_and_huge_pictures(size):
    drawn = draw_boxes(black(*size), [[0, 0, size[1], size[0]]], ["alpaca 0.99"])
    assert drawn.shape == (*size, 3)
    assert drawn.any()


@pytest.mark.parametrize("photo", [np.zeros((4, 4)), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)])
def test_a_wrong_picture_is_refused(photo):
    with pytest.raises(ValueError, match="wanted"):
        draw_boxes(photo, [])


def test_counts_that_differ_are_refused():
    with pytest.raises(ValueError, match="1 labels for 2 boxes"):
        draw_boxes(black(), [[0, 0, 1, 1]] * 2, ["a"])
    with pytest.raises(ValueError, match="2 colours for 1 boxes"):
        draw_boxes(black(), [[0, 0, 1, 1]], color=[RED, RED])
    with pytest.raises(ValueError, match="shape"):
        draw_boxes(black(), [[0, 0, 1]])
    with pytest.raises(ValueError, match="no pictures"):
        grid([])
    with pytest.raises(ValueError, match="captions"):
        grid([black()], captions=["a", "b"])


def test_a_grid_keeps_each_picture_in_its_cell():
    shades = [black(50, 100) + value for value in (10, 20, 30, 40, 50)]
    sheet = grid(shades, cell=64, columns=3, captions=list("abcde"))
    step = (sheet.shape[1] - 2) // 3
    for i, shade in enumerate((10, 20, 30)):
        assert sheet[2 + 32, 2 + i * step + 32].tolist() == [shade] * 3
    assert sheet[2 + 2, 2 + 32].tolist() == [255] * 3  # above a wide picture the sheet shows


@pytest.mark.parametrize("ending", FORMATS)
def test_a_saved_picture_can_be_opened(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    save_picture(path, black() + 100)
    with Image.open(path) as image:
        assert image.size == (90, 60)
        assert abs(np.asarray(image.convert("RGB")).astype(int) - 100).max() <= 3
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_an_unknown_ending_names_the_known(tmp_path):
    with pytest.raises(ConfigError, match="ending"):
        save_picture(tmp_path / "a.gif", black())
