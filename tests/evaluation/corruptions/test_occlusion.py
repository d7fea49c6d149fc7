"""Occlusion hides the share that it says, of the boxes that it should."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from herder.evaluation.corruptions import SEVERITIES, corrupt
from herder.evaluation.corruptions.occlusion import COLOURS

SHARES = (0.10, 0.25, 0.40, 0.55, 0.70)
MAGENTA = np.array([255, 0, 255], np.uint8)  # no cover has this colour


def hidden(boxes: object, severity: int, seed: int = 0, ignore: object = None, size: tuple[int, int] = (80, 100)):
    photo = np.tile(MAGENTA, (*size, 1))
    marks = None if ignore is None else np.array(ignore, np.bool_)
    return (corrupt("occlusion", photo, severity, np.random.default_rng(seed), boxes, marks).photo != MAGENTA).any(2)


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("seed", range(12))
def test_one_box_is_hidden_by_exactly_its_share(seed: int, severity: int):
    mask = hidden([[10, 20, 60, 60]], severity, seed)
    assert mask[20:60, 10:60].sum() == round(SHARES[severity - 1] * 50 * 40)
    mask[20:60, 10:60] = False
    assert not mask.any()  # nothing outside


@pytest.mark.parametrize("seed", range(8))
def test_a_harder_severity_hides_what_an_easier_one_does(seed: int):
    masks = [hidden([[10, 20, 60, 60]], severity, seed) for severity in SEVERITIES]
    for easier, harder in pairwise(masks):
        assert harder[easier].all()


def test_a_herd_gets_no_cover():
    mask = hidden([[0, 0, 40, 40], [50, 0, 90, 40]], 5, ignore=[True, False])
    assert not mask[:, :45].any()
    assert mask[:40, 50:90].mean() == pytest.approx(0.7, abs=0.001)


@given(
    corners=st.lists(
        st.tuples(st.integers(0, 60), st.integers(0, 50), st.integers(4, 40), st.integers(4, 30)), max_size=6
    ),
    severity=st.sampled_from(SEVERITIES),
    seed=st.integers(0, 999),
)
def test_boxes_that_overlap_are_hidden_by_their_share_at_least(
    corners: list[tuple[int, ...]], severity: int, seed: int
):
    boxes = np.array([(x, y, x + w, y + h) for x, y, w, h in corners], np.float32).reshape(-1, 4)
    mask = hidden(boxes, severity, seed)
    inside = np.zeros_like(mask)
    for x1, y1, x2, y2 in boxes.astype(int):
        inside[y1:y2, x1:x2] = True
        assert mask[y1:y2, x1:x2].sum() >= round(SHARES[severity - 1] * (x2 - x1) * (y2 - y1))
    assert not mask[~inside].any()


def test_boxes_at_and_beyond_the_border():
    mask = hidden([[-20, -10, 10, 10], [95.5, 75.5, 130, 130], [200, 200, 210, 210], [30, 30, 30, 30]], 3)
    assert mask[:10, :10].sum() == 40  # what lies in the photo counts: 10 x 10
    assert mask[75:, 95:].sum() == 10  # whole pixels: 5 x 5
    assert mask.sum() == 50


def test_no_boxes_no_cover():
    assert not hidden([], 5).any()


def test_covers_have_the_colours_of_their_textures():
    photo = np.tile(MAGENTA, (60, 60, 1))
    changed = corrupt("occlusion", photo, 5, np.random.default_rng(4), [[0, 0, 60, 60]]).photo
    cover = changed[(changed != MAGENTA).any(2)]
    ranges = np.array(COLOURS)  # (4, 2, 3)
    fits = [((cover >= low - 1) & (cover <= high + 1)).all() for low, high in ranges]
    assert sum(fits) == 1
    assert cover.std(axis=0).min() > 3  # a texture, not a flat patch
