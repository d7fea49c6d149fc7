"""Expected values come from plain Python loops, torch's own arithmetic, or are worked out by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from herder.boxes import (
    PAD_VALUE,
    BoxFormat,
    Letterbox,
    area,
    as_boxes,
    clip,
    convert,
    iou_matrix,
    nms,
)

coordinate = st.integers(-50, 400)
side = st.integers(0, 200)


@st.composite
def box_lists(draw, most=60):
    corners = draw(st.lists(st.tuples(coordinate, coordinate, side, side), max_size=most))
    return [[x, y, x + w, y + h] for x, y, w, h in corners]


def plain_iou(a, b):
    """Intersection over union of two boxes in plain Python."""
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / union if union else 0.0


def plain_nms(boxes, scores, classes, threshold, limit):
    """Greedy suppression as the textbook has it: quadratic, one box at a time."""
    kept = []
    for i in sorted(range(len(boxes)), key=lambda i: (-scores[i], i)):
        if all(classes[i] != classes[j] or plain_iou(boxes[i], boxes[j]) <= threshold for j in kept):
            kept.append(i)
        if len(kept) == limit:
            break
    return kept


@given(box_lists())
def test_conversion_to_any_format_and_back_is_exact(rows):
    for target in BoxFormat:
        there = convert(rows, BoxFormat.XYXY, target)
        back = convert(there, target, BoxFormat.XYXY)
        np.testing.assert_allclose(back, np.array(rows, float).reshape(-1, 4), atol=1e-9)


def test_formats_by_hand():
    assert convert([[10, 20, 30, 60]], BoxFormat.XYXY, BoxFormat.XYWH).tolist() == [[10, 20, 20, 40]]
    assert convert([[10, 20, 20, 40]], BoxFormat.XYWH, BoxFormat.CXCYWH).tolist() == [[20, 40, 20, 40]]


@pytest.mark.parametrize("wrong", [[1, 2, 3, 4], [[1, 2, 3]], np.zeros((2, 2, 4))])
def test_boxes_of_another_shape_are_refused(wrong):
    with pytest.raises(ValueError, match="wanted \\(N, 4\\)"):
        as_boxes(wrong)


def test_no_boxes_have_four_columns():
    assert as_boxes([]).shape == (0, 4)
    assert area(as_boxes([])).shape == (0,)
    assert iou_matrix(as_boxes([]), as_boxes([[0, 0, 1, 1]])).shape == (0, 1)


@given(box_lists(12), box_lists(12))
def test_iou_agrees_with_plain_python(a, b):
    expected = [[plain_iou(x, y) for y in b] for x in a]
    found = iou_matrix(as_boxes(a), as_boxes(b))
    np.testing.assert_allclose(found, np.array(expected).reshape(len(a), len(b)), atol=1e-6)
    assert ((found >= 0) & (found <= 1)).all()


def test_two_empty_boxes_overlap_by_nothing():
    assert iou_matrix(as_boxes([[5, 5, 5, 5]]), as_boxes([[5, 5, 5, 5]])).tolist() == [[0.0]]


@given(
    box_lists(200),
    st.integers(1, 3),
    st.sampled_from([0.0, 0.3, 0.5, 0.7, 1.0]),
    st.integers(1, 220),
    st.randoms(use_true_random=False),
)
@settings(max_examples=60, deadline=None)
def test_suppression_agrees_with_the_textbook(rows, kinds, threshold, limit, random):
    # Few different scores make ties; more than one block of candidates is crossed.
    scores = [random.randint(1, 20) / 20 for _ in rows]
    classes = [random.randrange(kinds) for _ in rows]
    found = nms(as_boxes(rows), np.array(scores, np.float32), np.array(classes, np.int64), threshold, limit)
    assert found.tolist() == plain_nms(rows, scores, classes, threshold, limit)


def test_suppression_of_nothing_and_of_one():
    none = np.zeros(0)
    assert nms(as_boxes([]), none.astype(np.float32), none.astype(np.int64), 0.5).tolist() == []
    assert nms(as_boxes([[0, 0, 1, 1]]), np.ones(1, np.float32), np.zeros(1, np.int64), 0.5).tolist() == [0]


def test_thousand_equal_boxes_leave_the_first():
    boxes = np.tile(as_boxes([[3, 3, 9, 9]]), (1000, 1))
    assert nms(boxes, np.full(1000, 0.5, np.float32), np.zeros(1000, np.int64), 0.5).tolist() == [0]


@given(box_lists(), st.integers(1, 300), st.integers(1, 300))
def test_clipped_boxes_lie_in_the_photo(rows, width, height):
    boxes = clip(as_boxes(rows), width, height)
    assert (boxes[:, [0, 2]] >= 0).all()
    assert (boxes[:, [0, 2]] <= width).all()
    assert (boxes[:, [1, 3]] <= height).all()


@given(st.integers(1, 5000), st.integers(1, 5000), st.sampled_from([32, 64, 320, 416, 640]), st.booleans())
@settings(max_examples=200)
def test_letterbox_keeps_the_photo_whole_and_the_canvas_small(width, height, size, cut):
    fit = Letterbox.fit(width, height, size, 32 if cut else None)
    w, h = fit.scaled_size
    assert max(w, h) == size
    assert w <= fit.canvas_width <= size
    assert h <= fit.canvas_height <= size
    if cut:
        assert fit.canvas_width % 32 == 0
        assert fit.canvas_height % 32 == 0
        assert fit.canvas_width - w < 32
        assert fit.canvas_height - h < 32
    else:
        assert fit.canvas_width == fit.canvas_height == size
    assert abs(w - width * fit.scale) <= max(0.5, 1 - width * fit.scale) + 1e-9  # to the nearest pixel, at least one


@given(st.integers(1, 3000), st.integers(1, 3000), st.data())
def test_letterbox_there_and_back(width, height, data):
    fit = Letterbox.fit(width, height, 320, 32)
    x = sorted(data.draw(st.tuples(st.floats(0, width), st.floats(0, width))))
    y = sorted(data.draw(st.tuples(st.floats(0, height), st.floats(0, height))))
    boxes = as_boxes([[x[0], y[0], x[1], y[1]], [0, 0, width, height]])
    there = fit.forward(boxes)
    np.testing.assert_allclose(there[1], [0, 0, *fit.scaled_size], rtol=1e-6)  # the whole photo is the whole picture
    np.testing.assert_allclose(fit.inverse(there), boxes, atol=1e-5 * max(width, height))


def test_letterbox_draws_the_photo_at_the_top_left_on_grey():
    photo = np.zeros((30, 60, 3), np.uint8)
    photo[:, :30], photo[:, 30:] = (255, 0, 0), (0, 0, 255)
    canvas = Letterbox.fit(60, 30, 96, 32).apply(photo)  # scaled to 96 x 48, laid on 96 x 64
    assert canvas.shape == (64, 96, 3)
    assert (canvas[:48, :46] == (255, 0, 0)).all()
    assert (canvas[:48, 50:] == (0, 0, 255)).all()
    assert (canvas[48:] == PAD_VALUE).all()


def test_letterbox_of_the_same_size_changes_nothing():
    photo = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    assert np.array_equal(Letterbox.fit(96, 64, 96, 32).apply(photo), photo)


def test_letterbox_takes_views_turned_round():
    photo = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    turned = photo[::-1, :, ::-1]
    fit = Letterbox.fit(70, 50, 64, 32)
    assert np.array_equal(fit.apply(turned), fit.apply(np.ascontiguousarray(turned)))


@pytest.mark.parametrize(("width", "height", "size"), [(0, 5, 32), (5, 0, 32), (5, 5, 0)])
def test_letterbox_of_nothing_is_refused(width, height, size):
    with pytest.raises(ValueError, match="must be positive"):
        Letterbox.fit(width, height, size)
