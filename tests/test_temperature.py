"""The temperature in a model's spec, and what it does on the way from a photo to detections."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import expit, logit

from herder.errors import ModelFileError
from herder.inference import Detector, tempered
from herder.spec import ModelSpec, example_spec

PHOTO = np.zeros((64, 64, 3), np.uint8)


class Known:
    """An engine that gives the same candidates for every photo, none of which overlap."""

    needs_nms = True
    fixed_size = None

    def __init__(self, scores: NDArray[np.float32], temperature: float = 1.0, threshold: float = 0.25) -> None:
        spec = example_spec().replace(input_size=64, score_threshold=threshold)
        self.spec = spec.tempered(temperature)
        self.scores = scores

    def predict(self, canvases: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        left = np.arange(len(self.scores), dtype=np.float32) * 0.1
        boxes = np.stack([left, left, left + 0.1, left + 0.1], axis=1)
        return np.repeat(boxes[None], len(canvases), 0), np.repeat(self.scores[None, :, None], len(canvases), 0)


def random_scores(seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).random(500).astype(np.float32)


@pytest.mark.parametrize("temperature", [0.3, 0.9, 1.7, 6.0])
def test_the_same_boxes_in_the_same_order_with_other_scores(temperature: float) -> None:
    scores = random_scores()
    plain = Detector(Known(scores)).detect(PHOTO)
    warm = Detector(Known(scores, temperature)).detect(PHOTO)
    assert len(plain) > 100
    np.testing.assert_array_equal(warm.boxes, plain.boxes)
    np.testing.assert_allclose(warm.scores, expit(logit(plain.scores.astype(np.float64)) / temperature), rtol=1e-6)
    assert warm.scores.dtype == np.float32


@pytest.mark.parametrize("temperature", [0.3, 0.9, 1.7, 6.0])
def test_a_threshold_that_is_itself_a_score_keeps_that_detection(temperature: float) -> None:
    """The best F1's threshold is always the score of some detection."""
    for score in random_scores(1)[:50].tolist():
        scores = np.array([score], np.float32)
        assert len(Detector(Known(scores, threshold=score)).detect(PHOTO)) == 1
        assert len(Detector(Known(scores, temperature, score)).detect(PHOTO)) == 1


@given(st.floats(0.05, 20), st.floats(0, 1), st.integers(0, 50))
def test_nothing_below_the_wanted_score_and_everything_from_it_on(temperature: float, wanted: float, seed: int) -> None:
    scores = random_scores(seed)[:40]
    found = Detector(Known(scores, temperature)).detect(PHOTO, score=wanted)
    expected = tempered(scores, temperature).astype(np.float32)
    assert sorted(found.scores.tolist()) == sorted(expected[expected >= np.float32(wanted)].tolist())


def test_scores_that_are_no_numbers_or_at_the_ends() -> None:
    scores = np.array([np.nan, 0, 1, 0.5], np.float32)
    found = Detector(Known(scores, 3.0)).detect(PHOTO, score=0)
    assert found.scores.tolist() == [1, 0.5, 0]


def test_the_threshold_moves_along_and_comes_back() -> None:
    spec = example_spec().replace(score_threshold=0.3)
    warm = spec.tempered(2.0)
    assert warm.score_threshold == pytest.approx(expit(logit(0.3) / 2))
    assert warm.tempered(0.5).score_threshold == pytest.approx(expit(logit(0.3) / 0.5))
    assert warm.tempered(1.0).score_threshold == pytest.approx(0.3)
    for end in (0.0, 1.0):
        assert spec.replace(score_threshold=end).tempered(2.0).score_threshold == end


def test_a_spec_of_before_has_temperature_1() -> None:
    old = json.loads(example_spec().to_json())
    del old["temperature"]
    assert ModelSpec.from_json(json.dumps(old)).temperature == 1.0
    assert ModelSpec.from_json(example_spec().tempered(1.5).to_json()).temperature == 1.5


@pytest.mark.parametrize("value", ["0", "-1", "1e9", "NaN", "Infinity", '"warm"', "true", "null"])
def test_a_temperature_that_makes_no_sense(value: str) -> None:
    text = example_spec().to_json().replace('"temperature": 1.0', f'"temperature": {value}')
    with pytest.raises(ModelFileError, match=r"model\.onnx: temperature"):
        ModelSpec.from_json(text, source="model.onnx")
