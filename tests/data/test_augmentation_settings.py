from dataclasses import fields, replace

import pytest

from herder.data.augmentation import AugmentationConfig
from herder.errors import ConfigError


@pytest.mark.parametrize("field", [field.name for field in fields(AugmentationConfig)])
@pytest.mark.parametrize("value", [-1, 1e9, float("nan"), "0.5", None, True])
def test_a_wrong_value_names_its_field(field, value):
    with pytest.raises(ConfigError, match=rf"augmentation\.{field}: ") as caught:
        AugmentationConfig(**{field: value})
    assert caught.value.hint


@pytest.mark.parametrize("field", ["cutout_holes", "paste_count"])
def test_counts_are_whole_numbers(field):
    with pytest.raises(ConfigError, match=field):
        AugmentationConfig(**{field: 2.5})


def test_from_mapping():
    assert AugmentationConfig.from_mapping({}) == AugmentationConfig()
    assert AugmentationConfig.from_mapping({"hue": 0, "mosaic": 1}) == AugmentationConfig(hue=0, mosaic=1)
    with pytest.raises(ConfigError, match=r"augmentation\.scales: no such setting") as caught:
        AugmentationConfig.from_mapping({"scales": 0.1})
    assert "scale" in caught.value.hint
    with pytest.raises(ConfigError, match="no such setting") as caught:
        AugmentationConfig.from_mapping({"qqq": 0.1})
    assert "mosaic" in caught.value.hint


def test_presets():
    assert AugmentationConfig().mosaic == 1.0
    assert AugmentationConfig().scale == 0.5
    assert AugmentationConfig.light().mosaic < 0.5
    assert AugmentationConfig.light().scale == 0.25
    none = AugmentationConfig.none()
    assert replace(none, scale=0.5) != none
    assert none.mosaic == none.flip_horizontal == none.hue == none.scale == none.translate == 0
