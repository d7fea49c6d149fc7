"""``herder search`` from Python: trains with many settings and keeps those that did best on validation photos.

Each trial is a run folder, as ``herder train`` leaves it. Hopeless ones are given up early, stopped ones go on. The
best value was picked among many: it is too good, and the winner is to be measured on photos that no trial has seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from herder.api.run_photos import Photos
from herder.api.search_choices import PrunerName
from herder.api.search_space import SearchSpace, space_as_dict
from herder.api.search_study import FOLDER, WHY, begin_again, import_optuna, open_study, propose, reseed
from herder.api.training_run import run_training
from herder.errors import ConfigError, DataError
from herder.evaluation.prediction_store import file_sha256
from herder.files import write_atomic
from herder.training.config import TrainConfig, change
from herder.training.interfaces import DivergedError, Ending
from herder.training.tracking import RunFacts, StepFacts

if TYPE_CHECKING:
    import optuna

BEST_SETTINGS = "best.yaml"
"""The best trial's whole training config, for ``herder train --config``."""


@dataclass(frozen=True)
class SearchSettings:
    """How to search."""

    trials: int = 20
    """That the study shall have come to an end, over all processes and earlier runs."""
    pruner: PrunerName = PrunerName.MEDIAN
    seed: int = 0
    """Decides what is proposed; the training has its own."""
    storage: str = ""
    """URL of a database that several processes may share; "": a SQLite file in the search's folder."""
    study: str = "herder"
    """Name of the study in the database."""


@dataclass(frozen=True)
class Trial:
    """One training, or one for each fold."""

    number: int
    state: str
    """complete, pruned (given up), fail (stopped), running or waiting."""
    value: float | None
    """The metric; of one that was given up what it had reached."""
    values: Mapping[str, Any]
    """Its settings."""
    folder: str
    why: str = ""
    """Why it was given up, where that was not the pruner."""


@dataclass(frozen=True)
class SearchRun:
    """What a search has found so far."""

    trials: tuple[Trial, ...]
    best: Trial | None
    """None until a trial is complete."""
    config: TrainConfig
    """The best trial's settings; those that the search began from where there is none."""
    finished: bool
    """False after Ctrl-C."""
    facts: Mapping[str, Any]

    def as_dict(self, command: Sequence[str]) -> dict[str, Any]:
        """The content of ``search.json``; ``command`` are the words that started it."""
        return {
            "kind": "search",
            "version": 1,
            "herder_version": version("herder"),
            "command": list(command),
            **self.facts,
            "finished": self.finished,
            "best": None if self.best is None else self.best.number,
            "trials": [vars(trial) for trial in self.trials],
        }


def search_settings(
    parts: Sequence[Photos],
    config: TrainConfig,
    space: SearchSpace,
    out: Path,
    settings: SearchSettings | None = None,
    *,
    model: str | None = None,
    init: Path | None = None,
    on_trial: Callable[[Trial], None] = lambda trial: None,
    on_epoch: Callable[[int, int, float], None] = lambda trial, epoch, value: None,
) -> SearchRun:
    """Train with settings out of ``space``, the others as in ``config``, until the study has its number of trials.

    ``parts`` are the photos: one holdout, or one for each fold, whose mean counts. ``on_trial`` is told of each trial
    that ends, ``on_epoch`` of each evaluation: trial, epoch and metric. Writes ``best.yaml`` to ``out`` as soon as a
    trial is complete. Raises ConfigError and ResourceError as ``open_study`` does, and what ``run_training`` raises.
    """
    settings = settings or SearchSettings()
    if settings.trials < 1:
        raise ConfigError(f"trials: found {settings.trials}, wanted 1 or more", hint="20 is a start")
    states = import_optuna().trial.TrialState
    whole = config.as_dict()
    facts = {
        "photos": [[part.train.fingerprint(), part.validation.fingerprint()] for part in parts],
        "space": space_as_dict(space),
        "training": {name: whole[name] for name in whole if name not in ("device", "workers")},
        "model": model,
        "init": file_sha256(init) if init else None,
    }
    study = open_study(settings.storage, settings.study, out, facts, settings.pruner, config.epochs)
    ended = (states.COMPLETE, states.PRUNED)

    def objective(trial: optuna.Trial) -> float:
        reseed(trial, settings.seed)
        return _train(trial, parts, trial_config(config, propose(trial, space)), out, model, init, on_epoch)

    def after(study: optuna.Study, frozen: optuna.trial.FrozenTrial) -> None:
        _write_best(study, config, out)
        on_trial(_trial(frozen))
        if len(study.get_trials(deepcopy=False, states=ended)) >= settings.trials:
            study.stop()

    finished = True
    if len(study.get_trials(deepcopy=False, states=ended)) < settings.trials:
        try:
            study.optimize(objective, callbacks=[after])
        except KeyboardInterrupt:
            finished = False
    best = _write_best(study, config, out)
    trials = tuple(_trial(frozen) for frozen in study.get_trials(deepcopy=False))
    chosen = config if best is None else trial_config(config, best.values)
    return SearchRun(trials, best, chosen, finished, facts)


def trial_config(config: TrainConfig, values: Mapping[str, Any]) -> TrainConfig:
    """``config`` with a trial's settings. Where only ``lr_head`` is tried, ``lr_backbone`` keeps its ratio to it.

    >>> trial_config(TrainConfig(lr_backbone=0.25, lr_head=0.5), {"lr_head": 0.125}).lr_backbone
    0.0625
    """
    changed = change(config, values, source="search")
    if "lr_head" in values and "lr_backbone" not in values:
        changed = replace(changed, lr_backbone=config.lr_backbone * changed.lr_head / config.lr_head)
    return changed


class _Hopeless(BaseException):  # no error
    """Ends a training from within. Like asyncio.CancelledError no Exception: a tracker's exceptions are set aside."""


class _Watch:
    """A tracker that tells the trial of each evaluation, and ends the training where the pruner sees no hope."""

    def __init__(
        self,
        trial: optuna.Trial,
        metric: str,
        epochs: int,
        before: Sequence[float],
        on_epoch: Callable[[int, int, float], None],
    ) -> None:
        self.trial, self.metric, self.epochs, self.before, self.on_epoch = trial, metric, epochs, before, on_epoch

    def start(self, run: RunFacts) -> None:
        """Nothing."""

    def step(self, facts: StepFacts) -> None:
        """Nothing: steps are not evaluated."""

    def epoch(self, row: Mapping[str, float], *, best: Path | None) -> None:
        """Report the mean of this fold so far and of those before it: the folds' order is every trial's."""
        value = row.get(self.metric, math.nan)
        if math.isnan(value):
            return
        epoch = int(row["epoch"])
        self.on_epoch(self.trial.number, len(self.before) * self.epochs + epoch, value)
        mean = (sum(self.before) + value) / (len(self.before) + 1)
        self.trial.report(mean, len(self.before) * self.epochs + epoch)
        if self.trial.should_prune():
            raise _Hopeless

    def end(self, summary: str) -> None:
        """Nothing."""


def _train(
    trial: optuna.Trial,
    parts: Sequence[Photos],
    config: TrainConfig,
    out: Path,
    model: str | None,
    init: Path | None,
    on_epoch: Callable[[int, int, float], None],
) -> float:
    """The metric that these settings reach, as the mean over ``parts``."""
    pruned = import_optuna().TrialPruned
    folder = str(trial.user_attrs.get(FOLDER, f"trial-{trial.number}"))
    trial.set_user_attr(FOLDER, folder)
    values: list[float] = []
    for number, photos in enumerate(parts, start=1):
        place = out / folder if len(parts) == 1 else out / folder / f"fold-{number}"
        watch = _Watch(trial, config.metric, config.epochs, values, on_epoch)
        try:
            result = run_training(photos, model, init, config, place, resume=True, trackers=[watch], console=_quiet())
        except _Hopeless:
            raise pruned from None
        except DivergedError as error:
            trial.set_user_attr(WHY, error.message)
            raise pruned from None
        if result.ending is Ending.INTERRUPTED:
            begin_again(trial.study, trial)
            raise KeyboardInterrupt
        if config.metric not in result.metrics:
            raise DataError(
                f"{photos.source}: {config.metric} cannot be measured on {len(photos.validation)} validation photos",
                hint="they need labelled boxes; known metrics are mAP50, mAP50_95, F1, ...",
            )
        values.append(result.metrics[config.metric])
    return sum(values) / len(values)


def _trial(frozen: optuna.trial.FrozenTrial) -> Trial:
    reached = frozen.value
    if reached is None and frozen.intermediate_values:
        reached = frozen.intermediate_values[max(frozen.intermediate_values)]
    attributes = frozen.user_attrs
    state = frozen.state.name.lower()
    return Trial(
        frozen.number, state, reached, frozen.params, str(attributes.get(FOLDER, "")), str(attributes.get(WHY, ""))
    )


def _write_best(study: optuna.Study, config: TrainConfig, out: Path) -> Trial | None:
    """Write the best complete trial's settings, and return it; None where none is complete."""
    complete = study.get_trials(deepcopy=False, states=(import_optuna().trial.TrialState.COMPLETE,))
    if not complete:
        return None
    best = _trial(max(complete, key=lambda frozen: (frozen.value, -frozen.number)))
    tried = ", ".join(f"{name} {value!r}" for name, value in best.values.items())
    head = (
        f"# The best of {len(complete)} complete trials: {config.metric} {best.value:.4f}, trial {best.number}.\n"
        f"# Searched: {tried}.\n# herder train DATA --config {BEST_SETTINGS}\n"
    )
    text = head + yaml.safe_dump(trial_config(config, best.values).as_dict(), sort_keys=False)
    write_atomic(out / BEST_SETTINGS, text.encode())
    return best


def _quiet() -> Any:
    from rich.console import Console

    return Console(quiet=True)
