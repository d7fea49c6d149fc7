"""``herder robustness`` from Python: a model on clean photos and on every corruption, in several processes.

Each process holds its own engine and its share of the cores. A finished cell is a file in the output folder, so that a
run that was stopped goes on where it was: the same call again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from herder.api.cell_workers import CellWork, run_cells
from herder.data.records import Dataset, Problem
from herder.detections import Detections
from herder.edge.threads import physical_cores
from herder.errors import ConfigError
from herder.evaluation.detector import log_problem, photos_read
from herder.evaluation.prediction_store import PredictionStore, file_sha256, prediction_key, predictions_of
from herder.evaluation.robustness.cells import cells_digest, chosen_cells, clean_result, read_cell
from herder.evaluation.robustness.result import Robustness
from herder.evaluation.robustness.slices import SliceResult, measure_slices
from herder.inference import Detector

PREDICTIONS, CELLS = "predictions", "cells"
"""Folders in the output folder: what was found on clean photos, and the finished cells."""


@dataclass(frozen=True)
class RobustnessSettings:
    """How a model is put to the test."""

    corruptions: tuple[str, ...] = ()
    """Names out of ``herder.evaluation.corruptions.CORRUPTIONS``; empty: all."""
    severities: tuple[int, ...] = ()
    """From 1 to 5; empty: all."""
    seed: int = 0
    """Decides every random thing in the corruptions."""
    size: int | None = None
    """Longest side in pixels that the network sees; None: the model's own."""
    batch: int = 8
    """Photos at a time."""
    engine: str = "auto"
    """As ``herder.load`` has it."""
    workers: int | None = None
    """Processes, which share the cores; None: one for each physical core. The result does not depend on them."""


@dataclass(frozen=True, eq=False)
class RobustnessRun:
    """What one run gave."""

    result: Robustness
    slices: tuple[SliceResult, ...]
    dataset: Dataset
    """The photos that are in the numbers."""
    detections: tuple[Detections, ...]
    """On the clean photos, in the same order."""
    detector: Detector
    model_sha256: str
    settings: RobustnessSettings
    reused: int
    """Cells that an earlier run had finished."""

    def as_dict(self, model: Path, command: Sequence[str]) -> dict[str, Any]:
        """The content of ``robustness.json``; ``command`` are the words that started it."""
        chosen = {name: getattr(self.settings, name) for name in ("seed", "size", "engine")}
        return {
            "kind": "robustness",
            "version": 1,
            "herder_version": version("herder"),
            "command": list(command),
            "model": {"name": self.detector.spec.name, "path": model.name, "sha256": self.model_sha256},
            "data": {
                "name": self.dataset.root.name,
                "split": self.dataset.split,
                "fingerprint": self.dataset.fingerprint(),
                "photos": len(self.dataset),
            },
            "settings": {**chosen, "severities": list(self.result.severities)},
            **self.result.as_dict(),
            "slices": [part.as_dict() for part in self.slices],
        }


def measure_robustness(
    model: Path,
    dataset: Dataset,
    out: Path,
    settings: RobustnessSettings | None = None,
    *,
    progress: Callable[[str, int, int], None] | None = None,
    on_problem: Callable[[Problem], None] = log_problem,
) -> RobustnessRun:
    """Measure ``model`` on clean photos and on each corruption at each severity, and on slices of hard clean photos.

    ``out`` keeps the detections on clean photos and every finished cell; what is there already and fits is not computed
    again. ``progress`` is called with what is being done, how much of it is done, and how much there is. Photos that
    cannot be read are given to ``on_problem`` and left out. Raises ConfigError for a setting that has no meaning,
    DataError where no photo can be read, ResourceError where a process was killed or ``out`` cannot be written.
    """
    from herder.api import load  # here: tests put their own in its place

    settings = settings or RobustnessSettings()
    workers = physical_cores() if settings.workers is None else settings.workers
    if workers < 1:
        raise ConfigError(f"robustness: {workers} workers", hint="use 1 or more")
    if settings.seed < 0:
        raise ConfigError(f"robustness: seed {settings.seed} is negative", hint="use 0 or more")
    cells = chosen_cells(settings.corruptions, settings.severities)
    digest = file_sha256(model)
    detector = load(model, engine=settings.engine)
    problems: list[Problem] = []

    def note(problem: Problem) -> None:
        problems.append(problem)
        on_problem(problem)

    metrics, found = predictions_of(
        detector,
        dataset,
        PredictionStore(out / PREDICTIONS),
        digest,
        size=settings.size,
        batch=settings.batch,
        progress=_named(progress, "clean photos"),
        on_problem=note,
    )
    read = photos_read(dataset, problems)
    dataset, found = dataset.select(read), [found[i] for i in read]
    key = prediction_key(detector, dataset, digest, settings.size).digest()
    folder = out / CELLS / cells_digest(key, dataset, metrics.threshold, settings.seed)
    done = {cell: result for cell in cells if (result := read_cell(folder, cell, len(dataset))) is not None}
    reused = len(done)
    missing = [cell for cell in cells if cell not in done]
    tell = _named(progress, "corruptions")
    if tell:
        tell(reused, len(cells))
    work = CellWork(
        model, settings.engine, dataset, metrics.threshold, settings.seed, settings.size, settings.batch, folder
    )
    for result in run_cells(work, missing, detector, workers):
        done[result.cell] = result
        if tell:
            tell(len(done), len(cells))
    table = Robustness(clean_result(metrics, dataset, found), tuple(done[cell] for cell in cells), metrics.threshold)
    slices = tuple(measure_slices(dataset, found, metrics.threshold))
    return RobustnessRun(table, slices, dataset, tuple(found), detector, digest, settings, reused)


def _named(progress: Callable[[str, int, int], None] | None, what: str) -> Callable[[int, int], None] | None:
    """``progress`` for one part of the work."""
    if progress is None:
        return None
    return lambda done, total: progress(what, done, total)
