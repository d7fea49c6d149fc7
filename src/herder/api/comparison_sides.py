"""What one side of a comparison is: a model file, a run folder, several seeds or folds, or files of predictions.

A side is written as a path, or as several with commas between them. Runs of one side stand for one way of training; two
runs that have the same seed or the same fold on both sides are a pair.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any

from herder.catalogue import resolve
from herder.errors import ConfigError, DataError
from herder.evaluation.comparison.result import METRICS
from herder.evaluation.json_entries import Entry, read_json
from herder.model.files import read_spec

BEST = "best.safetensors"
"""The model of a run folder."""

CROSSVAL = "crossval.json"
"""What a cross-validation writes into its folder."""

MODEL_SUFFIXES = frozenset({".safetensors", ".onnx", ".xml"})


class Source(Enum):
    """Where the numbers of a member come from."""

    MODEL = "model"
    """A model file, that can be run on photos."""
    PREDICTIONS = "predictions"
    """A file of detections, to be measured against a file of labels."""
    RECORD = "record"
    """A fold of a cross-validation whose numbers were written down."""


@dataclass(frozen=True)
class Member:
    """One model, one run or one file of predictions of a side."""

    path: Path
    name: str
    """How tables call it: the run folder's name, or the file's."""
    source: Source
    pair: str = ""
    """What it shares with its counterpart on the other side, such as ``seed 0``; empty where nothing is known."""
    recorded: Mapping[str, float] = field(default_factory=dict)
    """Metrics that were written down when it was made."""
    photos: str = ""
    """Fingerprint of the photos that ``recorded`` was measured on."""
    settings: str = ""
    """What it was trained with, apart from the seed; empty where that is not known."""
    validated: float = 0.0
    """Of a fold: photos validated on for each photo trained on."""


@dataclass(frozen=True)
class Side:
    """What stands on one side of a comparison."""

    name: str
    members: tuple[Member, ...]

    @property
    def source(self) -> Source:
        """Where all members' numbers come from."""
        return self.members[0].source


def read_side(text: str) -> Side:
    """Find out what ``text`` names: one path, or several with commas.

    Raises ConfigError for what is none of the things that can be compared, or for several that do not go together.
    """
    parts = [resolve(part.strip()) for part in text.split(",") if part.strip()]
    if not parts:
        raise ConfigError("compare: a side is empty", hint="name a model file, a run folder or a file of predictions")
    members = [member for part in parts for member in _members(part)]
    paths = [member.path.resolve() for member in members]
    if len(set(paths)) < len(paths) and members[0].source is not Source.RECORD:
        twice = next(m for m, path in zip(members, paths, strict=True) if paths.count(path) > 1)
        raise ConfigError(f"{twice.path}: comes twice on one side", hint="name each model once")
    if len({member.source for member in members}) > 1:
        raise ConfigError(f"{text}: models and predictions on one side", hint="give a side models or predictions alone")
    name = parts[0].name or str(parts[0]) if len(parts) == 1 else ", ".join(member.name for member in members)
    return Side(members[0].name if len(members) == 1 else name, tuple(_with_own_names(members)))


def pair_up(a: Side, b: Side) -> tuple[Side, str]:
    """``b`` with its members in the order of ``a``'s, and what the two are paired by; as it is, and "", where they
    are no pairs.

    >>> one = Side("a", tuple(Member(Path(n), n, Source.MODEL, f"seed {n}") for n in "01"))
    >>> two, by = pair_up(one, replace(one, members=one.members[::-1]))
    >>> [member.name for member in two.members], by
    (['0', '1'], 'seed')
    """
    keys = [[member.pair for member in side.members] for side in (a, b)]
    known = all(len(set(side)) == len(side) > 1 and all(side) for side in keys)
    if not known or set(keys[0]) != set(keys[1]):
        return b, ""
    by_key = {member.pair: member for member in b.members}
    return replace(b, members=tuple(by_key[key] for key in keys[0])), keys[0][0].split()[0]


def different_settings(side: Side) -> str:
    """A sentence where the runs of a side were not trained alike; empty where they were, or where nothing is known."""
    known = [member for member in side.members if member.settings]
    for other in known[1:]:
        if other.settings != known[0].settings:
            first, second = (_flat(json.loads(member.settings)) for member in (known[0], other))
            differ = sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))
            listed = ", ".join(differ[:5])
            return f"{known[0].name} and {other.name} were trained with different settings ({listed})"
    return ""


def _members(path: Path) -> list[Member]:
    if path.suffix in MODEL_SUFFIXES and not path.is_dir():
        own_run = path.name == BEST and (path.parent / "config.json").exists()
        return [_run(path.parent) if own_run else Member(path, path.stem, Source.MODEL)]
    if path.suffix == ".json" and not path.is_dir():
        return [Member(path, path.stem, Source.PREDICTIONS)]
    if not path.exists():
        raise ConfigError(f"{path}: no such file or folder", hint="check the path, or train a model first")
    if not path.is_dir():
        raise ConfigError(
            f"{path}: is no model and no predictions",
            hint="wanted .safetensors, .onnx or .xml, a run folder, or a .json file of detections with --truth",
        )
    if (path / BEST).exists():
        return [_run(path)]
    if (path / CROSSVAL).exists():
        return _folds(path)
    runs = sorted((folder for folder in path.iterdir() if (folder / BEST).exists()), key=lambda f: _natural(f.name))
    if not runs:
        raise ConfigError(
            f"{path}: holds no {BEST}, and no folder in it does", hint="name a run folder, or a folder of run folders"
        )
    side = Side(path.name, tuple(_run(run) for run in runs))
    differ = different_settings(side)
    if differ:
        raise ConfigError(f"{path}: {differ}", hint="name the runs of one side one by one, with commas between them")
    return list(side.members)


def _run(folder: Path) -> Member:
    """A run folder: its best model, the seed and settings it was trained with, and what it reached."""
    path = folder / BEST
    seed, settings = "", ""
    config = _json_object(folder / "config.json")
    if isinstance(config.get("config"), dict):
        values = dict(config["config"])
        if isinstance(values.get("seed"), int):
            seed = f"seed {values.pop('seed')}"
        settings = json.dumps({"model": config.get("model"), **values}, sort_keys=True)
    data = _json_object(folder / "dataset.json").get("validation")
    photos = str(data.get("fingerprint", "")) if isinstance(data, dict) else ""
    return Member(path, folder.resolve().name, Source.MODEL, seed, dict(read_spec(path).metrics), photos, settings)


def _folds(folder: Path) -> list[Member]:
    """The folds of a cross-validation, by what was written down: each was measured on photos of its own.

    Folds of two cross-validations are pairs where number and photos are the same.
    """
    path = folder / CROSSVAL
    rows = _json_object(path).get("folds")
    if not isinstance(rows, list) or not rows:
        raise DataError(f"{path}: folds: wanted a list", hint="run `herder crossval` again")
    members = []
    for index, row in enumerate(rows):
        entry = Entry(path, f"folds[{index}]", row)
        metrics = Entry(path, f"folds[{index}].metrics", entry.field("metrics"))
        recorded = {name: metrics.number(name) for name in METRICS if metrics.row.get(name) is not None}
        name = f"{entry.text('strategy')} {entry.whole('repeat')}.{entry.whole('fold')}"
        photos = entry.text("fingerprint")
        ratio = entry.number("photos") / max(entry.number("trained"), 1)
        title = f"{folder.resolve().name} {name}"
        members.append(Member(path, title, Source.RECORD, f"fold {name} {photos}", recorded, photos, validated=ratio))
    return members


def _json_object(path: Path) -> dict[str, Any]:
    """The object in a file of a run folder; nothing where there is no such file. Raises DataError for another file."""
    if not path.exists():
        return {}
    data = read_json(path)
    if not isinstance(data, dict):
        raise DataError(f"{path}: wanted an object", hint="copy the run folder again")
    return data


def _with_own_names(members: Sequence[Member]) -> list[Member]:
    """Members of one name get their folder's name before it, so that a table tells them apart."""
    names = [member.name for member in members]
    return [replace(m, name=f"{m.path.parent.name}/{m.path.name}") if names.count(m.name) > 1 else m for m in members]


def _natural(name: str) -> list[tuple[int, str]]:
    """Sorts run-10 after run-9."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]


def _flat(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Nested settings under names such as ``loss.box``."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= _flat(value, f"{before}{key}.") if isinstance(value, dict) else {f"{before}{key}": value}
    return found
