"""Who watches a run: observers that are told what happens and can never stop it."""

from __future__ import annotations

import csv
import io
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from herder.files import write_atomic
from herder.training.config import TrainConfig

logger = logging.getLogger(__name__)

LOSSES = ("box", "cls", "dfl", "obj")
"""The weighted loss terms, each a column; obj only where the network has an objectness output."""

TIMING_COLUMNS = ("images_per_second", "peak_memory_mb", "seconds")
"""Columns that differ from run to run; all others are the same for the same seed on the same machine."""


@dataclass(frozen=True)
class RunFacts:
    """What is known when a run starts."""

    folder: Path
    config: TrainConfig
    losses: tuple[str, ...]
    steps_per_epoch: int
    first_epoch: int = 0
    """Epochs already done: above 0 in a resumed run."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of an epoch's row, in order."""
        scores = ("precision", "recall", "mAP50", "mAP50_95")
        return ("epoch", *self.losses, *scores, "lr_backbone", "lr_head", *TIMING_COLUMNS)


@dataclass(frozen=True)
class StepFacts:
    """Where the run is, told a few times a second at most."""

    epoch: int
    """Counted from 1."""
    step: int
    """Steps done in the epoch."""
    losses: Mapping[str, float]
    """Means over the epoch so far."""
    images_per_second: float


class Tracker(Protocol):
    """An observer of a run."""

    def start(self, run: RunFacts) -> None:
        """The run starts, or goes on."""

    def step(self, facts: StepFacts) -> None:
        """Some steps later."""

    def epoch(self, row: Mapping[str, float], *, best: Path | None) -> None:
        """an epoch is done: its row (no metrics where not evaluated), and the model file if it is the best so far."""

    def end(self, summary: str) -> None:
        """The run ends, for the reason that ``summary`` tells."""


class Trackers:
    """All observers as one; one that fails is reported once and told nothing more."""

    def __init__(self, trackers: Sequence[Tracker]) -> None:
        self._trackers = list(trackers)

    def start(self, run: RunFacts) -> None:
        """Tell all."""
        self._tell("start", run)

    def step(self, facts: StepFacts) -> None:
        """Tell all."""
        self._tell("step", facts)

    def epoch(self, row: Mapping[str, float], *, best: Path | None) -> None:
        """Tell all."""
        self._tell("epoch", row, best=best)

    def end(self, summary: str) -> None:
        """Tell all."""
        self._tell("end", summary)

    def _tell(self, event: str, *arguments: Any, **named: Any) -> None:
        for tracker in list(self._trackers):
            try:
                getattr(tracker, event)(*arguments, **named)
            except Exception as error:  # an observer is somebody else's code: whatever it raises, training goes on
                self._trackers.remove(tracker)
                logger.warning("%s failed at %s and is left out from here on: %s", type(tracker).__name__, event, error)


class CsvTracker:
    """``metrics.csv`` in the run folder: a header, then one row an epoch.

    A resumed run first cuts the rows of epochs after its checkpoint: they come again.
    """

    def start(self, run: RunFacts) -> None:
        """Write the header and the rows that stay."""
        self.path = run.folder / "metrics.csv"
        self.columns = run.columns
        kept = [row for row in read_rows(self.path) if row["epoch"] <= run.first_epoch] if run.first_epoch else []
        lines = io.StringIO()
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows([_text(row.get(name, math.nan)) for name in self.columns] for row in kept)
        write_atomic(self.path, lines.getvalue().encode())

    def step(self, facts: StepFacts) -> None:
        """Nothing: one row an epoch is enough."""

    def epoch(self, row: Mapping[str, float], *, best: Path | None) -> None:
        """Add the row."""
        with self.path.open("a", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerow([_text(row.get(name, math.nan)) for name in self.columns])

    def end(self, summary: str) -> None:
        """Nothing: the file is complete."""


def _text(value: float) -> str:
    """Short but exact enough to plot; empty for NaN."""
    if math.isnan(value):
        return ""
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else f"{value:.8g}"


def read_rows(path: Path) -> list[dict[str, float]]:
    """The rows of a ``metrics.csv``, NaN for empty cells; a last row cut short by a crash is left out.

    A file that is not there has no rows.
    """
    if not path.exists():
        return []
    rows = []
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        header = next(reader, [])
        for cells in reader:
            if len(cells) == len(header):
                try:
                    rows.append(
                        {name: float(cell) if cell else math.nan for name, cell in zip(header, cells, strict=True)}
                    )
                except ValueError:
                    break
    return [row for row in rows if not math.isnan(row.get("epoch", math.nan))]
