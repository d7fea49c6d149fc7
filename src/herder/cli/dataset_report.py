"""``herder data report``: a page about a dataset, its numbers, its data card and the credit of each photo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from herder.cli.dataset_output import SET_ASIDE, DataArgument, progress_bar
from herder.data.formats import read_splits
from herder.data.records import Severity


def report_command(
    data: DataArgument,
    out: Annotated[Path, typer.Option(help="Folder to write the report into.")],
    check: Annotated[bool, typer.Option("--check/--no-check", help="Decode every photo and check every box.")] = True,
    name: Annotated[str, typer.Option(help="Title of the report.", show_default="the folder's name")] = "",
    seed: Annotated[int, typer.Option(min=0, help="Which photos are shown.")] = 0,
    workers: Annotated[int | None, typer.Option(min=1, help="Threads.", show_default="one a core")] = None,
) -> None:
    """Write report.html, report.json, DATA_CARD.md and attribution.csv; the dataset itself is not changed.

    Where ``herder data fetch`` made the dataset, its manifest tells what was asked for and how fast it came. Exit code
    0: clean. 3: some photos or boxes were set aside. 2: nothing can be used.
    """
    from herder.api.dataset_report import report_on_folder

    parts = read_splits(data)
    with progress_bar("checking", sum(map(len, parts))) as progress:
        report = report_on_folder(
            out,
            data,
            parts,
            check=check,
            name=name,
            seed=seed,
            workers=workers,
            progress=lambda done: progress.update(progress.task_ids[0], completed=done),
        )
    totals = report.facts.totals
    typer.echo(f"{report.html}: {totals.photos:,} photos, {totals.boxes:,} boxes")
    for reason, count in report.facts.reasons[Severity.SET_ASIDE].most_common():
        typer.echo(f"set aside: {count:,} x {reason}", err=True)
    if any(report.facts.reasons[Severity.SET_ASIDE].values()):
        raise typer.Exit(SET_ASIDE)
