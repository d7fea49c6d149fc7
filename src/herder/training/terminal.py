"""Live progress in a terminal; plain lines, one an epoch, where nobody is looking."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from herder.training.tracking import RunFacts, StepFacts

PLAIN_SECONDS = 30.0
"""At most so often a line within an epoch where the output is no terminal."""


class TerminalTracker:
    """Epoch, losses, mAP, learning rate, images a second, memory and time left on one console.

    A bar shows the epoch under way on a terminal; a log file gets a line an epoch, and one every half minute.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console()
        self._bar: Progress | None = None
        self._task = TaskID(0)

    def start(self, run: RunFacts) -> None:
        """Show the head of the table and start the bar."""
        self.run = run
        self.began = self.said = time.monotonic()
        self.epochs_before = run.first_epoch
        c = run.config
        if run.first_epoch:
            self.console.print(f"going on after epoch {run.first_epoch} of {c.epochs}", highlight=False, soft_wrap=True)
        names = "".join(f"{name:>{_width(name)}}" for name in run.losses)
        self.console.print(
            f"{'epoch':>9}{names}{'mAP50':>8}{'mAP':>8}{'lr':>10}{'img/s':>8}{'MB':>7}  left", highlight=False
        )
        if self.console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=30),
                TextColumn("{task.completed:.0f}/{task.total:.0f} {task.fields[note]}"),
                console=self.console,
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task("", total=run.steps_per_epoch, note="")

    def step(self, facts: StepFacts) -> None:
        """Move the bar, or print a line now and then."""
        losses = "  ".join(f"{name} {value:.3f}" for name, value in facts.losses.items())
        note = f"{losses}  {facts.images_per_second:.1f} images/s"
        name = f"epoch {facts.epoch}/{self.run.config.epochs}"
        if self._bar is not None:
            done = facts.step >= self.run.steps_per_epoch
            self._bar.update(self._task, description=name, completed=facts.step, note="evaluating" if done else note)
        elif time.monotonic() - self.said > PLAIN_SECONDS:
            self.said = time.monotonic()
            text = f"{name} step {facts.step}/{self.run.steps_per_epoch}  {note}"
            self.console.print(text, highlight=False, soft_wrap=True)

    def epoch(self, row: Mapping[str, float], *, best: Path | None) -> None:
        """Print the epoch's row; a star marks the best so far."""
        self.said = time.monotonic()
        total, done = self.run.config.epochs, int(row["epoch"])
        left = (total - done) * (self.said - self.began) / max(1, done - self.epochs_before)
        losses = "".join(f"{row[name]:{_width(name)}.3f}" for name in self.run.losses)
        found = (row.get(name, math.nan) for name in ("mAP50", "mAP50_95"))
        scores = "".join(f"{'' if math.isnan(value) else format(value, '.3f'):>8}" for value in found)
        text = (
            f"{f'{done}/{total}':>9}{losses}{scores}{row['lr_head']:10.2e}{row['images_per_second']:8.1f}"
            f"{row['peak_memory_mb']:7.0f}  {duration(left)}{' *' if best else ''}"
        )
        self.console.print(text, highlight=False, soft_wrap=True)

    def end(self, summary: str) -> None:
        """Stop the bar and say why the run ended."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        self.console.print(summary, highlight=False, soft_wrap=True)


def _width(name: str) -> int:
    """Characters of a loss term's column."""
    return max(8, len(name) + 2)


def duration(seconds: float) -> str:
    """Seconds as a person says them.

    >>> duration(42), duration(192), duration(8100)
    ('42 s', '3 min 12 s', '2 h 15 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
