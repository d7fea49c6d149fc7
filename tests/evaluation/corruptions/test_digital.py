"""Contrast, elastic pixels, coarse pixels and JPEG against what can be worked out elsewhere."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from herder.evaluation.corruptions import SEVERITIES, corrupt


def test_contrast_by_hand():
    photo = np.zeros((1, 4, 3), np.uint8)
    photo[0, :, 0] = 0, 40, 80, 120  # mean 60
    photo[0, :, 1] = 200
    changed = corrupt("contrast", photo, 1, np.random.default_rng(0)).photo
    assert changed[0, :, 0].tolist() == [36, 52, 68, 84]  # 60 + 0.4 (x - 60)
    assert changed[0, :, 1].tolist() == [200] * 4


def test_pixelate_takes_means_of_blocks():
    photo = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    changed = corrupt("pixelate", photo, 5, np.random.default_rng(0)).photo  # a quarter: blocks of 4 x 4
    means = photo.reshape(10, 4, 15, 4, 3).mean(axis=(1, 3))
    expected = means.repeat(4, axis=0).repeat(4, axis=1)
    assert np.abs(changed - expected).max() <= 1


@pytest.mark.parametrize(("severity", "quality"), [(1, 25), (5, 7)])
def test_jpeg_has_the_published_quality(severity: int, quality: int):
    coarse = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    photo = cv2.resize(coarse, (128, 96), interpolation=cv2.INTER_CUBIC)
    changed = corrupt("jpeg_compression", photo, severity, np.random.default_rng(0)).photo

    def by_opencv(quality: int) -> np.ndarray:
        ok, data = cv2.imencode(".jpg", photo[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        assert ok
        return cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]

    errors = {q: np.abs(by_opencv(q).astype(float) - changed).mean() for q in (quality - 3, quality, quality + 3)}
    assert min(errors, key=errors.get) == quality
    assert errors[quality] < 1


@pytest.mark.parametrize("severity", SEVERITIES)
def test_elastic_moves_pixels_by_a_few_pixels(severity: int):
    # On a ramp that rises by 1 a pixel the change of value is the shift.
    ramp = np.tile(np.arange(240, dtype=np.uint8), (200, 1))
    photo = np.stack([ramp] * 3, axis=2)
    shift = corrupt("elastic_transform", photo, severity, np.random.default_rng(0)).photo.astype(float) - photo
    inner = shift[:, 20:-20]
    # Uniform shifts of +-1 pixel through a Gaussian of sigma (2, 2.4): deviation sqrt(1/3) / (2 sqrt(pi 2 x 2.4)).
    alpha = (12.5, 16.25, 21.25, 25.0, 30.0)[severity - 1]
    assert inner.std() == pytest.approx(alpha * np.sqrt(1 / 3) / (2 * np.sqrt(np.pi * 2 * 2.4)), rel=0.1)
    assert np.abs(inner).max() < 12
