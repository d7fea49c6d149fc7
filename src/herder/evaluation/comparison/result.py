"""What a comparison of two detectors gave: a table over photos, a table over seeds or folds, and the verdict.

Plain values that go to JSON and come back, so that a report can be made later. B - A everywhere: above 0, B is better.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from herder.errors import DataError
from herder.evaluation.not_computed import NotComputed
from herder.evaluation.plain_values import from_plain, to_plain

METRICS = ("mAP50", "mAP50_95", "F1")
"""What is compared, in this order; F1 is at each model's own best threshold."""

TITLES = {"mAP50": "mAP50", "mAP50_95": "mAP50-95", "F1": "F1"}

STEPS = (0.05, 0.02, 0.01)
"""Differences that tables say the needed photos and seeds for, beside the one observed."""

Estimate = float | NotComputed
Bounds = tuple[float, float] | NotComputed


@dataclass(frozen=True)
class PhotoRow:
    """One metric, compared over the photos."""

    metric: str
    a: Estimate
    """On all photos, the mean over the models of the side."""
    b: Estimate
    difference: Estimate
    bounds: Bounds
    """The interval of the difference."""
    method: str
    """How the interval was computed, and why not as usual."""
    better: Estimate
    """The share of draws of photos in which B is better; ties count half."""
    p_value: Estimate
    """Of the permutation test."""
    adjusted: Estimate
    """The same after Holm's correction for the metrics of the table."""
    needed: tuple[tuple[float, Estimate], ...]
    """Pairs: a difference, the observed one first, and how many photos would show it in 80 of 100 tests."""
    edges: tuple[float, ...] = ()
    """The histogram of the differences in the draws: edges of its bins, one more than bins."""
    counts: tuple[int, ...] = ()


@dataclass(frozen=True)
class PhotoTable:
    """Both sides on the same photos."""

    photos: int
    groups: int
    """Independent groups of photos: what is drawn and swapped as a whole. As many as photos where none are known."""
    draws: int
    rows: tuple[PhotoRow, ...]
    gains: tuple[PhotoGain, ...] = ()
    """The photos where B differs most from A, best first, worst last."""


@dataclass(frozen=True)
class PhotoGain:
    """Errors of both sides on one photo, each at its own best threshold: misses and false alarms, means over the
    models of a side.
    """

    name: str
    a: float
    b: float

    @property
    def gain(self) -> float:
        """Errors that B does not make."""
        return self.a - self.b


@dataclass(frozen=True)
class SeedRow:
    """One metric, compared over seeds or folds: a value for each model of a side."""

    metric: str
    a: tuple[float, ...]
    b: tuple[float, ...]
    facts_a: tuple[tuple[str, Estimate], ...]
    """Name and value of what describes a side: mean, median, and so on."""
    facts_b: tuple[tuple[str, Estimate], ...]
    test: str
    """Which test was made, and why that one."""
    difference: Estimate
    bounds: Bounds
    p_value: Estimate
    adjusted: Estimate
    effect: Estimate
    """Hedges' g."""
    effect_bounds: Bounds
    cohen: Estimate
    words: str
    """The result in a sentence."""
    needed: tuple[tuple[float, Estimate], ...]
    """Pairs: a difference, the observed one first, and how many seeds a side would show it in 80 of 100 tests."""


@dataclass(frozen=True)
class SeedTable:
    """Several seeds or folds of both sides."""

    paired_by: str
    """``seed`` or ``fold`` where the members are pairs; empty where they are not."""
    rows: tuple[SeedRow, ...]


@dataclass(frozen=True)
class Verdict:
    """What the gate says."""

    kind: str
    """``better`` or ``not-worse``."""
    margin: float
    metric: str
    passed: bool
    words: str


@dataclass(frozen=True)
class SideFacts:
    """What stood on a side: its name, and of each member the name, the file's name and its SHA-256."""

    name: str
    members: tuple[tuple[str, str, str], ...]

    def __str__(self) -> str:
        """The name, and those of the members where it does not tell them."""
        names = ", ".join(name for name, _, _ in self.members)
        return self.name if names == self.name else f"{self.name}: {names}"


@dataclass(frozen=True)
class Comparison:
    """The whole result; ``photos`` or ``seeds`` is a reason where that view has nothing to go by."""

    a: SideFacts
    b: SideFacts
    metric: str
    """The one that the sentence and the gate go by."""
    level: float
    seed: int
    photos: PhotoTable | NotComputed
    seeds: SeedTable | NotComputed
    words: str
    verdict: Verdict | None = None
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """For JSON: what is not computed becomes ``{"value": null, "reason": ...}``."""
        found: dict[str, Any] = to_plain(self)
        return found

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], source: str) -> Comparison:
        """The reverse of ``as_dict``. Raises DataError naming ``source`` for anything else."""
        try:
            return from_plain(cls, data)
        except ValueError as error:
            raise DataError(f"{source}: is no result of `herder compare`: {error}", hint="run it again") from None
