"""``herder compare`` from Python: two sides, on photos or by what their runs wrote down, and the gate.

Photos answer whether the models at hand would keep their order on other photos; several seeds or folds, whether other
trainings would. The gate goes by the photos where there are any, else by the seeds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from herder.api.comparison_photos import Found, Progress, RunSettings, read_sides, run_sides
from herder.api.comparison_sides import Side, Source, different_settings, pair_up, read_side
from herder.data.records import Dataset, Problem
from herder.edge.threads import physical_cores
from herder.errors import ConfigError, DataError
from herder.evaluation.comparison.measured_sides import MeasuredModel, MeasuredSides, photo_gains
from herder.evaluation.comparison.photo_table import photo_table
from herder.evaluation.comparison.result import METRICS, Comparison, PhotoTable, SideFacts
from herder.evaluation.comparison.seed_table import seed_table
from herder.evaluation.comparison.verdict import conclude
from herder.evaluation.detector import log_problem
from herder.evaluation.not_computed import NotComputed
from herder.evaluation.resampled_precision import group_numbers
from herder.evaluation.significance import Gate
from herder.evaluation.tables import DoubleArray

PREDICTIONS = "predictions"
"""The folder in the output folder that keeps what each model found."""

FEWEST_DRAWS = 100
"""Fewer draws say nothing about the ends of an interval."""


@dataclass(frozen=True)
class ComparisonSettings:
    """How two sides are compared."""

    metric: str = "mAP50_95"
    """What the sentence and the gate go by: one of ``METRICS``."""
    gate: Gate | None = None
    """What B has to show; None: nothing, the result is only told."""
    level: float = 0.95
    """Of confidence, for intervals and for the gate."""
    draws: int = 2000
    """Of photos, for the bootstrap and for the permutation test."""
    seed: int = 0
    """Decides the draws."""
    run: RunSettings = field(default_factory=RunSettings)
    """How the models are run."""

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise ConfigError(f"metric {self.metric!r} is not compared", hint=f"use one of {', '.join(METRICS)}")
        if not 0.5 <= self.level < 1:
            raise ConfigError(f"level {self.level} is not from 0.5 to below 1", hint="use 0.95, say")
        if self.draws < FEWEST_DRAWS:
            raise ConfigError(f"draws: {self.draws} are too few", hint=f"use {FEWEST_DRAWS} or more")
        if self.seed < 0:
            raise ConfigError(f"seed {self.seed} is negative", hint="use 0 or more")


@dataclass(frozen=True, eq=False)
class ComparisonRun:
    """What one comparison gave, and what the report's pictures are drawn from."""

    result: Comparison
    data: dict[str, Any]
    """Name, split, fingerprint and number of the photos."""
    found: Found | None = None
    """None where there are no photos."""
    shown: tuple[int, ...] = ()
    """The photos of ``result.photos.gains``, by index."""

    def as_dict(self, command: Sequence[str]) -> dict[str, Any]:
        """The content of ``comparison.json``; ``command`` are the words that started it."""
        first = self.result.b.members[0]
        return {
            "kind": "comparison",
            "version": 1,
            "herder_version": version("herder"),
            "command": list(command),
            "model": {"name": first[0], "path": first[1], "sha256": first[2]},
            "data": self.data,
            **self.result.as_dict(),
        }


def compare_sides(
    a: str,
    b: str,
    settings: ComparisonSettings,
    out: Path,
    *,
    dataset: Dataset | None = None,
    truth: Path | None = None,
    progress: Progress | None = None,
    on_problem: Callable[[Problem], None] = log_problem,
) -> ComparisonRun:
    """Compare what ``a`` and ``b`` name, see ``read_side``, on a dataset, on ``truth``, or by what the runs recorded.

    ``out`` keeps what the models found. Photos that cannot be read are given to ``on_problem`` and left out. Raises
    ConfigError for sides that cannot be compared in this way, DataError for files that are broken or do not match.
    """
    first, second = read_side(a), read_side(b)
    second, paired_by = pair_up(first, second)
    found = _found(first, second, settings, out, dataset, truth, progress, on_problem)
    notes = [sentence + "." for side in (first, second) if (sentence := different_settings(side))]
    shown: list[int] = []
    photos: PhotoTable | NotComputed
    if found is None:
        values, data = _recorded(first, second)
        photos = NotComputed("no photos were given (--data)")
    else:
        groups = group_numbers(found.groups)
        sides = MeasuredSides.of(found.truth, found.a, found.b, len(found.class_names), groups)
        shown, gains = photo_gains(found.truth, found.a, found.b, found.names, len(found.class_names))
        photos = photo_table(
            sides, gains, settings.draws, settings.seed, settings.level, workers=physical_cores(), progress=progress
        )
        values = _each(sides.a), _each(sides.b)
        data = found.about
        notes += found.notes
        if set(found.digests[0]) & set(found.digests[1]):
            notes.append("Both sides hold the same file.")
    members = [*first.members, *second.members]
    validated = max(member.validated for member in members)
    if validated and not paired_by:
        notes.append(
            "The folds are not the same on both sides, and share training photos: p is smaller than it should be."
        )
    seeds = seed_table(*values, paired_by, settings.level, validated)
    digests = found.digests if found else (("",) * len(first.members), ("",) * len(second.members))
    facts = [_facts(side, own) for side, own in zip((first, second), digests, strict=True)]
    words, verdict = conclude(photos, seeds, settings.metric, settings.level, settings.gate)
    result = Comparison(
        facts[0], facts[1], settings.metric, settings.level, settings.seed, photos, seeds, words, verdict, tuple(notes)
    )
    return ComparisonRun(result, data, found, tuple(shown))


def _found(
    a: Side,
    b: Side,
    settings: ComparisonSettings,
    out: Path,
    dataset: Dataset | None,
    truth: Path | None,
    progress: Progress | None,
    on_problem: Callable[[Problem], None],
) -> Found | None:
    """What both sides found on the photos; None where only what was written down can be compared."""
    sources = {a.source, b.source}
    if Source.PREDICTIONS in sources or truth is not None:
        if sources != {Source.PREDICTIONS} or truth is None or dataset is not None:
            raise ConfigError(
                "compare: two files of detections and --truth go together, without models and without --data",
                hint="herder compare a.json b.json --truth annotations.json",
            )
        return read_sides(a, b, truth)
    if dataset is None:
        return None
    if Source.RECORD in sources:
        raise ConfigError(
            "compare: the folds of a cross-validation were measured each on photos of its own",
            hint="leave --data away, or name the folds' run folders with commas to run them on --data",
        )
    return run_sides(a, b, dataset, out / PREDICTIONS, settings.run, progress=progress, on_problem=on_problem)


def _recorded(a: Side, b: Side) -> tuple[tuple[DoubleArray, DoubleArray], dict[str, Any]]:
    """The metrics (n, 3) that the runs of A and of B wrote down, and what they were measured on.

    Raises ConfigError where a model has no run folder that tells, DataError where the photos were different ones.
    """
    members = [*a.members, *b.members]
    for member in members:
        if not member.recorded or not (member.photos or member.source is Source.RECORD):
            raise ConfigError(
                f"{member.name}: nothing says how it did on which photos",
                hint="give --data, or name run folders as `herder train` leaves them",
            )
    if members[0].source is Source.MODEL or members[-1].source is Source.MODEL:
        for member in members[1:]:
            if member.photos != members[0].photos:
                raise DataError(
                    f"{members[0].name} and {member.name} were validated on different photos",
                    hint="give --data to measure both on the same",
                )
    values = [
        np.array([[member.recorded.get(name, math.nan) for name in METRICS] for member in side.members])
        for side in (a, b)
    ]
    same = len({member.photos for member in members}) == 1
    about = {"name": "", "split": "val", "fingerprint": members[0].photos if same else "", "photos": None}
    return (values[0], values[1]), about


def _each(side: Sequence[MeasuredModel]) -> DoubleArray:
    """The metrics (n, 3) of each model."""
    return np.array([model.values() for model in side])


def _facts(side: Side, digests: Sequence[str]) -> SideFacts:
    members = zip(side.members, digests, strict=True)
    return SideFacts(side.name, tuple((member.name, member.path.name, digest) for member, digest in members))
