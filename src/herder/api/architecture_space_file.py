"""Which architectures a search looks at, narrowed or widened by a file with a table for each dimension::

    [width]
    choices = [0.5, 0.75, 1.0]

    [activation]
    choices = ["relu"]

What the file does not name stays as in ``herder.model.architecture_space.ArchitectureSpace``.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from herder.errors import ConfigError
from herder.model.architecture_space import ArchitectureSpace, check_choices
from herder.training.setting_values import read_settings


def read_architecture_space(path: Path | None, sizes: Sequence[int] = ()) -> ArchitectureSpace:
    """The space in the TOML file, the default one where ``path`` is None; ``sizes`` are its input sizes where given.

    Raises ConfigError naming the file and the dimension for an unknown one or values that no network can have.
    """
    space = ArchitectureSpace()
    changes = {} if path is None else _choices(path)
    if sizes:
        try:
            check_choices("input_size", tuple(sizes))
        except ConfigError as error:
            raise ConfigError(f"--sizes: {error.message}", hint=error.hint) from None
        changes["input_size"] = tuple(sizes)
    return replace(space, **changes)


def _choices(path: Path) -> dict[str, Any]:
    known = [f.name for f in fields(ArchitectureSpace)]
    found: dict[str, Any] = {}
    for name, table in read_settings(path).items():
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            raise ConfigError(f"{path}: {name}: no such dimension", hint=hint)
        if not isinstance(table, Mapping) or table.keys() != {"choices"} or not isinstance(table["choices"], list):
            raise ConfigError(
                f"{path}: {name}: found {table!r}, wanted a table with choices",
                hint=f"write [{name}], and choices = {list(getattr(ArchitectureSpace, name))} below",
            )
        found[name] = tuple(table["choices"])
        try:
            check_choices(name, found[name])
        except ConfigError as error:
            raise ConfigError(f"{path}: {error.message}", hint=error.hint) from None
    if not found:
        raise ConfigError(
            f"{path}: names no dimension", hint="write a table such as [width] with choices, or leave it out"
        )
    return found
