"""What holds for every corruption, on photos of any size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from herder.data.formats import read_dataset
from herder.data.pasture import PastureConfig, pasture_scene
from herder.errors import ConfigError
from herder.evaluation.corruptions import CORRUPTIONS, SEVERITIES, Group, corrupt
from herder.images import read_image

# Table 1 of https://arxiv.org/abs/1903.12261, from left to right.
PUBLISHED = [
    *("gaussian_noise", "shot_noise", "impulse_noise"),
    *("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    *("snow", "frost", "fog", "brightness"),
    *("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
]

RISING = [name for name in CORRUPTIONS if name not in ("snow", "frost", "scale")]
"""Snow falls in other flakes, frost trades ice against photo, scale goes both ways: these need not get farther from
the clean photo every time."""

SETTLED = {"defocus_blur", "zoom_blur", "brightness", "contrast", "pixelate", "jpeg_compression"}
"""Nothing is random in these."""


def some_photo(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture(scope="module")
def scene() -> tuple[np.ndarray, np.ndarray]:
    drawn = pasture_scene(PastureConfig(size=160, seed=5), 0)
    return drawn.picture, drawn.boxes


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(np.float64) - b).mean())


def test_published_ones_come_first_and_in_published_order():
    assert list(CORRUPTIONS) == [*PUBLISHED, "low_light", "occlusion", "scale"]
    assert [name for name, corruption in CORRUPTIONS.items() if corruption.published] == PUBLISHED
    groups = [corruption.group for corruption in CORRUPTIONS.values()]
    assert groups == [Group.NOISE] * 3 + [Group.BLUR] * 4 + [Group.WEATHER] * 4 + [Group.DIGITAL] * 4 + [Group.OWN] * 3


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_words_for_tables(name: str):
    corruption = CORRUPTIONS[name]
    assert corruption.name == name
    assert len(corruption.levels) == len(SEVERITIES)
    assert all(corruption.levels)
    assert corruption.quantity
    assert "_" not in corruption.title


def test_some_levels_in_words():
    assert CORRUPTIONS["occlusion"].levels == ("10%", "25%", "40%", "55%", "70%")
    assert CORRUPTIONS["scale"].levels == ("0.75 x", "2 x", "0.5 x", "0.25 x", "0.125 x")
    assert CORRUPTIONS["jpeg_compression"].title == "JPEG compression"
    assert CORRUPTIONS["zoom_blur"].levels == ("1.11", "1.15", "1.20", "1.24", "1.30")


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_severity_0_is_the_very_photo(name: str):
    photo, boxes = some_photo(9, 12), np.array([[1, 2, 5, 6]], np.float32)
    result = corrupt(name, photo, 0, np.random.default_rng(0), boxes)
    assert result.photo is photo
    assert result.boxes.tolist() == boxes.tolist()
    assert result.kept.tolist() == [True]


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_same_generator_same_photo_and_the_given_one_is_left_alone(
    name: str, severity: int, scene: tuple[np.ndarray, np.ndarray]
):
    photo, boxes = scene
    before = photo.copy(), boxes.copy()
    locked = photo.view()
    locked.flags.writeable = False
    first, second = (corrupt(name, locked, severity, np.random.default_rng(7), boxes) for _ in range(2))
    assert np.array_equal(first.photo, second.photo)
    assert np.array_equal(first.boxes, second.boxes)
    assert np.array_equal(first.kept, second.kept)
    assert not np.array_equal(first.photo, photo)
    assert first.photo.flags.writeable
    assert np.array_equal(photo, before[0])
    assert np.array_equal(boxes, before[1])


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_another_seed_another_photo(name: str, scene: tuple[np.ndarray, np.ndarray]):
    photos = [corrupt(name, scene[0], 3, np.random.default_rng(seed), scene[1]).photo for seed in (1, 2)]
    assert np.array_equal(*photos) == (name in SETTLED)


@pytest.mark.parametrize("name", CORRUPTIONS)
@settings(max_examples=25)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    severity=st.sampled_from(SEVERITIES),
    seed=st.integers(0, 2**32 - 1),
    look=st.sampled_from(("noise", "black", "white", "grey")),
    corners=st.lists(st.tuples(*[st.floats(0, 1)] * 4), max_size=5),
)
@example(height=1, width=1, severity=5, seed=0, look="noise", corners=[(0.0, 0.0, 1.0, 1.0)])
@example(height=7, width=5, severity=3, seed=0, look="black", corners=[(0.5, 0.5, 0.5, 0.5)])
@example(height=1, width=40, severity=2, seed=1, look="white", corners=[])
def test_any_photo_and_any_boxes(
    name: str, height: int, width: int, severity: int, seed: int, look: str, corners: list[tuple[float, ...]]
):
    value = {"black": 0, "white": 255, "grey": 114}
    photo = some_photo(height, width) if look == "noise" else np.full((height, width, 3), value[look], np.uint8)
    share = np.array(corners, np.float32).reshape(-1, 2, 2)
    low, high = share.min(axis=1), share.max(axis=1)
    boxes = np.concatenate([low, high], axis=1) * np.array([width, height] * 2, np.float32)
    result = corrupt(name, photo, severity, np.random.default_rng(seed), boxes)
    assert result.photo.shape == photo.shape
    assert result.photo.dtype == np.uint8
    assert result.boxes.shape == boxes.shape
    assert result.boxes.dtype == np.float32
    assert result.kept.shape == (len(boxes),)
    assert (result.boxes >= 0).all()
    assert (result.boxes <= np.array([width, height] * 2)).all()
    if name != "scale":
        assert np.array_equal(result.boxes, boxes)
        assert result.kept.all()


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_views_of_other_memory_orders(name: str):
    photo = some_photo(24, 30)
    for view in (photo[:, ::-1], photo[::2, ::3], np.asfortranarray(photo), photo[..., ::-1]):
        expected = corrupt(name, np.ascontiguousarray(view), 2, np.random.default_rng(0), [[2, 2, 9, 9]])
        assert np.array_equal(corrupt(name, view, 2, np.random.default_rng(0), [[2, 2, 9, 9]]).photo, expected.photo)


@pytest.mark.parametrize("name", RISING)
def test_farther_from_clean_with_every_severity(name: str, scene: tuple[np.ndarray, np.ndarray]):
    photo, boxes = scene
    distances = [
        np.mean([distance(corrupt(name, photo, s, np.random.default_rng(seed), boxes).photo, photo) for seed in (0, 1)])
        for s in SEVERITIES
    ]
    assert distances == sorted(distances)
    assert distances[0] > 0


@pytest.mark.shared
@pytest.mark.parametrize("name", RISING)
def test_farther_from_clean_with_every_severity_on_a_real_photo(name: str, shared_dir: Path):
    record = read_dataset(shared_dir / "alpaca", split="val")[3]
    photo = read_image(record.path)
    distances = [
        distance(corrupt(name, photo, s, np.random.default_rng(3), record.boxes).photo, photo) for s in (0, *SEVERITIES)
    ]
    assert distances == sorted(set(distances))


@pytest.mark.slow
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_photo_of_twelve_megapixels(name: str):
    photo = np.repeat(np.repeat(some_photo(300, 400), 10, axis=0), 10, axis=1)
    result = corrupt(name, photo, 5, np.random.default_rng(0), [[100, 100, 3000, 2500]])
    assert result.photo.shape == photo.shape


@pytest.mark.parametrize("severity", [-1, 6])
def test_unknown_severity(severity: int):
    with pytest.raises(ConfigError, match=r"severity .* 0 to 5"):
        corrupt("fog", some_photo(4, 4), severity, np.random.default_rng(0))


def test_unknown_name():
    with pytest.raises(ConfigError, match="'rain' is not known") as error:
        corrupt("rain", some_photo(4, 4), 1, np.random.default_rng(0))
    assert "gaussian_noise" in error.value.hint


@pytest.mark.parametrize(
    "photo", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8)]
)
def test_no_photo(photo: np.ndarray):
    with pytest.raises(ValueError, match="wanted \\(height, width, 3\\) of uint8"):
        corrupt("fog", photo, 1, np.random.default_rng(0))


def test_marks_to_ignore_must_match():
    with pytest.raises(ValueError, match="ignore: found shape"):
        corrupt("fog", some_photo(4, 4), 1, np.random.default_rng(0), [[0, 0, 1, 1]], np.zeros(2, np.bool_))
