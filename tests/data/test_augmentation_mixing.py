import colorsys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from herder.data.augmentation import AugmentationConfig, Sample, augment, blur, copy_paste, cutout, grey, hsv, mixup

fast = settings(deadline=None, max_examples=40)
seeds = st.integers(0, 2**32 - 1)


def sample_of(image, boxes=(), classes=None, ignore=None):
    image = np.ascontiguousarray(image, np.uint8)
    image.flags.writeable = False
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    classes = np.zeros(len(boxes), int) if classes is None else np.array(classes)
    return Sample(image, boxes, classes, np.zeros(len(boxes), bool) if ignore is None else np.array(ignore))


def grey_photo(side=80):
    return np.full((side, side, 3), 114, np.uint8)


def noise(seed=0, side=32):
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def test_mixup_keeps_both_and_blends_every_pixel_alike():
    a = sample_of(np.full((8, 8, 3), 200), [[1, 1, 4, 4]], [3], [True])
    b = sample_of(np.full((8, 8, 3), 100), [[2, 2, 6, 7], [0, 0, 2, 2]], [5, 6])
    mixed = mixup(np.random.default_rng(0), a, b, AugmentationConfig())
    assert len(np.unique(mixed.image)) == 1
    assert 100 < mixed.image[0, 0, 0] < 200
    assert mixed.boxes.tolist() == [[1, 1, 4, 4], [2, 2, 6, 7], [0, 0, 2, 2]]
    assert mixed.classes.tolist() == [3, 5, 6]
    assert mixed.ignore.tolist() == [True, False, False]
    with pytest.raises(ValueError, match="wanted one shape"):
        mixup(np.random.default_rng(0), a, sample_of(grey_photo(9)), AugmentationConfig())


@fast
@given(seeds, st.floats(0, 0.5), st.booleans())
def test_a_pasted_animal_fills_its_box_and_covers_others_little(seed, limit, ignored):
    image = grey_photo(120)
    image[10:50, 10:40] = (0, 255, 0)
    image[70:110, 60:110] = (0, 255, 0)
    there = [[10, 10, 40, 50], [60, 70, 110, 110]]
    donor_image = grey_photo(120)
    donor_image[30:60, 20:70] = (255, 0, 255)
    donor = sample_of(donor_image, [[20, 30, 70, 60], [80, 80, 100, 100]], [4, 5], [False, True])
    config = AugmentationConfig(paste_overlap=limit, scale=0.3)
    result = copy_paste(np.random.default_rng(seed), sample_of(image, there, [1, 2], [ignored, False]), donor, config)
    assert result.boxes[:2].tolist() == there
    assert result.classes[:2].tolist() == [1, 2]
    assert result.ignore.tolist() == [ignored, False, *[False] * (len(result) - 2)]
    assert 5 not in result.classes.tolist()  # what is marked ignore is never pasted
    purple = (result.image[..., 0] > 184) & (result.image[..., 1] < 57)
    if len(result) == 2:
        assert not purple.any()
        return
    assert result.classes[2:].tolist() == [4]
    rows, columns = np.nonzero(purple)
    found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert np.abs(result.boxes[2] - found).max() <= 1
    for x1, y1, x2, y2 in there:
        wide = min(x2, result.boxes[2, 2]) - max(x1, result.boxes[2, 0])
        high = min(y2, result.boxes[2, 3]) - max(y1, result.boxes[2, 1])
        assert max(0, wide) * max(0, high) <= limit * (x2 - x1) * (y2 - y1) + 1e-2


def test_copy_paste_without_anything_to_paste_or_a_place_for_it():
    rng, config = np.random.default_rng(0), AugmentationConfig(paste_overlap=0.0, scale=0)
    full = sample_of(grey_photo(), [[0, 0, 80, 80]])
    assert copy_paste(rng, full, sample_of(grey_photo()), config) is full
    unchanged = copy_paste(rng, full, sample_of(noise(1, 80), [[10, 10, 40, 40]]), config)
    np.testing.assert_array_equal(unchanged.image, full.image)
    assert len(unchanged) == 1


@fast
@given(seeds, st.floats(0.05, 1.0))
def test_cutout_drops_exactly_the_boxes_it_hides(seed, limit):
    boxes = [[0, 0, 20, 20], [30, 30, 50, 60], [60, 10, 90, 40], [5, 70, 9, 74]]
    config = AugmentationConfig(cutout_covered=limit, cutout_side=0.5)
    result = cutout(np.random.default_rng(seed), sample_of(np.full((100, 100, 3), 255), boxes, [0, 1, 2, 3]), config)
    hidden = (result.image == 114).all(axis=2)
    assert hidden.any()
    assert ((result.image == 255).all(axis=2) | hidden).all()
    shares = [hidden[y1:y2, x1:x2].mean() for x1, y1, x2, y2 in boxes]
    assert result.classes.tolist() == [k for k, share in enumerate(shares) if np.float32(share) < limit]


def test_cutout_without_boxes():
    assert len(cutout(np.random.default_rng(0), sample_of(noise()), AugmentationConfig())) == 0


@fast
@given(seeds)
def test_hsv_turns_every_hue_alike_and_leaves_grey_alone(seed):
    image = np.array([[[200, 40, 40], [40, 200, 40], [40, 40, 200], [90, 90, 90]]], np.uint8)
    turned = hsv(
        np.random.default_rng(seed), sample_of(image), AugmentationConfig(hue=0.4, saturation=0, value=0)
    ).image
    before, after = ([colorsys.rgb_to_hsv(*(p / 255)) for p in picture[0].astype(float)] for picture in (image, turned))
    moves = [(b[0] - a[0]) % 1 for a, b in zip(before[:3], after[:3], strict=True)]
    assert max((m - moves[0] + 0.5) % 1 - 0.5 for m in moves) < 0.02
    np.testing.assert_allclose([b[1:] for b in after], [a[1:] for a in before], atol=0.02)
    assert turned[0, 3].tolist() == [90, 90, 90]


@fast
@given(seeds)
def test_hsv_scales_saturation_and_brightness(seed):
    image = np.array([[[100, 80, 60], [60, 100, 90], [80, 70, 100]]], np.uint8)
    config = AugmentationConfig(hue=0, saturation=0.5, value=0.5)
    changed = hsv(np.random.default_rng(seed), sample_of(image), config).image
    before, after = (
        np.array([colorsys.rgb_to_hsv(*(p / 255)) for p in picture[0].astype(float)]) for picture in (image, changed)
    )
    ratios = after[:, 1:] / before[:, 1:]
    assert np.ptp(ratios, axis=0).max() < 0.08  # one factor for all pixels
    assert (ratios > 0.45).all()
    assert (ratios < 1.55).all()


def test_colours_leave_boxes_and_the_given_picture_alone():
    given_sample = sample_of(noise(), [[1, 2, 3, 9]], [4], [True])
    before = given_sample.image.copy()
    rng = np.random.default_rng(0)
    for result in (hsv(rng, given_sample, AugmentationConfig()), grey(given_sample), blur(rng, given_sample)):
        assert result.boxes is given_sample.boxes
        assert result.classes is given_sample.classes
        assert result.ignore is given_sample.ignore
        assert result.image.shape == before.shape
        assert result.image.dtype == np.uint8
    np.testing.assert_array_equal(given_sample.image, before)
    assert np.ptp(grey(given_sample).image.astype(int), axis=2).max() == 0
    assert blur(rng, given_sample).image.std() < before.std()


EVERYTHING = AugmentationConfig(
    mosaic=0.5, mixup=0.5, copy_paste=0.5, degrees=10, shear=5, perspective=0.05, flip_vertical=0.5, grey=0.3, blur=0.3,
    cutout=0.5,
)  # fmt: skip


@fast
@given(seeds, st.booleans())
def test_all_at_once_is_repeatable_and_keeps_boxes_inside(seed, mix):
    pool = [sample_of(noise(i, 40 + i), [[4, 4, 30, 36], [10, 2, 20, 20]], [i, 0], [False, True]) for i in range(5)]

    def run():
        rng = np.random.default_rng(seed)
        return augment(rng, pool[0], lambda: pool[int(rng.integers(5))], 64, EVERYTHING, mix=mix)

    first, second = run(), run()
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.boxes, second.boxes)
    assert first.image.shape == (64, 64, 3)
    assert first.image.dtype == np.uint8
    assert first.boxes.dtype == np.float32
    assert len(first.boxes) == len(first.classes) == len(first.ignore)
    if len(first):
        assert first.boxes.min() >= 0
        assert first.boxes.max() <= 64
    # An even class came with a herd box: flags stayed with their boxes (class 0 of the first photo has both kinds).
    assert not any(flag for number, flag in zip(first.classes, first.ignore, strict=True) if number > 0)


def test_no_other_photo_is_asked_for_without_mixing():
    def draw():
        raise AssertionError("asked for another photo")

    config = AugmentationConfig(mosaic=1, mixup=1, copy_paste=1)
    augment(np.random.default_rng(0), sample_of(noise()), draw, 64, config, mix=False)
