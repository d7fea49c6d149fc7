"""What the commands that measure models share: the split they take, a progress bar, how they say what was left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from herder.data.formats import available_splits
from herder.data.records import Problem
from herder.errors import ConfigError

SET_ASIDE = 3
"""Exit code when the numbers are good but some photos or labels are not in them."""

PROBLEMS_SHOWN = 20
"""Findings written to the terminal; the rest is counted."""

Advance = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is."""


def chosen_split(data: Path, split: str | None) -> str | None:
    """The split that was asked for, else val, else the only one there is; None for a dataset without splits.

    Raises ConfigError where there are several and none is val.
    """
    if split is not None:
        return split
    splits = available_splits(data)
    if "val" in splits or not splits:
        return "val" if splits else None
    if len(splits) > 1:
        raise ConfigError(f"{data}: no split 'val'", hint=f"choose one with --split: {', '.join(splits)}")
    return splits[0]


def tell_problems(problems: Sequence[Problem]) -> None:
    """Write findings to standard error, the first twenty in full."""
    console = Console(stderr=True, soft_wrap=True)
    for problem in problems[:PROBLEMS_SHOWN]:
        console.print(f"{problem.severity.value}: {problem}", markup=False, highlight=False)
    if len(problems) > PROBLEMS_SHOWN:
        console.print(
            f"... and {len(problems) - PROBLEMS_SHOWN:,} more findings; --json lists them all", highlight=False
        )


@contextmanager
def progress_bars(*, quiet: bool) -> Iterator[Advance | None]:
    """A bar on the terminal for each part of the work, which leaves nothing behind; none where nobody watches."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield None
        return
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def advance(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(escape(what), total=total)
            bar.update(tasks[what], completed=done, total=total)

        yield advance
