"""Settings as they come from files and flags, checked against dataclasses whose defaults say what each one is."""

from __future__ import annotations

import dataclasses
import difflib
import math
import tomllib
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import yaml

from herder.data.augmentation import AugmentationConfig
from herder.errors import ConfigError

PRESETS = {"full": AugmentationConfig, "light": AugmentationConfig.light, "none": AugmentationConfig.none}
"""Words that stand for a whole set of augmentations: ``augmentation = "light"``."""


def read_settings(path: Path) -> dict[str, Any]:
    """The settings in a TOML or YAML file. Raises ConfigError when it is missing, broken or not a table."""
    try:
        text = path.read_text(encoding="utf-8")
        values = tomllib.loads(text) if path.suffix.lower() == ".toml" else yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})", hint="check the path") from None
    except (tomllib.TOMLDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: {error}", hint="a config file is TOML (.toml) or YAML (.yaml, .json)") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: holds {type(values).__name__}, wanted settings", hint="write `epochs = 60`")
    return values


def changed(current: Any, values: Mapping[str, Any], where: str) -> Any:
    """A copy of the dataclass ``current`` with ``values``, which may hold dotted keys and nested tables."""
    known = {f.name: f for f in dataclasses.fields(current)}
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name, _, rest = str(key).partition(".")
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {where}{near[0]}?" if near else f"known are {', '.join(known)}"
            raise ConfigError(f"{where}{key}: no such setting", hint=hint)
        if rest and not dataclasses.is_dataclass(getattr(current, name)):
            raise ConfigError(f"{where}{key}: {where}{name} has no settings of its own", hint=f"set {where}{name}")
        before = flat.get(name, getattr(current, name))
        flat[name] = typed({rest: value} if rest else value, before, f"{where}{name}")
    try:
        return dataclasses.replace(current, **flat)
    except ValueError as error:
        raise ConfigError(f"{where.rstrip('.') or 'config'}: {error}", hint="see docs/training.md") from None


def default_of(f: dataclasses.Field[Any]) -> Any:
    """A field's default: its type and kind are the field's own."""
    return f.default if f.default_factory is dataclasses.MISSING else f.default_factory()


def typed(value: Any, like: Any, name: str) -> Any:
    """``value`` as the type of ``like``; text is parsed. Raises ConfigError naming the setting."""
    if dataclasses.is_dataclass(like):
        if isinstance(value, Mapping):
            return changed(like, value, f"{name}.")
        if isinstance(value, str) and isinstance(like, AugmentationConfig):
            if value not in PRESETS:
                raise ConfigError(
                    f"{name}: found {value!r}, wanted one of {', '.join(PRESETS)}", hint="or set its parts"
                )
            return PRESETS[value]()
        return _same_type(value, like, name)
    if isinstance(like, Enum):
        choices = {member.value: member for member in type(like)}
        chosen = value.value if isinstance(value, Enum) else value
        if chosen not in choices:
            raise ConfigError(
                f"{name}: found {chosen!r}, wanted one of {', '.join(choices)}", hint="choose one of them"
            )
        return choices[chosen]
    if isinstance(like, tuple):
        parts = value.strip("[]() ").split(",") if isinstance(value, str) else value
        if not isinstance(parts, (list, tuple)) or (like and len(parts) != len(like)):
            raise ConfigError(f"{name}: found {value!r}, wanted {len(like)} values", hint=f"such as {list(like)}")
        return tuple(typed(part, each, name) for part, each in zip(parts, like, strict=True)) if like else tuple(parts)
    if isinstance(value, str) and not isinstance(like, str):
        value = _parse(value)
    if isinstance(like, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{name}: found {value}, wanted a number", hint=f"such as {like}")
    return _same_type(value, like, name)


def _parse(text: str) -> Any:
    """A flag's text as the bool, int or float that it spells, else the text itself."""
    word = text.strip().lower()
    if word in ("true", "yes", "on", "false", "no", "off"):
        return word in ("true", "yes", "on")
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return text


def _same_type(value: Any, like: Any, name: str) -> Any:
    if type(value) is not type(like):
        kinds = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
        wanted = kinds.get(type(like), f"a table of {type(like).__name__}")
        raise ConfigError(f"{name}: found {value!r}, wanted {wanted}", hint=f"such as {like!r}")
    return value
