"""Trains one architecture of a search for a few epochs or for more, and says what it reached."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from herder.api.run_photos import Photos
from herder.api.training_run import run_training
from herder.errors import ConfigError, DataError
from herder.training.config import TrainConfig
from herder.training.interfaces import Ending
from herder.training.run import find_run, read_run_settings
from herder.training.tracking import LOSSES, RunFacts, StepFacts, read_rows

NO_MATTER = ("device", "workers")
"""Settings that change no result."""

METRICS = "metrics.csv"
"""A run's log, a row an epoch."""

WARMUP_SHARE = 0.25
"""At most this part of a short training goes by while the learning rate rises."""


@dataclass(frozen=True)
class Reached:
    """What a training has come to."""

    accuracy: float
    """The metric on validation photos, of the best epoch."""
    loss: float
    """On training photos in the last epoch."""


@dataclass(frozen=True, eq=False)
class ShortTraining:
    """How all architectures are trained."""

    photos: Photos
    config: TrainConfig
    """Epochs and image size in it do not count."""
    on_epoch: Callable[[str, int, int, float], None] = lambda name, epoch, epochs, value: None
    """Told of each evaluation: name of the training, epoch, epochs in all, metric."""

    def train(self, architecture: Path, size: int, epochs: int, folder: Path) -> Reached:
        """What ``epochs`` of training at ``size`` pixels reach; a training that was stopped goes on.

        Raises KeyboardInterrupt where it is stopped now, ConfigError where ``folder`` holds another run, DataError
        where there is nothing to measure, and what ``run_training`` raises.
        """
        config = proxy_config(self.config, epochs, size)
        _check_run(folder, config)
        watch = _Watch(f"{folder.parent.name}/{folder.name}", epochs, config.metric, self.on_epoch)
        result = run_training(
            self.photos,
            str(architecture),
            None,
            config,
            folder,
            resume=True,
            trackers=[watch],
            console=Console(quiet=True),
        )
        if result.ending is Ending.INTERRUPTED:
            raise KeyboardInterrupt
        if config.metric not in result.metrics:
            raise DataError(
                f"{self.photos.source}: {config.metric} cannot be measured on {len(self.photos.validation)} photos",
                hint="they need labelled boxes; known metrics are mAP50, mAP50_95, F1, ...",
            )
        return Reached(result.metrics[config.metric], last_loss(folder))


def last_loss(folder: Path) -> float:
    """The training loss of a run's last epoch, the sum of its weighted terms.

    How fast the training loss falls tells architectures apart early (R. Ru et al., "Speedy performance estimation for
    neural architecture search", https://arxiv.org/abs/2006.04492), where validation still is noise. Raises DataError
    where the run has no epoch.
    """
    rows = read_rows(folder / METRICS)
    if not rows:
        raise DataError(f"{folder / METRICS}: holds no epoch", hint="delete the run folder, and search again")
    return sum(value for name, value in rows[-1].items() if name in LOSSES and not math.isnan(value))


def _check_run(folder: Path, config: TrainConfig) -> None:
    """Raise ConfigError where the run in ``folder`` has other settings: its result would be taken for this one's."""
    if find_run(folder) is None:
        return
    there, wanted = (
        {name: value for name, value in each.as_dict().items() if name not in NO_MATTER}
        for each in (read_run_settings(folder).config, config)
    )
    differ = ", ".join(sorted(name for name in wanted if there.get(name) != wanted[name]))
    if differ:
        raise ConfigError(f"{folder}: holds a run with other {differ}", hint="choose another --out")


def proxy_config(config: TrainConfig, epochs: int, size: int) -> TrainConfig:
    """``config`` for a training of ``epochs`` at ``size`` pixels, which ends on time and is evaluated at its end.

    >>> proxy_config(TrainConfig(), 4, 320).warmup_epochs
    1.0
    """
    return replace(
        config,
        epochs=epochs,
        image_size=size,
        warmup_epochs=min(config.warmup_epochs, epochs * WARMUP_SHARE),
        patience=0,
    )


class _Watch:
    """A tracker that hands each evaluation on."""

    def __init__(self, name: str, epochs: int, metric: str, on_epoch: Callable[[str, int, int, float], None]) -> None:
        self.name, self.epochs, self.metric, self.on_epoch = name, epochs, metric, on_epoch

    def start(self, run: RunFacts) -> None:
        """Nothing."""

    def step(self, facts: StepFacts) -> None:
        """Nothing: steps are not evaluated."""

    def epoch(self, row: Mapping[str, float], *, best: Path | None) -> None:
        """Hand the metric on where this epoch was evaluated."""
        if self.metric in row:
            self.on_epoch(self.name, int(row["epoch"]), self.epochs, row[self.metric])

    def end(self, summary: str) -> None:
        """Nothing."""
