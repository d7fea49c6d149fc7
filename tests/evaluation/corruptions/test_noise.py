"""Noise has the mean and spread that its distribution has."""

from __future__ import annotations

import numpy as np
import pytest

from herder.evaluation.corruptions import corrupt
from herder.evaluation.corruptions import pixels as pixels_module

GREY = np.full((200, 200, 3), 102, np.uint8)  # 0.4 of white


@pytest.mark.parametrize(("severity", "deviation"), [(1, 0.08), (2, 0.12)])  # stronger ones are cut at black
def test_gaussian_noise(severity: int, deviation: float):
    values = corrupt("gaussian_noise", GREY, severity, np.random.default_rng(0)).photo / 255
    assert values.mean() == pytest.approx(0.4, abs=0.002)
    assert values.std() == pytest.approx(deviation, rel=0.02)
    assert np.corrcoef(values[..., 0].ravel(), values[..., 1].ravel())[0, 1] == pytest.approx(0, abs=0.03)


@pytest.mark.parametrize(("severity", "photons"), [(1, 60), (2, 25)])
def test_shot_noise_is_poisson(severity: int, photons: int):
    values = corrupt("shot_noise", GREY, severity, np.random.default_rng(0)).photo / 255
    assert values.mean() == pytest.approx(0.4, abs=0.002)
    assert values.var() == pytest.approx(0.4 / photons, rel=0.03)  # a Poisson variable's variance is its mean


def test_shot_noise_leaves_black_alone():
    assert not corrupt("shot_noise", np.zeros((9, 9, 3), np.uint8), 5, np.random.default_rng(0)).photo.any()


@pytest.mark.parametrize(("severity", "share"), [(1, 0.03), (5, 0.27)])
def test_impulse_noise(severity: int, share: float):
    photo = corrupt("impulse_noise", GREY, severity, np.random.default_rng(0)).photo
    assert set(np.unique(photo)) == {0, 102, 255}
    assert (photo == 0).mean() == pytest.approx(share / 2, rel=0.05)
    assert (photo == 255).mean() == pytest.approx(share / 2, rel=0.05)


def test_strips_of_large_photos_do_not_repeat_their_noise(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pixels_module, "STRIP", 200 * 50)
    photo = corrupt("gaussian_noise", GREY, 3, np.random.default_rng(0)).photo
    assert photo.shape == GREY.shape
    assert not np.array_equal(photo[:50], photo[50:100])
