"""Architectures as files to read and change: what ``herder nas`` writes and ``herder train --model`` takes.

A TOML or JSON file with a table ``architecture``, whose fields are those of ``herder.spec.Architecture``, and the
``input_size`` that it was found at::

    input_size = 320

    [architecture]
    widths = [8, 16, 32, 64, 128]
    kernel = 5
"""

from __future__ import annotations

import difflib
import json
import tomllib
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from herder.errors import ConfigError
from herder.files import write_atomic
from herder.inference import STRIDE
from herder.spec import CHOICES, Architecture, ModelSpec

SUFFIXES = (".toml", ".json")

FOUND_LATER = ("channels", "quantization")
"""Fields that pruning and quantization-aware training set in model files; no architecture begins with them."""

_RANGES = {
    # Least and most of each whole number, or of each entry of a list of them.
    "widths": (2, 8192),
    "depths": (0, 128),
    "neck_depth": (0, 128),
    "neck_width": (0, 8192),
    "head_width": (1, 8192),
    "head_depth": (0, 64),
    "reg_max": (0, 256),
}


def is_architecture_file(name: str) -> bool:
    """Whether a model's name is the path of an architecture file.

    >>> is_architecture_file("runs/nas/trial-3.toml"), is_architecture_file("herder-n")
    (True, False)
    """
    return Path(name).suffix.lower() in SUFFIXES


def write_architecture(spec: ModelSpec, path: Path, *, comment: str = "") -> None:
    """Write architecture and input size of ``spec`` to ``path`` (.toml), under a comment of one or more lines.

    Raises ResourceError where it cannot be written.
    """
    values = {f.name: getattr(spec.architecture, f.name) for f in fields(Architecture) if f.name not in FOUND_LATER}
    lines = [*(f"# {line}" for line in comment.splitlines()), f"input_size = {spec.input_size}", "", "[architecture]"]
    # JSON's texts, numbers, booleans and lists of them are TOML's.
    lines += [f"{name} = {json.dumps(value)}" for name, value in values.items()]
    write_atomic(path, ("\n".join(lines) + "\n").encode())


def read_architecture(path: Path, base: Architecture) -> Architecture:
    """The architecture in the file, with the values of ``base`` where it names none.

    Raises ConfigError naming the file and the field for what is missing, unknown, of the wrong type or out of range.
    """
    values = _read(path).get("architecture")
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: holds no table architecture", hint="write [architecture] and its fields below")
    known = [f.name for f in fields(Architecture) if f.name not in FOUND_LATER]
    for name, value in values.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            raise ConfigError(f"{path}: architecture.{name}: no such field", hint=hint)
        values[name] = _checked(name, value, getattr(base, name), f"{path}: architecture.{name}")
    a = replace(base, **values)
    if a.reg_max == 1:
        raise ConfigError(f"{path}: architecture.reg_max: 1 bin has no distances", hint="use 16, or 0 for no bins")
    return a


def read_input_size(path: Path) -> int | None:
    """The input size in the file, None where it names none. Raises ConfigError where it is no multiple of 32."""
    size = _read(path).get("input_size")
    if size is None:
        return None
    if not isinstance(size, int) or isinstance(size, bool) or not STRIDE <= size <= 4096 or size % STRIDE:
        raise ConfigError(f"{path}: input_size: found {size!r}, wanted a multiple of {STRIDE}", hint="use 320, say")
    return size


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        values = tomllib.loads(text) if path.suffix.lower() == ".toml" else json.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})", hint="check the path") from None
    except ValueError as error:
        raise ConfigError(f"{path}: {error}", hint="an architecture file is TOML or JSON, by its name") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: holds {type(values).__name__}, wanted a table", hint="write [architecture]")
    unknown = sorted(values.keys() - {"architecture", "input_size"})
    if unknown:
        raise ConfigError(
            f"{path}: {unknown[0]}: no such entry", hint="an architecture file holds input_size and architecture"
        )
    return values


def _checked(name: str, value: object, like: object, where: str) -> Any:
    """``value`` as a field of this name has it, ``like`` being one."""
    if name in CHOICES:
        if isinstance(value, (int, str)) and not isinstance(value, bool) and value in CHOICES[name]:
            return value
        raise ConfigError(f"{where}: found {value!r}, wanted one of {list(CHOICES[name])}", hint="choose one of them")
    if isinstance(like, bool):
        if isinstance(value, bool):
            return value
        raise ConfigError(f"{where}: found {value!r}, wanted true or false", hint=f"such as {json.dumps(like)}")
    if isinstance(like, float):
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 1:
            return float(value)
        raise ConfigError(f"{where}: found {value!r}, wanted a small number above 0", hint=f"such as {like}")
    least, most = _RANGES[name]
    if isinstance(like, tuple):
        if isinstance(value, list) and len(value) == len(like) and all(_whole(n, least, most) for n in value):
            return tuple(value)
        raise ConfigError(
            f"{where}: found {value!r}, wanted {len(like)} whole numbers from {least} to {most}",
            hint=f"such as {list(like)}",
        )
    if _whole(value, least, most):
        return value
    raise ConfigError(f"{where}: found {value!r}, wanted a whole number from {least} to {most}", hint=f"such as {like}")


def _whole(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
