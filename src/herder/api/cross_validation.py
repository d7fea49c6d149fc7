"""``herder crossval`` from Python: a detector trained for each fold, each measured on the photos that it did not see.

Every fold is a run folder of its own, as ``herder train`` leaves it. A fold that is done is not trained again; one that
was stopped in the middle goes on from its checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from herder.api.fold_files import FoldFacts, finished_fold, keep_finished, keep_folds, training_key
from herder.api.run_photos import Photos
from herder.api.training_run import run_training
from herder.boxes import IntArray
from herder.data.folds import Fold, FoldPlan, Strategy, make_folds
from herder.data.grouping import GAP, GroupBy, group_photos
from herder.data.quality import near_duplicate_groups
from herder.data.records import Dataset, Problem
from herder.detections import Detections
from herder.errors import ConfigError
from herder.evaluation.cross_validation import CrossValidation, FoldResult, known_metrics
from herder.evaluation.detector import log_problem
from herder.evaluation.pooled_folds import pool
from herder.evaluation.prediction_store import PredictionStore, file_sha256, predictions_of
from herder.inference import Detector
from herder.model.engine import TorchEngine
from herder.model.files import load_model
from herder.training.config import Schedule, TrainConfig
from herder.training.interfaces import Ending
from herder.training.run_state import BEST
from herder.training.tracking import Tracker

PREDICTIONS = "predictions"
"""The folder of what was found, in the folder of the cross-validation."""

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


@dataclass(frozen=True)
class CrossValidationSettings:
    """How photos are dealt out and what is measured."""

    strategies: tuple[Strategy, ...] = (Strategy.STRATIFIED,)
    folds: int = 5
    repeats: int = 1
    """Times that the photos are dealt out anew; time has one order, and no repeats."""
    seed: int = 0
    """Decides how photos are dealt out, and the bootstrap's draws; the training has its own."""
    near_duplicates: bool = True
    """Decode all photos first and keep those that are nearly the same in one fold."""
    group_by: tuple[GroupBy, ...] = ()
    """What photos that stay together have in common."""
    gap: timedelta = GAP
    """The pause after which a camera's next visit begins."""
    best_epoch: bool = False
    """Measure each fold's best epoch, which its own validation photos choose: too good by a little. The last if not."""
    draws: int = 1000
    """Of photos, for the intervals of all folds together."""


@dataclass(frozen=True, eq=False)
class CrossValidationRun:
    """What one run gave."""

    result: CrossValidation
    dataset: Dataset
    settings: CrossValidationSettings
    config: TrainConfig
    model: str
    """The name of the model that was trained."""
    init: Path | None
    reused: int
    """Folds that an earlier run had finished."""

    def as_dict(self, command: Sequence[str]) -> dict[str, Any]:
        """The content of ``crossval.json``; ``command`` are the words that started it."""
        s = self.settings
        start = {"path": self.init.name, "sha256": file_sha256(self.init)} if self.init else {"path": "", "sha256": ""}
        return {
            "kind": "crossval",
            "version": 1,
            "herder_version": version("herder"),
            "command": list(command),
            "model": {"name": self.model, **start},
            "data": {
                "name": self.dataset.root.name,
                "split": self.dataset.split,
                "fingerprint": self.dataset.fingerprint(),
                "photos": len(self.dataset),
            },
            "settings": {
                "strategies": [str(strategy) for strategy in s.strategies],
                "folds": s.folds,
                "repeats": s.repeats,
                "seed": s.seed,
                "near_duplicates": s.near_duplicates,
                "group_by": [str(by) for by in s.group_by],
                "best_epoch": s.best_epoch,
                "draws": s.draws,
                "training": self.config.as_dict(),
            },
            **self.result.as_dict(),
        }


def plan_folds(
    dataset: Dataset, settings: CrossValidationSettings, progress: Progress | None = None
) -> dict[Strategy, FoldPlan]:
    """The folds of each strategy. Raises ConfigError and DataError as ``make_folds`` does."""
    strategies = tuple(dict.fromkeys(settings.strategies))
    if not strategies:
        raise ConfigError("strategies: none given", hint=f"choose of {', '.join(Strategy)}")
    near: list[list[int]] = []
    if settings.near_duplicates:
        tell = None if progress is None else lambda done: progress("near duplicates", done, len(dataset))
        near = near_duplicate_groups(dataset, progress=tell)
    groups = [g for by in settings.group_by for g in group_photos(dataset, by, settings.gap).values()]
    return {
        strategy: make_folds(
            dataset,
            strategy,
            settings.folds,
            repeats=settings.repeats,
            seed=settings.seed,
            groups=groups,
            near_duplicates=near,
        )
        for strategy in strategies
    }


def fold_config(config: TrainConfig, best_epoch: bool) -> tuple[TrainConfig, str]:
    """The settings that each fold trains with, and a sentence on which epoch is measured.

    The last epoch's weights were chosen by nobody. The best epoch's were chosen on the very photos that they are
    measured on, which cannot be helped where the training itself looks at them: early stopping, and plateau.
    """
    looks = config.patience > 0 or config.schedule is Schedule.PLATEAU
    if best_epoch or looks:
        why = "" if best_epoch else ", since early stopping and plateau look at these photos"
        return config, f"each fold's best epoch on its validation photos is measured{why}: a little too good"
    return replace(config, evaluate_every=config.epochs), "each fold's last epoch is measured"


def cross_validate(
    source: Path,
    dataset: Dataset,
    config: TrainConfig,
    out: Path,
    settings: CrossValidationSettings | None = None,
    *,
    model: str | None = None,
    init: Path | None = None,
    resume: bool = False,
    trackers: Callable[[Fold], Sequence[Tracker]] | None = None,
    progress: Progress | None = None,
    say: Callable[[str], None] = lambda text: None,
    on_problem: Callable[[Problem], None] = log_problem,
) -> CrossValidationRun | None:
    """Train a detector for each fold of ``dataset`` and measure each on its own validation photos; None after Ctrl-C.

    ``source`` is where the photos are from, ``out`` a new folder, or with ``resume`` the one to go on with.
    ``trackers`` gives the observers of a fold's training (None: the terminal), ``say`` is told what comes next.
    Raises ConfigError and DataError where such folds cannot be made, or ``out`` holds another cross-validation, and
    what ``run_training`` raises.
    """
    settings = settings or CrossValidationSettings()
    config, measured = fold_config(config, settings.best_epoch)
    plans = plan_folds(dataset, settings, progress)
    notes = list(dict.fromkeys([*(note for plan in plans.values() for note in plan.notes), measured]))
    key = training_key(dataset, config, model, init)
    folds = [fold for plan in plans.values() for fold in plan.folds]
    keep_folds(out, dataset, folds, key, resume=resume)
    results: list[FoldResult] = []
    found: dict[Fold, tuple[list[int], list[Detections]]] = {}
    reused, name = 0, ""
    for number, fold in enumerate(folds, start=1):
        validation = dataset.select(fold.validation, "val")
        folder = out / fold.name
        facts = finished_fold(folder, key)
        if facts is None:
            say(f"fold {number} of {len(folds)}: {fold.name}, {len(fold.train)} photos to train on")
            photos = Photos(source, dataset.select(fold.train, "train"), validation)
            trained = run_training(
                photos, model, init, config, folder, resume=True, trackers=trackers(fold) if trackers else None
            )
            if trained.ending is Ending.INTERRUPTED:
                return None
            facts = FoldFacts(trained.best_epoch, trained.seconds, file_sha256(trained.best))
            keep_finished(folder, key, facts)
        else:
            reused += 1
        best = folder / BEST
        network = load_model(best)
        name = network.spec.name
        unread: set[Path] = set()

        def note(problem: Problem, unread: set[Path] = unread) -> None:
            unread.add(problem.path)
            on_problem(problem)

        metrics, detections = predictions_of(
            Detector(TorchEngine(network)),
            validation,
            PredictionStore(out / PREDICTIONS),
            facts.sha256,
            size=config.image_size,
            batch=config.batch_size,
            progress=None if progress is None else lambda done, total: progress("measuring", done, total),
            on_problem=note,
        )
        read = [i for i, record in enumerate(validation) if record.path not in unread]
        found[fold] = [fold.validation[i] for i in read], [detections[i] for i in read]
        results.append(
            FoldResult(
                str(fold.strategy),
                fold.repeat,
                fold.number,
                len(fold.train),
                len(read),
                metrics.truths,
                validation.fingerprint(),
                known_metrics(metrics),
                facts.epoch,
                facts.seconds,
                best.relative_to(out).as_posix(),
                facts.sha256,
            )
        )
    pooled = []
    for strategy, plan in plans.items():
        group_of = _group_of(plan, len(dataset))
        for repeat in dict.fromkeys(fold.repeat for fold in plan.folds):
            parts = [found[fold] for fold in plan.folds if fold.repeat == repeat]
            indices = [i for chosen, _ in parts for i in chosen]
            merged = [detections for _, part in parts for detections in part]
            whole = dataset.select(indices)
            pooled.append(
                pool(str(strategy), repeat, whole, merged, group_of[indices], draws=settings.draws, seed=settings.seed)
            )
    result = CrossValidation(tuple(results), tuple(pooled), tuple(notes))
    return CrossValidationRun(result, dataset, settings, config, name, init, reused)


def _group_of(plan: FoldPlan, photos: int) -> IntArray:
    """The number (P,) of each photo's group."""
    group_of = np.zeros(photos, np.int64)
    for number, members in enumerate(plan.groups):
        group_of[list(members)] = number
    return group_of
