"""What a report is made of: run folders, model files, and the results that commands left beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from herder.catalogue import resolve
from herder.errors import DataError
from herder.evaluation.json_entries import read_json
from herder.training.run import CONFIG, ENVIRONMENT
from herder.training.tracking import read_rows

BEST, METRICS = "best.safetensors", "metrics.csv"

MODELS = frozenset({".safetensors", ".onnx", ".xml"})

KINDS = ("comparison", "robustness", "crossval", "calibration", "cost")
"""Results that commands leave as ``<kind>.json``; in a report they stand in this order."""


@dataclass(frozen=True)
class SavedResult:
    """A JSON file that a command left."""

    kind: str
    path: Path
    content: Mapping[str, Any]

    @property
    def command(self) -> str:
        """The command that made it, "" where it is not known."""
        words = self.content.get("command")
        return " ".join(map(str, words)) if isinstance(words, list) else ""


@dataclass(frozen=True)
class LabRun:
    """One thing that a report is about."""

    name: str
    path: Path
    model: Path | None = None
    """The model to be measured, None for a folder of results alone."""
    data: str = ""
    """Where its training found the dataset."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The training's resolved settings."""
    environment: Mapping[str, Any] = field(default_factory=dict)
    epochs: Sequence[Mapping[str, float]] = ()
    """The rows of its training log."""
    results: tuple[SavedResult, ...] = ()


def find_run(path: Path) -> LabRun:
    """The run at ``path``: a run folder, a folder of results, a model file, or one result.

    Results are looked for in the folder and in the folders right below it. Raises DataError where there is nothing to
    report on, or a file of it is broken.
    """
    path = resolve(path)
    if path.is_file() and path.suffix in MODELS:
        return LabRun(path.stem, path, model=path)
    if path.is_file() and path.suffix == ".json":
        return LabRun(path.stem, path, results=(_result(path),))
    if not path.is_dir():
        raise DataError(f"{path}: no such run", hint="give a run folder, a folder of results, or a model file")
    found = [path / f"{kind}.json" for kind in KINDS]
    found += [file for kind in KINDS for file in sorted(path.glob(f"*/{kind}.json"))]
    results = tuple(_result(file) for file in found if file.is_file())
    model = path / BEST if (path / BEST).is_file() else None
    config, environment = _facts(path / CONFIG), _facts(path / ENVIRONMENT)
    rows = read_rows(path / METRICS)
    if model is None and not results and not rows:
        what = f"no {BEST}, no {METRICS} and no result ({', '.join(f'{kind}.json' for kind in KINDS)})"
        raise DataError(f"{path}: holds {what}", hint="give the folder of a run of `herder train`, say")
    return LabRun(
        path.resolve().name,
        path,
        model,
        str(config.get("data", "")),
        config.get("config", {}),
        environment,
        rows,
        results,
    )


def _result(path: Path) -> SavedResult:
    content = read_json(path)
    kind = content.get("kind") if isinstance(content, dict) else None
    if not isinstance(content, dict) or kind not in KINDS:
        raise DataError(f"{path}: kind: found {kind!r}, wanted one of {', '.join(KINDS)}", hint="leave it out")
    return SavedResult(str(kind), path, content)


def _facts(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error})", hint="copy the run folder again") from None
    if not isinstance(content, dict):
        raise DataError(f"{path}: holds {type(content).__name__}, wanted an object", hint="copy the run folder again")
    return content
