"""The classes of Open Images: their names, their ids such as ``/m/0pcr``, and what somebody may have meant."""

from __future__ import annotations

import csv
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from herder.data.formats.labels import SETTINGS_BYTES, read_text
from herder.errors import ConfigError, DataError

SUGGESTED = 3
"""Names to suggest for one that is not known."""


@dataclass(frozen=True)
class BoxClass:
    """A class that boxes are drawn for."""

    id: str
    """Such as ``/m/0pcr``: a machine id of the former Freebase."""
    name: str


def read_class_table(path: Path) -> tuple[BoxClass, ...]:
    """The classes from ``class-descriptions-boxable.csv``: lines of ``id,name`` without a header.

    Raises DataError naming the line that is no class, or when an id comes twice.
    """
    found: dict[str, BoxClass] = {}
    lines = read_text(path, SETTINGS_BYTES).splitlines()
    for number, fields in enumerate(csv.reader(lines), 1):
        if not fields or (number == 1 and fields[0] == "LabelName"):
            continue
        if len(fields) != 2 or not fields[0].startswith("/") or not fields[1].strip():
            raise DataError(
                f"{path}: line {number}: {','.join(fields)[:60]!r} is no class, wanted id,name such as /m/0pcr,Alpaca",
                hint="remove this file, so that it is fetched again",
            )
        if fields[0] in found:
            raise DataError(f"{path}: line {number}: the id {fields[0]} comes twice", hint="correct the table")
        found[fields[0]] = BoxClass(fields[0], fields[1].strip())
    if not found:
        raise DataError(f"{path}: holds no class", hint="remove this file, so that it is fetched again")
    return tuple(found.values())


def resolve_classes(names: Sequence[str], table: Sequence[BoxClass]) -> tuple[BoxClass, ...]:
    """The classes of these names (in any case) or ids, in the order asked for, each once.

    Raises ConfigError that names every unknown one, with what is near to it.

    >>> resolve_classes(["alpaca"], [BoxClass("/m/0pcr", "Alpaca")])
    (BoxClass(id='/m/0pcr', name='Alpaca'),)
    >>> resolve_classes(["Alpacca"], [BoxClass("/m/0pcr", "Alpaca")])
    Traceback (most recent call last):
    herder.errors.ConfigError: unknown class 'Alpacca' (did you mean Alpaca?)
      what to do: give names from the class list; those of several words in quotes, such as "Polar bear"
    """
    if not names:
        raise ConfigError("no class is asked for", hint="give names, such as --classes Alpaca")
    known = {_plain(entry.name): entry for entry in reversed(table)} | {entry.id: entry for entry in table}
    found: list[BoxClass] = []
    unknown: list[str] = []
    for name in names:
        entry = known.get(name.strip()) or known.get(_plain(name))
        if entry is None:
            near = suggestions(name, known)
            unknown.append(f"{name!r}" + (f" (did you mean {' or '.join(near)}?)" if near else ""))
        else:
            found.append(entry)
    if unknown:
        raise ConfigError(
            f"unknown class {', '.join(unknown)}",
            hint='give names from the class list; those of several words in quotes, such as "Polar bear"',
        )
    return tuple(dict.fromkeys(found))


def suggestions(name: str, known: Mapping[str, BoxClass]) -> list[str]:
    """Names near to one that is not known, the nearest first: spelt alike, or with a word in common."""
    plain = _plain(name)
    names = {key: entry.name for key, entry in known.items() if not key.startswith("/")}
    alike = difflib.get_close_matches(plain, names, n=SUGGESTED, cutoff=0.7)
    words = set(plain.split())
    sharing = [key for key in names if words & set(key.split())]
    return [names[key] for key in dict.fromkeys([*alike, *sorted(sharing)])][:SUGGESTED]


def _plain(name: str) -> str:
    """A name as it is compared: without case, and with single blanks between its words."""
    return " ".join(name.replace("_", " ").split()).casefold()
