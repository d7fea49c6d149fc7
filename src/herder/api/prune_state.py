"""``prune.json``: what a pruning run was started with and how far it is, so that it goes on where it was stopped."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from herder.api.prune_settings import PruneSettings
from herder.api.run_photos import Photos
from herder.errors import ConfigError, ModelFileError
from herder.evaluation.prediction_store import file_sha256
from herder.files import write_atomic
from herder.training.checkpoint import MAY_CHANGE
from herder.training.config import TrainConfig

STATE = "prune.json"


@dataclass(frozen=True)
class StepDone:
    """A step whose model is in the run's folder."""

    step: int
    ratio: float
    """Share of the channels (of the weights) that is gone by now, as it was asked for."""
    parameters: int
    sparsity: float
    """Share of the convolutions' weights that are zero."""
    metrics: Mapping[str, float]
    """On the validation photos after the fine-tuning; empty without."""


class PruneState:
    """The state of the run in ``folder``; ``open`` makes it or finds it again."""

    def __init__(self, folder: Path, facts: dict[str, Any], done: Sequence[StepDone]) -> None:
        self.folder, self.facts, self.done = folder, facts, list(done)

    @classmethod
    def open(
        cls, folder: Path, model: Path, photos: Photos, settings: PruneSettings, config: TrainConfig, *, resume: bool
    ) -> PruneState:
        """The state to begin with, or with ``resume`` the one that was left.

        Raises ConfigError for a folder that is not empty, or whose run was started with something else; ModelFileError
        for a damaged prune.json.
        """
        own = {"model": str(model), "model_sha256": file_sha256(model), "photos": photos.train.fingerprint()}
        training = {k: v for k, v in config.as_dict().items() if k not in MAY_CHANGE} if settings.fine_tune else {}
        facts = own | {"settings": _plain(settings), "training": training}
        if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
            state = cls(folder, facts, ())
            state.write()
            return state
        if not resume:
            raise ConfigError(f"{folder}: is there already", hint="go on with it by --resume, or choose a new --out")
        path = folder / STATE
        try:
            saved = json.loads(path.read_text(encoding="utf-8"))
            done = [StepDone(**step) for step in saved["done"]]
            before = {name: saved[name] for name in facts}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelFileError(f"{path}: cannot be read ({error})", hint="choose a new --out") from None
        _check_same(before, facts, path)
        return cls(folder, facts, done)

    def add(self, step: StepDone) -> None:
        """Keep that a step is done; its model must be on the disk already."""
        self.done.append(step)
        self.write()

    def write(self, result: Mapping[str, Any] | None = None) -> None:
        """Write prune.json, with the result once there is one. Raises ResourceError where it cannot."""
        values = {**self.facts, "done": [asdict(step) for step in self.done], "result": result}
        write_atomic(self.folder / STATE, (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode())


def _plain(settings: PruneSettings) -> dict[str, Any]:
    values = asdict(settings)
    return {name: value.value if isinstance(value, Enum) else value for name, value in values.items()}


def _check_same(before: Mapping[str, Any], now: Mapping[str, Any], path: Path) -> None:
    """Raise ConfigError for the first fact in which two runs differ."""
    for name in ("settings", "training"):
        for key in sorted(before[name].keys() | now[name].keys()):
            old, new = before[name].get(key), now[name].get(key)
            if old != new:
                raise ConfigError(
                    f"{key}: the run of {path} has {old!r}, not {new!r}",
                    hint="resume with the same command, or choose a new --out",
                )
    for name, what in (("model_sha256", "model"), ("photos", "training photos or labels")):
        if before[name] != now[name]:
            raise ConfigError(
                f"{path}: the {what} changed since this run began",
                hint="resume with the same files, or choose a new --out",
            )
