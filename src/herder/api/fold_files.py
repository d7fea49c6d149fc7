"""What a cross-validation keeps beside its models, so that it can go on: which photos are in which fold, what is done.

``folds.json`` in its folder names the photos of every fold; ``fold.json`` in a fold's folder says that it is done.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from herder.data.folds import Fold
from herder.data.records import Dataset
from herder.errors import ConfigError, DataError
from herder.evaluation.json_entries import Entry, read_json
from herder.evaluation.prediction_store import file_sha256
from herder.files import write_atomic, writing
from herder.training.checkpoint import MAY_CHANGE
from herder.training.config import TrainConfig
from herder.training.run_state import BEST

FOLDS, DONE = "folds.json", "fold.json"


@dataclass(frozen=True)
class FoldFacts:
    """What is known of a fold once it is trained."""

    epoch: int
    """The epoch whose weights are in the model file."""
    seconds: float
    sha256: str
    """Of the model file."""


def training_key(dataset: Dataset, config: TrainConfig, model: str | None, init: Path | None) -> str:
    """SHA-256 in hex over what decides what comes out of a training besides the choice of photos."""
    fixed = {name: value for name, value in config.as_dict().items() if name not in MAY_CHANGE}
    start = file_sha256(init) if init else ""
    text = json.dumps([dataset.fingerprint(), fixed, model, start], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def keep_folds(out: Path, dataset: Dataset, folds: Sequence[Fold], key: str, *, resume: bool) -> None:
    """Write ``folds.json`` to ``out``; with ``resume`` check that what is there fits, and add what is new.

    Raises ConfigError where ``out`` holds anything and is not to be gone on with, or holds another cross-validation.
    """
    path = out / FOLDS
    rows = {fold.name: _row(dataset, fold) for fold in folds}
    with writing(out):
        begun = [file.name for file in out.iterdir()] if out.exists() else []
    if begun and not resume:
        raise ConfigError(f"{out}: the folder is not empty", hint="go on with --resume, or choose another folder")
    if path.exists():
        content = read_json(path)
        top = Entry(path, "", content)
        if top.field("key") != key:
            raise ConfigError(
                f"{out}: holds a cross-validation of other photos, settings or starting weights",
                hint="give what it was begun with, or choose another --out",
            )
        old = {row["name"]: row for row in _rows(top)}
        for name, row in rows.items():
            if name in old and old[name] != row:
                raise ConfigError(
                    f"{out}: its fold {name} holds other photos",
                    hint="give the number of folds, the seed and the grouping that it was begun with, or another --out",
                )
        rows = {**old, **rows}
    facts = {"kind": "folds", "version": 1, "herder_version": version("herder"), "key": key}
    write_atomic(path, json.dumps({**facts, "folds": list(rows.values())}, indent=1, ensure_ascii=False).encode())


def finished_fold(folder: Path, key: str) -> FoldFacts | None:
    """What a finished fold reached; None where it is not finished, or its model file is not the one it left."""
    path = folder / DONE
    if not path.exists() or not (folder / BEST).exists():
        return None
    entry = Entry(path, "", read_json(path))
    facts = FoldFacts(entry.whole("epoch"), entry.number("seconds"), entry.text("sha256"))
    return facts if entry.text("key") == key and facts.sha256 == file_sha256(folder / BEST) else None


def keep_finished(folder: Path, key: str, facts: FoldFacts) -> None:
    """Say in the fold's folder that it is done."""
    write_atomic(folder / DONE, json.dumps({"key": key, **asdict(facts)}, indent=2).encode())


def _row(dataset: Dataset, fold: Fold) -> dict[str, Any]:
    return {
        "name": fold.name,
        "strategy": str(fold.strategy),
        "repeat": fold.repeat,
        "fold": fold.number,
        "train": [_photo(dataset, i) for i in fold.train],
        "validation": [_photo(dataset, i) for i in fold.validation],
    }


def _photo(dataset: Dataset, index: int) -> str:
    """A photo's path from the dataset's folder on."""
    path = dataset[index].path
    return (path.relative_to(dataset.root) if path.is_relative_to(dataset.root) else path).as_posix()


def _rows(top: Entry) -> list[dict[str, Any]]:
    rows = top.field("folds")
    if not isinstance(rows, list) or not all(
        isinstance(row, dict) and isinstance(row.get("name"), str) for row in rows
    ):
        raise DataError(f"{top.path}: folds: wanted a list of objects with a name", hint="choose another --out")
    return rows
