"""Blur against SciPy, and against the definitions written out as loops."""

from __future__ import annotations

import math

import numpy as np
import pytest

from herder.evaluation.corruptions import SEVERITIES, corrupt
from herder.evaluation.corruptions.blur import disk, swapped_neighbours, trail, zoom_factors
from herder.evaluation.corruptions.pixels import gaussian_blur

BLURS = ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur")


@pytest.mark.parametrize("sigma", [0.7, 1.1, (3.2, 4.8)])
def test_gaussian_blur_is_that_of_scipy(sigma: float | tuple[float, float]):
    ndimage = pytest.importorskip("scipy.ndimage")
    values = np.random.default_rng(0).random((40, 50), np.float32)
    expected = ndimage.gaussian_filter(values, sigma, mode="nearest", truncate=4)
    assert np.abs(gaussian_blur(values, sigma) - expected).max() < 1e-5


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("name", BLURS)
def test_what_has_one_colour_keeps_it(name: str, severity: int):
    photo = np.tile(np.array([30, 120, 250], np.uint8), (50, 60, 1))
    changed = corrupt(name, photo, severity, np.random.default_rng(0)).photo
    # The published disks of radius 8 and 10 have a sum of 1.013 and 1.011.
    assert np.abs(changed.astype(int) - photo).max() <= (3 if name == "defocus_blur" and severity > 3 else 1)


def test_a_disk():
    kernel = disk(3, 0.1)
    # Gauss's circle problem: 29 whole points lie within 3 of the middle.
    assert (kernel > 1e-6).sum() == 29
    assert kernel.shape == (17, 17)
    assert disk(10, 0.5).shape == (21, 21)
    for radius, sigma in ((3, 0.1), (4, 0.5), (6, 0.5)):
        assert disk(radius, sigma).sum() == pytest.approx(1, abs=1e-5)
    for radius in (8, 10):
        assert disk(radius, 0.5).sum() == pytest.approx(1.012, abs=0.002)


def test_a_trail_is_the_mean_of_shifted_photos():
    radius, sigma, degrees = 5, 3.0, 30.0
    photo = np.zeros((41, 41), np.float64)
    photo[20, 20] = 1
    expected = np.zeros_like(photo)
    weights = [math.exp(-(i**2) / (2 * sigma**2)) for i in range(2 * radius + 1)]
    for i, weight in enumerate(weights):
        dy = -math.ceil(i * math.sin(math.radians(degrees)) - 0.5)
        dx = -math.ceil(i * math.cos(math.radians(degrees)) - 0.5)
        expected += np.roll(photo, (dy, dx), axis=(0, 1)) * weight / sum(weights)
    kernel = trail(radius, sigma, degrees)
    # Correlation with a point gives the kernel turned by 180 degrees.
    found = np.zeros_like(photo)
    found[10:31, 10:31] = kernel[::-1, ::-1]
    assert np.abs(found - expected).max() < 1e-6


@pytest.mark.parametrize("degrees", [-135.0, -90.0, -45.0, 0.0, 45.0])
def test_trails_have_sum_1_and_start_in_the_middle(degrees: float):
    kernel = trail(20, 15, degrees)
    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    assert kernel[40, 40] > 0
    assert (kernel > 0).sum() <= 41


def one_after_another(height: int, width: int, reach: int, rounds: int, rng: np.random.Generator) -> np.ndarray:
    """The published loop, on indices in place of pixels."""
    x = np.arange(height * width).reshape(height, width)
    for _ in range(rounds):
        for h in range(height - reach, reach, -1):
            for w in range(width - reach, reach, -1):
                dx, dy = rng.integers(-reach, reach, 2)
                x[h, w], x[h + dy, w + dx] = x[h + dy, w + dx].copy(), x[h, w].copy()
    return x.reshape(-1)


@pytest.mark.parametrize(("reach", "rounds"), [(1, 2), (3, 2)])
def test_glass_moves_pixels_as_far_as_the_published_loop(reach: int, rounds: int):
    height, width = 70, 90

    def moves(source: np.ndarray) -> np.ndarray:
        here = np.arange(height * width)
        return np.stack([source // width - here // width, source % width - here % width])

    ours = swapped_neighbours(height, width, reach, rounds, np.random.default_rng(1))
    assert np.array_equal(np.sort(ours), np.arange(height * width))  # true swaps: no pixel lost, none doubled
    found, published = moves(ours), moves(one_after_another(height, width, reach, rounds, np.random.default_rng(0)))
    assert np.hypot(*found).mean() == pytest.approx(np.hypot(*published).mean(), rel=0.1)
    assert found.std() == pytest.approx(published.std(), rel=0.1)
    assert np.abs(found.mean(axis=1)).max() < 0.15


def test_glass_leaves_photos_alone_that_are_smaller_than_its_reach():
    assert swapped_neighbours(3, 8, 4, 2, np.random.default_rng(0)).tolist() == list(range(24))


def test_zoom_keeps_the_middle_and_its_published_steps():
    assert [len(zoom_factors(severity)) for severity in SEVERITIES] == [12, 16, 11, 13, 11]  # len(np.arange(...))
    photo = np.zeros((41, 41, 3), np.uint8)
    photo[17:24, 17:24] = 255
    changed = corrupt("zoom_blur", photo, 5, np.random.default_rng(0)).photo
    assert (changed[20, 20] == 255).all()
    assert np.abs(changed.astype(int) - changed[::-1, ::-1]).max() <= 3  # even to all sides
    assert 0 < changed[20, 24, 0] < 255
