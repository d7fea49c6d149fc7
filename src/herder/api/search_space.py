"""Which training settings a search tries, and which values: read from TOML, checked against the settings themselves.

A space file has one table for each setting, by its name in the training config::

    [lr_head]
    low = 1e-4
    high = 1e-2
    log = true

    [batch_size]
    choices = [8, 16]

    [loss.box]
    low = 2.0
    high = 10.0
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from herder.errors import ConfigError
from herder.training.config import TrainConfig, change
from herder.training.setting_values import read_settings

DEFAULTS = "defaults"
"""The word that stands for ``default_space``."""

FIXED = {
    "epochs": "trials are compared epoch by epoch",
    "seed": "a lucky seed is no better setting",
    "metric": "trials are compared by it",
    "evaluate_every": "trials are compared epoch by epoch",
    "checkpoint_every_steps": "it changes no result",
    "device": "it changes no result",
    "workers": "it changes no result",
    "paste_from": "it is a dataset",
}
"""Settings that a search may not change, and why."""


@dataclass(frozen=True)
class Range:
    """A number from ``low`` to ``high``, both in reach."""

    low: float
    high: float
    log: bool = False
    """Try each power of ten equally often."""
    step: float | None = None
    """Only ``low``, ``low + step``, ...; for whole numbers 1 if not given."""
    whole: bool = False


@dataclass(frozen=True)
class Choices:
    """One of these values."""

    values: tuple[str | int | float | bool, ...]


SearchSpace = Mapping[str, Range | Choices]
"""What is tried, by the dotted names of settings."""


def default_space(config: TrainConfig) -> SearchSpace:
    """What is worth trying first: rates around those of ``config``, and how strongly photos are changed."""
    rate = config.lr_head
    return {
        "lr_head": Range(rate / 5, min(rate * 5, 1.0), log=True),
        "weight_decay": Range(1e-3, 0.1, log=True),
        "warmup_epochs": Range(0.0, min(5.0, float(config.epochs))),
        "loss.box": Range(config.loss.box / 2, config.loss.box * 2, log=True),
        "augmentation.mosaic": Range(0.0, 1.0),
        "augmentation.scale": Range(0.1, 0.8),
        "augmentation.saturation": Range(0.0, 0.9),
        "augmentation.value": Range(0.0, 0.6),
    }


def read_space(space: str, config: TrainConfig) -> SearchSpace:
    """The space in the file ``space``, or ``default_space`` for the word ``defaults``.

    Raises ConfigError naming the file and the setting for one that does not exist or may not be tried, and for values
    that it cannot have.
    """
    if space == DEFAULTS:
        return default_space(config)
    tables = _tables(read_settings(Path(space)), space, "")
    if not tables:
        raise ConfigError(f"{space}: no setting to try", hint="write a table such as [lr_head] with low and high")
    return {name: _entry(name, table, config, space) for name, table in tables.items()}


def space_as_dict(space: SearchSpace) -> dict[str, dict[str, Any]]:
    """Plain values, for JSON and to compare two spaces."""
    return {
        name: {"choices": list(each.values)} if isinstance(each, Choices) else dict(vars(each))
        for name, each in space.items()
    }


def _tables(values: Mapping[str, Any], source: str, where: str) -> dict[str, Mapping[str, Any]]:
    """The tables of single settings by dotted names, from tables that may be nested."""
    found: dict[str, Mapping[str, Any]] = {}
    for key, value in values.items():
        name = f"{where}{key}"
        if not isinstance(value, Mapping):
            raise ConfigError(
                f"{source}: {name}: found {value!r}, wanted a table", hint="give low and high, or choices"
            )
        if not value or any(not isinstance(inner, Mapping) for inner in value.values()):
            found[name] = value
        else:
            found |= _tables(value, source, f"{name}.")
    return found


def _entry(name: str, table: Mapping[str, Any], config: TrainConfig, source: str) -> Range | Choices:
    if name in FIXED:
        raise ConfigError(f"{source}: {name} cannot be searched: {FIXED[name]}", hint="give it with --set")
    unknown = sorted(table.keys() - {"choices", "low", "high", "log", "step"})
    if unknown or not ({"low", "high"} <= table.keys()) ^ ("choices" in table) or {"low", "choices"} <= table.keys():
        found = ", ".join(table) or "nothing"
        raise ConfigError(
            f"{source}: {name}: found {found}, wanted low and high, or choices", hint="with low and high also log, step"
        )
    if "choices" in table:
        return _choices(name, table["choices"], config, source)
    # Checked by setting it: an unknown name, a wrong type and a value out of range are told as by `herder train`.
    ends = [_value(change(config, {name: table[end]}, source=f"{source}: {end}"), name) for end in ("low", "high")]
    low, high = ends
    if isinstance(low, bool) or not isinstance(low, (int, float)) or not isinstance(high, (int, float)):
        raise ConfigError(f"{source}: {name} is no number, and has no low and high", hint="give choices")
    log, step = table.get("log", False), table.get("step")
    if not isinstance(log, bool):
        raise ConfigError(f"{source}: {name}.log: found {log!r}, wanted true or false", hint="leave it out")
    if not low < high:
        raise ConfigError(f"{source}: {name}: low {low} is not below high {high}", hint="give low < high")
    if log and low <= 0:
        raise ConfigError(f"{source}: {name}: low {low} has no logarithm", hint="give a low above 0, or leave log out")
    whole = isinstance(low, int)
    if step is not None and (
        isinstance(step, bool)
        or not isinstance(step, (int, float))
        or not (math.isfinite(step) and 0 < step <= high - low)
        or (whole and not isinstance(step, int))
    ):
        kind = "a whole number" if whole else "a number"
        raise ConfigError(
            f"{source}: {name}.step: found {step!r}, wanted {kind} up to {high - low:g}", hint="or leave it out"
        )
    if log and step is not None:
        raise ConfigError(f"{source}: {name}: log and step do not go together", hint="leave one of them out")
    return Range(low, high, log, step, whole)


def _choices(name: str, values: Any, config: TrainConfig, source: str) -> Choices:
    if not isinstance(values, list) or len(values) < 2:
        raise ConfigError(
            f"{source}: {name}.choices: found {values!r}, wanted two values or more", hint="such as [8, 16]"
        )
    for value in values:
        if not isinstance(value, (str, int, float, bool)):
            raise ConfigError(
                f"{source}: {name}.choices: found {value!r}, wanted text, numbers, true or false",
                hint="such as [8, 16]",
            )
        change(config, {name: value}, source=f"{source}: choices")
    if len(set(map(repr, values))) < len(values):
        raise ConfigError(f"{source}: {name}.choices: {values} has a value twice", hint="name each once")
    return Choices(tuple(values))


def _value(config: TrainConfig, name: str) -> Any:
    """What the config has under a dotted name."""
    found: Any = config
    for part in name.split("."):
        found = getattr(found, part)
    return found
