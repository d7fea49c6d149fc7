from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from herder.errors import ConfigError
from herder.model.losses import LossConfig
from herder.training.config import Precision, Schedule, TrainConfig, change, load_config


def test_toml_yaml_and_flags_in_order(tmp_path: Path) -> None:
    toml = tmp_path / "a.toml"
    toml.write_text('epochs = 7\nlr_head = 1\nschedule = "plateau"\n[loss]\nbox = 3\n[augmentation]\nmosaic = 0.25\n')
    config = load_config(toml, {"epochs": 9})
    assert (config.epochs, config.lr_head, config.schedule) == (9, 1.0, Schedule.PLATEAU)
    assert isinstance(config.lr_head, float)
    assert (config.loss.box, config.loss.cls, config.augmentation.mosaic) == (3.0, LossConfig().cls, 0.25)
    yaml = tmp_path / "a.yaml"
    # YAML reads 1e-3, without a dot, as text.
    yaml.write_text("lr_head: 1e-3\nbetas: [0.8, 0.99]\nprecision: bf16\naugmentation: light\nbalanced: true\n")
    config = load_config(yaml)
    assert (config.lr_head, config.betas, config.precision) == (0.001, (0.8, 0.99), Precision.BF16)
    assert config.balanced
    assert config.augmentation.mosaic == type(config.augmentation).light().mosaic


def test_flag_texts_are_parsed_by_the_type_of_the_setting() -> None:
    config = load_config(
        overrides={
            "epochs": "5",
            "compile": "yes",
            "betas": "0.5,0.6",
            "augmentation.mosaic": "0",
            "loss": {"dfl": "2"},
        }
    )
    assert (config.epochs, config.compile, config.betas) == (5, True, (0.5, 0.6))
    assert (config.augmentation.mosaic, config.loss.dfl) == (0.0, 2.0)


def test_nested_overrides_keep_their_neighbours() -> None:
    config = change(TrainConfig(), {"loss.box": 3, "loss.cls": 2}, source="")
    assert (config.loss.box, config.loss.cls) == (3.0, 2.0)


def test_settings_survive_json() -> None:
    config = load_config(
        overrides={"schedule": "flat_cosine", "augmentation": "none", "loss.varifocal": True, "lr_head": 1 / 3}
    )
    assert TrainConfig.from_dict(config.as_dict()) == config
    assert TrainConfig.from_dict(TrainConfig.fine_tuning().as_dict()) == TrainConfig.fine_tuning()


def test_empty_file_is_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("")
    assert load_config(tmp_path / "a.yaml") == TrainConfig()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epoch": 3}, "epoch: no such setting.*did you mean epochs"),
        ({"loss.boxx": 3}, "loss.boxx: no such setting.*did you mean loss.box"),
        ({"loss": {"cl": 3}}, "loss.cl: no such setting"),
        ({"augmentation.mosaik": 3}, "augmentation.mosaik: no such setting.*did you mean augmentation.mosaic"),
        ({"epochs.x": 3}, "epochs.x: epochs has no settings of its own"),
        ({"epochs": 0}, "epochs: found 0, wanted 1 to"),
        ({"epochs": -3}, "epochs: found -3"),
        ({"epochs": 2.5}, "epochs: found 2.5, wanted a whole number"),
        ({"epochs": "many"}, "epochs: found 'many', wanted a whole number"),
        ({"epochs": True}, "epochs: found True, wanted a whole number"),
        ({"epochs": None}, "epochs: found None, wanted a whole number"),
        ({"image_size": 100}, "image_size: 100 is not a multiple of 32.*use 96"),
        ({"image_size": 0}, "image_size: found 0"),
        ({"lr_head": -0.1}, "lr_head: found -0.1"),
        ({"lr_head": float("nan")}, "lr_head: found nan"),
        ({"lr_backbone": "inf"}, "lr_backbone: found inf"),
        ({"channels_last": 1}, "channels_last: found 1, wanted true or false"),
        ({"schedule": "step"}, "schedule: found 'step', wanted one of cosine, flat_cosine, plateau"),
        ({"betas": [0.9]}, "betas: found .*wanted 2 values"),
        ({"betas": [0.9, 1.0]}, "betas: found .*below 1"),
        ({"betas": 3}, "betas: found 3"),
        ({"augmentation": "heavy"}, "augmentation: found 'heavy', wanted one of full, light, none"),
        ({"augmentation.mosaic": 2}, "augmentation.mosaic"),
        ({"loss": 3}, "loss: found 3, wanted a table"),
        ({"loss.box": -1}, "loss.box: found -1"),
        ({"loss.assigner": "hungarian"}, "loss.assigner: found 'hungarian'"),
        ({"device": "gpu"}, "device: 'gpu' is not known"),
        ({"device": "cuda:x"}, "device: 'cuda:x'"),
    ],
)
def test_bad_settings_are_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"(?s)^{message}"):
        load_config(overrides=values)


def test_the_same_checks_hold_when_built_in_python() -> None:
    with pytest.raises(ConfigError, match="image_size"):
        TrainConfig(image_size=33)
    with pytest.raises(ConfigError, match="epochs"):
        TrainConfig(epochs=1.5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.toml", "epochs = ", "a.toml: "),
        ("a.yaml", "epochs: [", "a.yaml: "),
        ("a.yaml", "- 3", "a.yaml: holds list, wanted settings"),
        ("a.toml", "epochs = 0", "a.toml: epochs: found 0"),
        ("a.yaml", "epohcs: 3", "a.yaml: epohcs: no such setting"),
    ],
)
def test_broken_files_are_named(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_config(tmp_path / name)


def test_missing_and_binary_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"b\.toml: cannot be read"):
        load_config(tmp_path / "b.toml")
    (tmp_path / "c.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"c\.yaml"):
        load_config(tmp_path / "c.yaml")
