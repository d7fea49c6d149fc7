"""Boxes must follow the pixels: an animal of one colour is looked for in the picture, and must fill its box."""

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from herder.boxes import Letterbox
from herder.data.augmentation import (
    AugmentationConfig,
    Sample,
    affine,
    crop_boxes,
    flip_horizontal,
    flip_vertical,
    letterbox,
    mosaic,
)

PAD = 114
HALFWAY = (255 + PAD) / 2
"""The ground is as grey as the padding, so that where red passes this level is where the animal ends."""

STILL = {"scale": 0.0, "translate": 0.0, "min_visible": 0.0, "min_side": 0.0, "max_aspect": 10_000.0}

fast = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
seeds = st.integers(0, 2**32 - 1)


def photo_with(width, height, box=None, number=0, ignore=False):
    """A grey photo with one purple animal that fills ``box``; nobody may write into it."""
    image = np.full((height, width, 3), PAD, np.uint8)
    if box is not None:
        x1, y1, x2, y2 = box
        image[y1:y2, x1:x2] = (255, 0, 255)
    image.flags.writeable = False
    boxes = np.array([box] if box else [], np.float32).reshape(-1, 4)
    return Sample(image, boxes, np.full(len(boxes), number), np.full(len(boxes), ignore))


def extent(image):
    """Box around the pixels of the animal, or None."""
    rows, columns = np.nonzero(image[..., 0] > HALFWAY)
    if not len(rows):
        return None
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], float)


@st.composite
def photos(draw, low=64, high=150):
    width, height = draw(st.integers(low, high)), draw(st.integers(low, high))
    x1, y1 = draw(st.integers(0, width - 12)), draw(st.integers(0, height - 12))
    x2, y2 = draw(st.integers(x1 + 12, width)), draw(st.integers(y1 + 12, height))
    return photo_with(width, height, (x1, y1, x2, y2), draw(st.integers(0, 9)), draw(st.booleans()))


def assert_box_is_extent(sample, within=1.0):
    found = extent(sample.image)
    if found is None:
        assert not len(sample) or np.minimum(*(sample.boxes[0, 2:] - sample.boxes[0, :2])) < 1
    elif len(sample):
        assert np.abs(sample.boxes[0] - found).max() <= within
    else:  # an edge that just touches the picture
        assert np.minimum(*(found[2:] - found[:2])) <= 1


@fast
@given(photos(20, 200), st.sampled_from([32, 64, 96]))
def test_letterbox_is_that_of_inference_and_the_box_follows(photo, size):
    sample = letterbox(photo, size)
    fit = Letterbox.fit(photo.width, photo.height, size)
    assert sample.image.shape == (size, size, 3)
    np.testing.assert_array_equal(sample.image, fit.apply(photo.image))
    assert np.abs(sample.boxes[0] - extent(sample.image)).max() <= 1
    np.testing.assert_allclose(fit.inverse(sample.boxes), photo.boxes, atol=1e-3)
    assert (sample.classes, sample.ignore) == (photo.classes, photo.ignore)


@fast
@given(photos(), seeds)
def test_without_movement_affine_is_the_letterbox(photo, seed):
    sample = affine(np.random.default_rng(seed), photo, 64, AugmentationConfig.none())
    plain = letterbox(photo, 64)
    np.testing.assert_array_equal(sample.image, plain.image)
    np.testing.assert_allclose(sample.boxes, plain.boxes, atol=1e-4)


@fast
@given(photos(), seeds, st.sampled_from([{"scale": 0.5}, {"translate": 0.4}, {"scale": 0.9, "translate": 0.2}]))
def test_scale_and_translate_take_the_box_along(photo, seed, movement):
    config = AugmentationConfig(**{**STILL, **movement})
    sample = affine(np.random.default_rng(seed), photo, 64, config)
    assert_box_is_extent(sample)
    if len(sample):
        assert (sample.classes, sample.ignore) == (photo.classes, photo.ignore)
        assert sample.boxes.min() >= 0
        assert sample.boxes.max() <= 64


@fast
@given(photos(), seeds)
def test_a_scaled_animal_keeps_its_proportions(photo, seed):
    """The factor comes from the settings: 0.5 to 1.5 times the letterbox's, the same for both sides."""
    config = AugmentationConfig(scale=0.5, translate=0, min_visible=1.0)
    sample = affine(np.random.default_rng(seed), photo, 96, config)
    assume(len(sample))
    letterboxed = photo.boxes[0] * (96 / max(photo.width, photo.height))
    ratios = (sample.boxes[0, 2:] - sample.boxes[0, :2]) / (letterboxed[2:] - letterboxed[:2])
    assert ratios[0] == pytest.approx(ratios[1], rel=1e-3)
    assert 0.5 - 1e-3 <= ratios[0] <= 1.5 + 1e-3


@fast
@given(photos(), seeds)
def test_a_turned_rectangle_touches_all_sides_of_its_box(photo, seed):
    config = AugmentationConfig(**{**STILL, "degrees": 180.0, "shear": 15.0, "scale": 0.3})
    sample = affine(np.random.default_rng(seed), photo, 64, config)
    found = extent(sample.image)
    assume(found is not None and len(sample))
    # Where the turned corners are cut off, only "inside" holds.
    assert (sample.boxes[0, :2] <= found[:2] + 1).all()
    assert (sample.boxes[0, 2:] >= found[2:] - 1).all()
    small = affine(np.random.default_rng(seed), photo_with(150, 150, (55, 60, 95, 90)), 150, config)
    assert np.abs(small.boxes[0] - extent(small.image)).max() <= 3  # the tip of a corner is thinner than a pixel


@fast
@given(photos(), seeds)
def test_perspective_keeps_the_animal_inside_its_box(photo, seed):
    config = AugmentationConfig(**{**STILL, "perspective": 0.15, "scale": 0.3, "degrees": 20.0})
    sample = affine(np.random.default_rng(seed), photo, 64, config)
    found = extent(sample.image)
    assume(found is not None and len(sample))
    assert (sample.boxes[0, :2] <= found[:2] + 1).all()
    assert (sample.boxes[0, 2:] >= found[2:] - 1).all()


@fast
@given(st.integers(0, 3), st.lists(photos(), min_size=4, max_size=4), seeds, st.sampled_from([0.0, 0.5]))
def test_mosaic_takes_each_box_to_its_animal(corner, four, seed, scale):
    shown = [photo if i == corner else photo_with(photo.width, photo.height) for i, photo in enumerate(four)]
    config = AugmentationConfig(**{**STILL, "scale": scale, "translate": 0.1})
    sample = mosaic(np.random.default_rng(seed), shown, 64, config)
    assert_box_is_extent(sample)
    if len(sample):
        assert (sample.classes, sample.ignore) == (four[corner].classes, four[corner].ignore)


@fast
@given(seeds)
def test_mosaic_tiles_meet_in_one_point_without_overlap(seed):
    """Four photos of plain colours: each canvas pixel away from the seams has one of them, in its own quarter."""
    levels = (30, 90, 150, 250)
    four = [
        Sample(np.full((64, 64, 3), v, np.uint8), np.zeros((0, 4), np.float32), np.zeros(0, int), np.zeros(0, bool))
        for v in levels
    ]
    config = AugmentationConfig(scale=0, translate=0)
    image = mosaic(np.random.default_rng(seed), four, 64, config).image[..., 0]
    pure = np.isin(image, levels)
    assert (~pure).sum() <= 4 * 64  # at most two rows and two columns of pixels lie on the seams
    for column, (top, bottom) in ((image[:, 0], (30, 150)), (image[:, -1], (90, 250))):
        inside = column[np.isin(column, (top, bottom))]
        assert (np.diff(inside.astype(int)) >= 0).all()


def test_mosaic_wants_four_photos():
    with pytest.raises(ValueError, match="found 3 photos, wanted 4"):
        mosaic(np.random.default_rng(0), [photo_with(40, 40)] * 3, 64, AugmentationConfig())


@fast
@given(photos())
def test_flips_take_the_box_along_and_twice_is_nothing(photo):
    for flip in (flip_horizontal, flip_vertical):
        sample = flip(photo)
        np.testing.assert_array_equal(sample.boxes[0], extent(sample.image))
        again = flip(sample)
        np.testing.assert_array_equal(again.image, photo.image)
        np.testing.assert_array_equal(again.boxes, photo.boxes)
        assert (sample.classes, sample.ignore) == (photo.classes, photo.ignore)


def test_a_strong_reduction_averages_instead_of_skipping_pixels():
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 200
    sample = Sample(stripes, np.zeros((0, 4), np.float32), np.zeros(0, int), np.zeros(0, bool))
    config = AugmentationConfig(scale=0, translate=0.001)
    image = affine(np.random.default_rng(0), sample, 64, config).image
    assert np.abs(image[2:-2, 2:-2].astype(int) - 100).max() <= 12


@pytest.mark.parametrize(
    ("box", "kept"),
    [
        ((-30, 10, 10, 30), (0, 10, 10, 30)),  # a quarter is left
        ((-90, 10, 10, 30), None),  # a tenth is left
        ((99, 10, 110, 30), None),  # thinner than two pixels
        ((10, 10, 12.5, 90), None),  # longer than 20 times its other side
        ((120, 10, 140, 30), None),  # gone
        ((0, 0, 100, 100), (0, 0, 100, 100)),
    ],
)
def test_what_is_left_of_a_box_decides(box, kept):
    sample = Sample(np.zeros((100, 100, 3), np.uint8), np.array([box], np.float32), np.array([7]), np.array([True]))
    cropped = crop_boxes(sample, AugmentationConfig(min_visible=0.15, min_side=2, max_aspect=20))
    assert cropped.boxes.tolist() == ([] if kept is None else [list(kept)])
    assert cropped.classes.tolist() == ([] if kept is None else [7])
    assert cropped.ignore.tolist() == ([] if kept is None else [True])
