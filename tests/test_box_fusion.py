"""Weighted boxes fusion: sums done by hand from the paper's equations, and what holds for any boxes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from herder.box_fusion import fuse_boxes, fuse_detections
from herder.boxes import FloatArray, IntArray, iou_matrix
from herder.detections import Detections

Fused = tuple[FloatArray, FloatArray, IntArray]


def fuse(boxes: list[list[float]], scores: list[float], views: list[int], count: int, **options: object) -> Fused:
    classes = options.pop("classes", [0] * len(scores))
    return fuse_boxes(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores, np.float32),
        np.array(classes, np.int64),
        np.array(views, np.int64),
        count,
        **options,  # type: ignore[arg-type]
    )


def test_three_boxes_of_three_views_by_hand() -> None:
    """Scores 0.9, 0.6, 0.3 sum to 1.8: left = (0.9 * 0 + 0.6 * 3 + 0.3 * 6) / 1.8 = 2, right = left + 100."""
    boxes, scores, classes = fuse([[0, 0, 100, 50], [3, 0, 103, 50], [6, 0, 106, 50]], [0.9, 0.6, 0.3], [0, 1, 2], 3)
    np.testing.assert_allclose(boxes, [[2, 0, 102, 50]], rtol=1e-6)
    np.testing.assert_allclose(scores, [0.6], rtol=1e-6)
    assert classes.tolist() == [0]


def test_what_one_view_of_two_saw_counts_half() -> None:
    boxes, scores, _ = fuse([[0, 0, 10, 10], [50, 50, 60, 60], [50, 50, 60, 60]], [0.9, 0.4, 0.6], [0, 0, 1], 2)
    np.testing.assert_allclose(scores, [0.5, 0.45], rtol=1e-6)  # (0.4 + 0.6) / 2 and 0.9 / 2: the order turns round
    assert boxes.tolist() == [[50, 50, 60, 60], [0, 0, 10, 10]]


def test_the_fused_box_moves_before_the_next_one_is_compared() -> None:
    """[0, 10] and [3, 13] (IoU 7 / 13 = 0.538 > 0.5) with equal scores fuse to [1.5, 11.5]; [4, 14] overlaps [0, 10] by
    6 / 14 = 0.43 but the fused one by 7.5 / 12.5 = 0.6: it joins, though it came last."""
    boxes, scores, _ = fuse(
        [[0, 0, 10, 1], [3, 0, 13, 1], [4, 0, 14, 1]], [0.5, 0.5, 0.4], [0, 1, 2], 3, iou_threshold=0.5
    )
    assert len(boxes) == 1
    np.testing.assert_allclose(boxes[0, 0], (0.5 * 0 + 0.5 * 3 + 0.4 * 4) / 1.4, rtol=1e-6)
    np.testing.assert_allclose(scores, [1.4 / 3], rtol=1e-6)


def test_two_boxes_of_one_view_stay_two_animals_unless_the_papers_rule_is_wanted() -> None:
    near, sure = [[0, 0, 10, 10], [0, 0, 10, 9]], [0.8, 0.6]
    boxes, scores, _ = fuse(near, sure, [0, 0], 2)
    assert boxes.tolist() == near
    np.testing.assert_allclose(scores, [0.4, 0.3], rtol=1e-6)
    boxes, scores, _ = fuse(near, sure, [0, 0], 2, once_a_view=False)
    np.testing.assert_allclose(boxes, [[0, 0, 10, (0.8 * 10 + 0.6 * 9) / 1.4]], rtol=1e-6)
    np.testing.assert_allclose(scores, [0.7], rtol=1e-6)  # min(T, V) / V = 2 / 2


def test_more_boxes_than_views_add_nothing_to_the_score() -> None:
    _, scores, _ = fuse([[0, 0, 9, 9]] * 3, [0.9, 0.6, 0.3], [0, 0, 1], 2, once_a_view=False)
    np.testing.assert_allclose(scores, [0.6], rtol=1e-6)


def test_a_box_joins_the_cluster_that_it_overlaps_most() -> None:
    boxes, _, _ = fuse(
        [[0, 0, 10, 10], [0, 3, 10, 13], [0, 2, 10, 12]], [0.9, 0.8, 0.7], [0, 0, 1], 2, iou_threshold=0.4
    )
    assert boxes[1].tolist() == [0, 0, 10, 10] or boxes[0].tolist() == [0, 0, 10, 10]
    assert len(boxes) == 2


def test_classes_do_not_mix() -> None:
    _, scores, classes = fuse([[0, 0, 9, 9]] * 2, [0.9, 0.8], [0, 1], 2, classes=[1, 0])
    assert classes.tolist() == [1, 0]
    np.testing.assert_allclose(scores, [0.45, 0.4], rtol=1e-6)


def test_nothing_found_and_scores_of_zero() -> None:
    boxes, scores, classes = fuse([], [], [], 2)
    assert boxes.shape == (0, 4)
    assert len(scores) == len(classes) == 0
    boxes, scores, _ = fuse([[0, 0, 9, 9], [0, 0, 9, 8]], [0, 0], [0, 1], 2)
    assert boxes.tolist() == [[0, 0, 9, 8]] or boxes.tolist() == [[0, 0, 9, 9]]
    assert scores.tolist() == [0]


def test_what_does_not_fit_is_an_error() -> None:
    with pytest.raises(ValueError, match="1 boxes, 2 scores"):
        fuse([[0, 0, 1, 1]], [0.5, 0.6], [0], 1)
    with pytest.raises(ValueError, match="views 2 to 2 are out of range for 2"):
        fuse([[0, 0, 1, 1]], [0.5], [2], 2)
    with pytest.raises(ValueError, match="no view"):
        fuse_detections([])


def found(seed: int, count: int) -> Detections:
    """Boxes of one view after its own suppression would be any boxes: here random ones, best first."""
    rng = np.random.default_rng(seed)
    corner, side = rng.integers(0, 40, (count, 2)), rng.integers(1, 40, (count, 2))
    scores = np.sort(rng.random(count))[::-1]
    return Detections(np.hstack([corner, corner + side]), scores, rng.integers(0, 2, count), ("a", "b"))


@given(st.integers(0, 10_000), st.integers(0, 12))
def test_one_view_is_left_as_it_is(seed: int, count: int) -> None:
    one = found(seed, count)
    boxes, scores, classes = fuse_boxes(one.boxes, one.scores, one.classes, np.zeros(count, np.int64), 1)
    np.testing.assert_allclose(boxes, one.boxes, rtol=1e-6)
    np.testing.assert_array_equal(scores, one.scores)
    np.testing.assert_array_equal(classes, one.classes)
    assert fuse_detections([one]) is one


@given(st.integers(0, 10_000), st.permutations([0, 1, 2]))
def test_the_order_of_views_does_not_matter(seed: int, order: list[int]) -> None:
    views = [found(3 * seed + i, 5) for i in range(3)]
    a, b = fuse_detections(views), fuse_detections([views[i] for i in order])
    np.testing.assert_allclose(a.boxes, b.boxes, rtol=1e-6)
    np.testing.assert_array_equal(a.scores, b.scores)
    np.testing.assert_array_equal(a.classes, b.classes)


@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(0, 8))
def test_scores_and_boxes_stay_within_what_was_found(seed: int, count: int, each: int) -> None:
    views = [found(7 * seed + i, each) for i in range(count)]
    fused = fuse_detections(views)
    every: NDArray[np.float32] = np.concatenate([view.boxes for view in views])
    assert len(fused) <= len(every)
    assert ((fused.scores >= 0) & (fused.scores <= 1)).all()
    assert (np.diff(fused.scores) <= 0).all()
    if len(every):
        assert (fused.boxes >= every.min(axis=0) - 1e-4).all()
        assert (fused.boxes <= every.max(axis=0) + 1e-4).all()


@given(st.integers(0, 10_000))
def test_the_same_view_twice_gives_that_view(seed: int) -> None:
    """Boxes apart from each other: each meets its own copy alone."""
    one = found(seed, 6)
    apart = [i for i in range(6) if iou_matrix(one.boxes[i : i + 1], one.boxes[:i]).max(initial=0) <= 0.5]
    one = one[apart]
    fused = fuse_detections([one, one])
    np.testing.assert_allclose(fused.boxes, one.boxes, rtol=1e-5)
    np.testing.assert_allclose(fused.scores, one.scores, rtol=1e-6)
