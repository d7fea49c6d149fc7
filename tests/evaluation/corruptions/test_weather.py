"""Weather against colorsys and what can be worked out by hand."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest

from herder.evaluation.corruptions import SEVERITIES, corrupt
from herder.evaluation.corruptions import plasma as plasma_module
from herder.evaluation.corruptions.frost import ice
from herder.evaluation.corruptions.plasma import diamond_square, plasma


@pytest.mark.parametrize(("severity", "more"), list(zip(SEVERITIES, (0.1, 0.2, 0.3, 0.4, 0.5), strict=True)))
def test_brightness_adds_to_the_value_of_hsv(severity: int, more: float):
    photo = np.random.default_rng(0).integers(0, 256, (6, 7, 3), np.uint8)
    photo[0, 0] = 0
    expected = np.empty(photo.shape)
    for place in np.ndindex(6, 7):
        hue, saturation, value = colorsys.rgb_to_hsv(*(photo[place] / 255))
        expected[place] = colorsys.hsv_to_rgb(hue, saturation, min(value + more, 1))
    found = corrupt("brightness", photo, severity, np.random.default_rng(0)).photo
    assert np.abs(found - expected * 255).max() <= 0.51


def test_fog_hides_and_never_shines():
    photo = np.full((48, 64, 3), 200, np.uint8)
    spotted = photo.copy()
    spotted[10:30, 10:30] = 10
    plain, changed = (corrupt("fog", p, 3, np.random.default_rng(0)).photo.astype(float) for p in (photo, spotted))
    assert changed.max() <= 200
    # The same clouds over both: what is left of a difference is max / (max + 2.5).
    left = (200 / 255) / (200 / 255 + 2.5)
    assert np.abs(plain - changed)[10:30, 10:30] == pytest.approx(190 * left, abs=1)
    assert np.array_equal(plain[30:], changed[30:])


def test_fog_over_black_is_black_as_published():
    assert not corrupt("fog", np.zeros((8, 8, 3), np.uint8), 5, np.random.default_rng(0)).photo.any()


@pytest.mark.parametrize("severity", SEVERITIES)
def test_snow_only_makes_lighter(severity: int):
    photo = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    changed = corrupt("snow", photo, severity, np.random.default_rng(0)).photo
    assert (changed >= photo).all()


def test_frost_mixes_photo_and_ice():
    black, white = (np.full((60, 80, 3), value, np.uint8) for value in (0, 255))
    ice_alone = corrupt("frost", black, 5, np.random.default_rng(0)).photo / 255
    assert np.abs(ice_alone - 0.75 * ice(60, 80, np.random.default_rng(0))).max() <= 0.003
    mixed = corrupt("frost", white, 5, np.random.default_rng(0)).photo / 255
    assert np.abs(mixed - np.minimum(0.6 + ice_alone, 1)).max() <= 0.005


def test_ice_is_bluish_and_neither_flat_nor_all_white():
    picture = ice(240, 320, np.random.default_rng(1))
    assert 0 <= picture.min() <= picture.max() <= 1
    assert (picture[..., 2] >= picture[..., 0]).all()
    assert 0.25 < picture.mean() < 0.75
    assert picture.std() > 0.1


@pytest.mark.parametrize("side", [2, 8, 64])
def test_plasma_spans_0_to_1(side: int):
    clouds = diamond_square(side, 1.5, np.random.default_rng(0))
    assert clouds.shape == (side, side)
    assert (clouds.min(), clouds.max()) == (0, 1)


def test_plasma_has_no_seam_and_gets_patchier_with_less_decay():
    def step(clouds: np.ndarray) -> float:
        return float(np.abs(np.diff(clouds, axis=1)).mean() / clouds.std())

    smooth, patchy = (diamond_square(128, decay, np.random.default_rng(0)) for decay in (2.0, 1.2))
    assert step(smooth) < 0.5 * step(patchy)
    seam = np.abs(smooth[:, 0] - smooth[:, -1]).mean()
    assert seam < 3 * np.abs(np.diff(smooth, axis=1)).mean()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 200), (130, 70)])
def test_plasma_of_any_size(height: int, width: int, monkeypatch: pytest.MonkeyPatch):
    assert plasma(height, width, 1.7, np.random.default_rng(0)).shape == (height, width)
    monkeypatch.setattr(plasma_module, "LARGEST", 32)
    clouds = plasma(height, width, 1.7, np.random.default_rng(0))
    assert clouds.shape == (height, width)
    assert 0 <= clouds.min() <= clouds.max() <= 1
