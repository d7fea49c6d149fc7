"""Settings: what has no meaning is refused by name, and what is written is read back the same."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from herder.errors import ConfigError
from herder.generative.diffusion_config import DiffusionConfig, DiffusionSpec, NumberFormat
from herder.generative.diffusion_steps import Objective
from herder.generative.noise_schedule import ScheduleName


@pytest.mark.parametrize(
    ("name", "value"),
    [("dim", 7), ("dim", 2), ("dim", 16.0), ("dim_mults", ()), ("dim_mults", (1, 0)), ("dim_mults", (1.5,)),
     ("dim_mults", 2), ("timesteps", 1), ("schedule", "steep"), ("objective", "pred_v"), ("min_snr_gamma", -1),
     ("condition_dropout", 1.1), ("steps", 0), ("steps", True), ("batch_size", 0), ("flip", "yes"),
     ("optimizer", "sgd"),
     ("learning_rate", 0), ("learning_rate", float("nan")), ("learning_rate", "fast"), ("warmup_steps", -1),
     ("weight_decay", -0.1), ("clip_norm", -1), ("ema_decay", 1), ("number_format", "int8"), ("checkpoint_every", -1),
     ("snapshot_every", -1), ("device", 0), ("seed", -1)],
)  # fmt: skip
def test_a_setting_without_meaning_is_named(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"^{name}: found .*, wanted "):
        DiffusionConfig(**{name: value})


def test_texts_stand_for_choices() -> None:
    config = DiffusionConfig(schedule="linear", objective="pred_x_start", number_format="bf16", dim_mults=[1, 2, 4])
    assert config.schedule is ScheduleName.LINEAR
    assert config.objective is Objective.PRED_X_START
    assert config.number_format is NumberFormat.BF16
    assert config.dim_mults == (1, 2, 4)
    assert DiffusionConfig(**json.loads(json.dumps(config.as_dict()))) == config


def test_learning_rate_rises_in_a_line_and_falls_along_a_cosine() -> None:
    config = DiffusionConfig(steps=100, learning_rate=0.1, warmup_steps=10)
    assert config.learning_rate_at(0) == pytest.approx(0.01)
    assert config.learning_rate_at(50) == pytest.approx(0.05)
    assert config.learning_rate_at(75) == pytest.approx(0.1 * (1 + math.cos(0.75 * math.pi)) / 2)
    assert config.learning_rate_at(99) < 1e-4
    assert DiffusionConfig(steps=100, learning_rate=0.1, warmup_steps=0).learning_rate_at(0) == 0.1


SPEC = DiffusionSpec(8, (1, 2), 3, 9, 12, 20, ScheduleName.COSINE, Objective.PRED_NOISE, ("cat", "dog"), True)


def test_spec_comes_back_from_json() -> None:
    assert DiffusionSpec.from_dict(json.loads(json.dumps(SPEC.as_dict()))) == SPEC


@pytest.mark.parametrize(
    ("name", "value"),
    [("dim", 0), ("dim", "8"), ("dim", True), ("dim_mults", [0]), ("dim_mults", 3), ("dim_mults", []), ("channels", -1),
     ("height", 10**9), ("timesteps", 2.5), ("schedule", "steep"), ("objective", None), ("class_names", "cat"),
     ("class_names", [1]), ("knows_none", 1)],
)  # fmt: skip
def test_spec_refuses_facts_without_meaning(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        DiffusionSpec.from_dict(json.loads(json.dumps(SPEC.as_dict() | {name: value})))


def test_spec_refuses_missing_and_unknown_facts() -> None:
    facts = SPEC.as_dict()
    with pytest.raises(ValueError, match="colour"):
        DiffusionSpec.from_dict(facts | {"colour": "red"})
    facts.pop("dim")
    with pytest.raises(ValueError, match="dim"):
        DiffusionSpec.from_dict(facts)
