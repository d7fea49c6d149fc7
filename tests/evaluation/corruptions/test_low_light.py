"""Low light: the colour curve of the standard, and noise that follows its formula."""

from __future__ import annotations

import numpy as np
import pytest

from herder.evaluation.corruptions import SEVERITIES, corrupt
from herder.evaluation.corruptions.low_light import display_value, linear_light


def test_the_curve_of_srgb():
    # IEC 61966-2-1: 18 % grey is 117.6 of 255; half of the scale is 21.4 % of the light.
    values = np.array([0, 0.04045, 0.5, 1], np.float32)
    assert linear_light(values) == pytest.approx([0, 0.0031308, 0.2140411, 1], abs=1e-5)
    assert display_value(np.array([0.18], np.float32)) * 255 == pytest.approx([117.6], abs=0.1)
    ramp = np.linspace(0, 1, 256, dtype=np.float32)
    assert display_value(linear_light(ramp)) == pytest.approx(ramp, abs=1e-5)


def test_mean_and_noise_by_the_formula():
    photo = np.full((200, 200, 3), 188, np.uint8)
    values = corrupt("low_light", photo, 1, np.random.default_rng(0)).photo / 255
    light = linear_light((values ** (1 / 1.1)).astype(np.float32))  # before gamma, linear
    electrons = linear_light(np.array([188 / 255], np.float32))[0] * 4000 / 2**3
    gain = 2**1.5 / 4000
    assert light.mean() == pytest.approx(electrons * gain, rel=0.01)
    assert light.std() == pytest.approx(np.sqrt(electrons + 3**2) * gain, rel=0.03)  # shot + read noise


def test_every_severity_is_darker_and_grainier():
    photo = np.full((100, 100, 3), 150, np.uint8)
    photos = [corrupt("low_light", photo, s, np.random.default_rng(0)).photo / 255 for s in SEVERITIES]
    means = [values.mean() for values in photos]
    grain = [values.std() / values.mean() for values in photos]
    assert means == sorted(means, reverse=True)
    assert grain == sorted(grain)
    assert means[0] < 0.6 * 150 / 255
