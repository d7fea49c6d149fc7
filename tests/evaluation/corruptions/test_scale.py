"""Scale: boxes go where their pixels go."""

from __future__ import annotations

import numpy as np
import pytest

from herder.boxes import PAD_VALUE
from herder.evaluation.corruptions import SEVERITIES, corrupt

FACTORS = (0.75, 2.0, 0.5, 0.25, 0.125)


def photo_with(box: tuple[int, int, int, int], size: tuple[int, int] = (240, 320)) -> np.ndarray:
    """A black photo with a white box."""
    photo = np.zeros((*size, 3), np.uint8)
    photo[box[1] : box[3], box[0] : box[2]] = 255
    return photo


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("severity", SEVERITIES)
def test_the_box_follows_its_pixels(severity: int, seed: int):
    box = (80, 64, 144, 112)
    photo, boxes, kept = corrupt("scale", photo_with(box), severity, np.random.default_rng(seed), [box])
    assert kept.tolist() == [True]
    rows, columns = np.nonzero(photo[..., 0] > 180)
    found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert np.abs(boxes[0] - found).max() <= 1
    # 64 x 48 fits into half of the photo, so a good window cuts none of it off.
    factor = FACTORS[severity - 1]
    assert boxes[0, 2] - boxes[0, 0] == pytest.approx(64 * factor, abs=0.5)
    assert boxes[0, 3] - boxes[0, 1] == pytest.approx(48 * factor, abs=0.5)


def test_the_canvas_is_the_grey_of_letterboxes_around_the_whole_photo():
    photo = corrupt("scale", photo_with((0, 0, 320, 240)), 3, np.random.default_rng(0)).photo
    assert set(np.unique(photo)) == {PAD_VALUE, 255}
    assert (photo[..., 0] == 255).sum() == 160 * 120


def test_what_becomes_smaller_than_a_pixel_is_gone():
    boxes = [[10, 10, 17, 100], [10, 10, 18, 18], [10, 10, 10, 10]]
    _, moved, kept = corrupt("scale", photo_with((0, 0, 1, 1)), 5, np.random.default_rng(0), boxes)
    assert kept.tolist() == [False, True, False]  # 7 / 8 of a pixel, 1 pixel, nothing
    assert len(moved) == 3


def test_what_an_enlargement_cuts_off_is_gone():
    # Two animals at opposite corners never fit into half of the photo.
    boxes = np.array([[0, 0, 40, 40], [280, 200, 320, 240]], np.float32)
    for seed in range(10):
        _, moved, kept = corrupt("scale", photo_with((0, 0, 1, 1)), 2, np.random.default_rng(seed), boxes)
        assert kept.sum() == 1
        assert (moved[kept] >= 0).all()
        assert (moved[kept] <= [320, 240, 320, 240]).all()


def test_a_window_that_cuts_nothing_is_preferred():
    # Two animals side by side: most windows with one of them cut the other.
    boxes = np.array([[100, 80, 150, 140], [160, 80, 210, 140]], np.float32)
    for seed in range(10):
        _, moved, kept = corrupt("scale", photo_with((0, 0, 1, 1)), 2, np.random.default_rng(seed), boxes)
        assert kept.all()
        assert ((moved[:, 2:] - moved[:, :2]) > [99, 119]).all()


def test_an_animal_larger_than_the_window_fills_it():
    _, moved, kept = corrupt("scale", photo_with((0, 0, 1, 1)), 2, np.random.default_rng(0), [[0, 0, 320, 240]])
    assert moved.tolist() == [[0, 0, 320, 240]]
    assert kept.tolist() == [True]


def test_a_herd_box_alone_does_not_steer_the_window():
    for ignore in (np.array([True]), None):
        result = corrupt("scale", photo_with((0, 0, 9, 9)), 2, np.random.default_rng(0), [[0, 0, 9, 9]], ignore)
        assert result.kept.shape == (1,)
    assert result.kept.all()  # without the mark it is looked for
