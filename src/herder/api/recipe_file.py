"""Recipes as they stand in a TOML file: what goes in, and the herder commands that make a model of it, one by one.

```toml
recipe_version = 1
title = "An alpaca detector"

[inputs.photos]
about = "the labelled photos"
sha256 = "…"                     # optional: what the recipe was written with

[[steps]]
name = "train-{seed}"
each = { seed = [0, 1, 2] }      # optional: one step for each value
run = ["train", "{photos}", "--out", "{out}/train-{seed}", "--set", "seed={seed}"]
makes = ["train-{seed}/last.safetensors"]
resume = ["--resume"]            # optional: added where the step was begun before and did not end
```
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path, PurePosixPath
from typing import Any

from herder.errors import ConfigError
from herder.training.setting_values import read_settings

RECIPE_VERSION = 1
"""Raised when a reader of the old version would misread the new one."""

OUT = "out"
"""The placeholder of the folder that everything is made in."""

MOST_STEPS = 1000

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_STEP = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True)
class Input:
    """A file or folder that whoever runs the recipe names."""

    about: str = ""
    sha256: str = ""
    """Of what the recipe was written with (``recipe_digest.path_digest``); empty: any will do."""


@dataclass(frozen=True)
class Step:
    """One herder command. Texts may hold the placeholders of inputs, and ``{out}``."""

    name: str
    run: tuple[str, ...]
    """The command after ``herder``."""
    makes: tuple[str, ...]
    """Files in the output folder that are there afterwards."""
    resume: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recipe:
    """A whole recipe, its steps in order."""

    title: str
    inputs: dict[str, Input]
    steps: tuple[Step, ...]


def filled(text: str, values: Mapping[str, object]) -> str:
    """``text`` with ``{name}`` replaced where ``values`` has it; other placeholders stay.

    >>> filled("{out}/run-{seed}", {"seed": 3})
    '{out}/run-3'
    """
    return _PLACEHOLDER.sub(lambda found: str(values.get(found[1], found[0])), text)


def read_recipe(path: Path) -> Recipe:
    """The recipe in a TOML (or YAML) file. Raises ConfigError that names the field for whatever is wrong in it."""
    content = read_settings(path)
    version = content.pop("recipe_version", None)
    if version != RECIPE_VERSION:
        raise ConfigError(
            f"{path}: recipe_version: found {version!r}, this herder reads {RECIPE_VERSION}",
            hint=f"write recipe_version = {RECIPE_VERSION} above all else",
        )
    _only(content, ("title", "inputs", "steps"), str(path))
    inputs = {name: _input(name, entry, f"{path}: inputs.{name}") for name, entry in _table(content, "inputs", path)}
    listed = content.get("steps")
    if not isinstance(listed, list) or not listed:
        raise ConfigError(f"{path}: steps: wanted at least one [[steps]]", hint="see docs/recipes.md")
    steps = tuple(step for i, entry in enumerate(listed) for step in _steps(entry, f"{path}: steps[{i}]"))
    if len(steps) > MOST_STEPS:
        raise ConfigError(f"{path}: {len(steps)} steps, at most {MOST_STEPS} are run", hint="split the recipe")
    names = [step.name for step in steps]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{path}: two steps are called {name!r}", hint="give each step a name of its own")
    for step in steps:
        _check_placeholders(step, inputs, path)
    title = _typed(content.get("title", path.stem), str, f"{path}: title")
    return Recipe(title, inputs, steps)


def _input(name: str, entry: object, where: str) -> Input:
    if not _NAME.fullmatch(name) or name == OUT:
        raise ConfigError(f"{where}: {name!r} is no name of an input", hint="use small letters, digits and _; not out")
    table = _typed(entry, dict, where)
    _only(table, [f.name for f in dataclasses.fields(Input)], where)
    return Input(**{key: _typed(value, str, f"{where}.{key}") for key, value in table.items()})


def _steps(entry: object, where: str) -> list[Step]:
    table = _typed(entry, dict, where)
    _only(table, ("name", "each", "run", "makes", "resume"), where)
    name = _typed(table.get("name"), str, f"{where}.name")
    run, makes = (_texts(table.get(key), f"{where}.{key}") for key in ("run", "makes"))
    resume = _texts(table.get("resume", []), f"{where}.resume")
    if not run or not makes:
        raise ConfigError(f"{where}: run and makes must not be empty", hint='write makes = ["the file it makes"]')
    if run[0].startswith(("-", "{")) or run[0] == "recipe":
        raise ConfigError(f"{where}.run: {run[0]!r} is no command of herder's", hint='write run = ["train", …]')
    for made in makes:
        if PurePosixPath(made).is_absolute() or ".." in PurePosixPath(made).parts:
            raise ConfigError(f"{where}.makes: {made!r} leaves the output folder", hint="name a path inside it")
    each = _typed(table.get("each", {}), dict, f"{where}.each")
    for key, values in each.items():
        _typed(values, list, f"{where}.each.{key}")
    named = [dict(zip(each, values, strict=True)) for values in product(*each.values())]
    return [Step(filled(name, v), *(tuple(filled(text, v) for text in texts) for texts in (run, makes, resume)))
            for v in named]  # fmt: skip


def _check_placeholders(step: Step, inputs: Mapping[str, Input], path: Path) -> None:
    for text in (step.name, *step.makes):
        if found := _PLACEHOLDER.search(text):
            raise ConfigError(
                f"{path}: {step.name}: {found[0]} in a name or in makes", hint="only what `each` names is known there"
            )
    if not _STEP.fullmatch(step.name):
        raise ConfigError(f"{path}: {step.name!r} is no name of a step", hint="use letters, digits, dots, _ and -")
    for text in (*step.run, *step.resume):
        for found in _PLACEHOLDER.findall(text):
            if found != OUT and found not in inputs:
                known = ", ".join(f"{{{name}}}" for name in (OUT, *inputs))
                raise ConfigError(f"{path}: {step.name}: {{{found}}} is not known", hint=f"known are {known}")


def _texts(value: object, where: str) -> tuple[str, ...]:
    return tuple(_typed(text, str, f"{where}[{i}]") for i, text in enumerate(_typed(value, list, where)))


def _table(content: Mapping[str, Any], name: str, path: Path) -> list[tuple[str, object]]:
    return list(_typed(content.get(name, {}), dict, f"{path}: {name}").items())


def _only(table: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    for key in table:
        if key not in known:
            raise ConfigError(f"{where}: {key!r} is not known", hint=f"known are {', '.join(known)}")


def _typed(value: Any, kind: type, where: str) -> Any:
    if not isinstance(value, kind):
        names: dict[type, str] = {str: "text", list: "a list", dict: "a table"}
        raise ConfigError(f"{where}: found {value!r:.60}, wanted {names[kind]}", hint="see docs/recipes.md")
    return value
