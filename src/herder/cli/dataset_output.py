"""What the commands of ``herder data`` share: their argument, a progress bar, and how they say what they did."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from herder.data.formats import Format
from herder.data.formats.side_file import SIDE_FILE
from herder.data.records import Dataset, Problem, Severity
from herder.data.validation import SHOWN

SET_ASIDE = 3
"""Exit code when the work is done but something was set aside on the way."""

DataArgument = Annotated[Path, typer.Argument(help="A YOLO, COCO or Pascal VOC folder, a data.yaml or a COCO .json.")]


def written(out: Path, datasets: Sequence[Dataset], format: Format) -> None:
    """Say what was written and what was not; exit code 3 when something was set aside."""
    parts = [f"{d.split or 'photos'} {len(d):,} photos, {sum(map(len, d)):,} boxes" for d in datasets]
    typer.echo(f"{out}: {'; '.join(parts)}")
    ignored = sum(int(record.ignore.sum()) for dataset in datasets for record in dataset)
    if format is Format.YOLO and ignored:
        typer.echo(f"{ignored:,} boxes to be ignored stand in {SIDE_FILE}: YOLO labels cannot express them", err=True)
    if report_problems([problem for dataset in datasets for problem in dataset.problems]):
        raise typer.Exit(SET_ASIDE)


def report_problems(problems: Sequence[Problem], shown: int = SHOWN) -> bool:
    """Say on standard error what was set aside; True when anything was."""
    found = [problem for problem in problems if problem.severity is Severity.SET_ASIDE]
    for problem in found[:shown]:
        typer.echo(f"set aside: {problem}", err=True)
    if len(found) > shown:
        typer.echo(f"... and {len(found) - shown} more: herder data check lists them", err=True)
    notes = Counter(problem.reason for problem in problems if problem.severity is Severity.NOTE)
    if notes:
        typer.echo("notes: " + ", ".join(f"{count} x {reason}" for reason, count in notes.most_common()), err=True)
    return bool(found)


@contextmanager
def progress_bar(what: str, total: int) -> Iterator[Progress]:
    """A progress bar on standard error, where somebody watches."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    hidden = not sys.stderr.isatty()
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=hidden) as progress:
        progress.add_task(what, total=total)
        yield progress
