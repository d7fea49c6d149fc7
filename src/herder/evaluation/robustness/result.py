"""How much of a detector's quality is left when the photos get worse: mPC and rPC over corruptions and severities.

Source: C. Michaelis et al., "Benchmarking Robustness in Object Detection", 2019, https://arxiv.org/abs/1907.07484. With
P(c, s) the quality under corruption c at severity s and P(clean) that on the photos as they are,

    mPC = mean over c of the mean over s of P(c, s)        mean performance under corruption
    rPC = mPC / P(clean)                                   relative performance under corruption

P is COCO's AP (``mAP50_95``) or AP at IoU 0.5 (``mAP50``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from herder.boxes import IntArray
from herder.errors import DataError
from herder.evaluation.corruptions import CORRUPTIONS
from herder.evaluation.error_analysis import PhotoErrors
from herder.evaluation.not_computed import NotComputed

OWN = tuple(name for name, corruption in CORRUPTIONS.items() if not corruption.published)
"""The corruptions beside the 15 published ones; their mean is taken apart, so that mPC compares with published ones."""

METRICS = ("mAP50", "mAP50_95", "precision", "recall")
"""What is known of each cell."""

CLEAN = "clean"
"""The name of the photos as they are, at severity 0."""


@dataclass(frozen=True)
class Cell:
    """One entry of the table: a corruption at a severity, 1 to 5."""

    corruption: str
    severity: int

    def __str__(self) -> str:
        return f"{self.corruption} {self.severity}"


@dataclass(frozen=True)
class CellResult:
    """What a detector reached under one corruption at one severity; NaN where no labelled box counts.

    ``precision`` and ``recall`` are at the score threshold with the best F1 on clean photos: that of a detector which
    is already at work when the weather turns.
    """

    corruption: str
    severity: int
    photos: int
    truths: int
    """Labelled boxes that count; a corruption may push some out of the photo."""
    map50: float
    map50_95: float
    hits: tuple[int, ...]
    """Of each photo, at that threshold and IoU 0.5; so are misses and false alarms."""
    misses: tuple[int, ...]
    false_alarms: tuple[int, ...]

    @property
    def cell(self) -> Cell:
        """Where in the table this stands."""
        return Cell(self.corruption, self.severity)

    @property
    def precision(self) -> float:
        """The share of the detections that are right; NaN without a detection."""
        return _share(sum(self.hits), sum(self.hits) + sum(self.false_alarms))

    @property
    def recall(self) -> float:
        """The share of the labelled boxes that are found; NaN without a labelled box."""
        return _share(sum(self.hits), sum(self.hits) + sum(self.misses))

    def metric(self, name: str) -> float:
        """One of ``METRICS``."""
        values = (self.map50, self.map50_95, self.precision, self.recall)
        return dict(zip(METRICS, values, strict=True))[name]

    def errors(self, photo: int) -> PhotoErrors:
        """What went right and wrong in one photo."""
        return PhotoErrors(photo, self.hits[photo], self.misses[photo], self.false_alarms[photo])

    def as_dict(self) -> dict[str, Any]:
        """For JSON: NaN becomes None; precision and recall stand beside what they are computed from."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {
            **{name: list(value) if isinstance(value, tuple) else value for name, value in values.items()},
            "map50": number_or_none(self.map50),
            "map50_95": number_or_none(self.map50_95),
            "precision": number_or_none(self.precision),
            "recall": number_or_none(self.recall),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], source: str) -> CellResult:
        """The reverse of ``as_dict``. Raises DataError naming ``source`` where fields are missing or do not match."""
        try:
            map50, map50_95 = (math.nan if data[name] is None else float(data[name]) for name in ("map50", "map50_95"))
            lists = [tuple(int(v) for v in data[name]) for name in ("hits", "misses", "false_alarms")]
            photos, truths = int(data["photos"]), int(data["truths"])
            found = cls(str(data["corruption"]), int(data["severity"]), photos, truths, map50, map50_95, *lists)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{source}: is no result of a cell ({error!r})", hint="remove it and run again") from None
        if {len(values) for values in lists} != {found.photos}:
            raise DataError(f"{source}: its lists do not have {found.photos} photos", hint="remove it and run again")
        return found


@dataclass(frozen=True)
class Robustness:
    """The whole table of one model: the clean photos and every cell that was measured, at one score threshold."""

    clean: CellResult
    cells: tuple[CellResult, ...]
    threshold: float
    """The score with the best F1 on clean photos; precision and recall of all cells are at it."""

    @property
    def corruptions(self) -> tuple[str, ...]:
        """The corruptions measured, in the order of the cells."""
        return tuple(dict.fromkeys(result.corruption for result in self.cells))

    @property
    def severities(self) -> tuple[int, ...]:
        """The severities measured, rising."""
        return tuple(sorted({result.severity for result in self.cells}))

    @property
    def published(self) -> tuple[str, ...]:
        """Those of the 15 corruptions of ImageNet-C that were measured."""
        return tuple(name for name in self.corruptions if name not in OWN)

    @property
    def own(self) -> tuple[str, ...]:
        """Those of low light, occlusion and scale that were measured."""
        return tuple(name for name in self.corruptions if name in OWN)

    def of(self, corruption: str) -> tuple[CellResult, ...]:
        """The cells of one corruption, by rising severity."""
        return tuple(sorted((r for r in self.cells if r.corruption == corruption), key=lambda r: r.severity))

    def performance(self, metric: str, corruptions: Sequence[str]) -> float | NotComputed:
        """mPC over these corruptions: the mean of each one's mean over its severities.

        A mean over cells of which some could not be computed would say nothing: it is not computed either.
        """
        if not corruptions:
            return NotComputed("none of these corruptions was measured")
        means = [np.mean([r.metric(metric) for r in self.of(name)] or [math.nan]) for name in corruptions]
        undefined = [name for name, value in zip(corruptions, means, strict=True) if math.isnan(value)]
        if undefined:
            what = "no detection reaches the threshold" if metric == "precision" else "no labelled box counts"
            return NotComputed(f"under {undefined[0]} {what} at one severity or more")
        return float(np.mean(means))

    def relative(self, metric: str, corruptions: Sequence[str]) -> float | NotComputed:
        """rPC over these corruptions: ``performance`` divided by that on clean photos."""
        value, clean = self.performance(metric, corruptions), self.clean.metric(metric)
        if isinstance(value, NotComputed):
            return value
        if math.isnan(clean):
            return NotComputed(f"{metric} on clean photos is not defined")
        if clean == 0:
            return NotComputed(f"{metric} on clean photos is 0")
        return value / clean

    def as_dict(self) -> dict[str, Any]:
        """For JSON, with the means that the cells give."""
        groups = {"published": self.published, "own": self.own}
        summary = {
            group: {
                "corruptions": list(names),
                **{f"mPC_{m}": as_json(self.performance(m, names)) for m in METRICS},
                **{f"rPC_{m}": as_json(self.relative(m, names)) for m in METRICS},
            }
            for group, names in groups.items()
        }
        rows = [result.as_dict() for result in self.cells]
        return {"threshold": self.threshold, "summary": summary, "clean": self.clean.as_dict(), "cells": rows}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], source: str) -> Robustness:
        """The reverse of ``as_dict``. Raises DataError naming ``source`` for anything else."""
        try:
            cells = tuple(CellResult.from_dict(row, source) for row in data["cells"])
            return cls(CellResult.from_dict(data["clean"], source), cells, float(data["threshold"]))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{source}: is no result of `herder robustness` ({error!r})", hint="run it again") from None


def as_json(value: float | NotComputed) -> float | dict[str, str | None]:
    """A number as it is; else null with the reason beside it."""
    return {"value": None, "reason": value.reason} if isinstance(value, NotComputed) else value


def number_or_none(value: float) -> float | None:
    """JSON has no NaN: what is not defined becomes null."""
    return None if math.isnan(value) else value


def most_damaged(result: Robustness, limit: int) -> list[tuple[CellResult, int]]:
    """Photos that a corruption damaged most, for people to look at: cells, each with the index of one photo.

    The corruptions that cost most mAP50_95, each at the highest severity measured, and of each the photo whose misses
    and false alarms grew most and that is not shown already; corruptions that added no error are left out.
    """
    hardest = [result.of(name)[-1] for name in result.corruptions]
    hardest = [r for r in hardest if not math.isnan(r.map50_95)]
    chosen: list[tuple[CellResult, int]] = []
    for row in sorted(hardest, key=lambda r: r.map50_95):
        growth = _errors(row) - _errors(result.clean)
        growth[[photo for _, photo in chosen]] = 0
        if len(growth) and growth.max() > 0:
            chosen.append((row, int(growth.argmax())))
        if len(chosen) == limit:
            break
    return chosen


def _errors(row: CellResult) -> IntArray:
    return np.array(row.misses, np.int64) + np.array(row.false_alarms, np.int64)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else math.nan
