"""``herder data clean``: a copy of a dataset without what is broken, doubled or mislabelled."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from herder.cli.dataset_output import SET_ASIDE, DataArgument, progress_bar
from herder.data.formats import Format, read_splits
from herder.data.quality.cleaning import Duplicates, clean_dataset, format_of
from herder.data.quality.config import QualityConfig
from herder.data.quality.quarantine import FOLDER, LIST


def clean_command(
    data: DataArgument,
    out: Annotated[Path, typer.Option(help="New folder to write.")],
    to: Annotated[
        Format | None, typer.Option(help="Format to write.", case_sensitive=False, show_default="as it is")
    ] = None,
    duplicates: Annotated[
        Duplicates, typer.Option(help="Which duplicates to take out, all but one.", case_sensitive=False)
    ] = Duplicates.EXACT,
    near: Annotated[
        int, typer.Option(help="Bits of 64 that may differ between near duplicates; -1: look for none.")
    ] = QualityConfig.near_radius,
    min_side: Annotated[int, typer.Option(help="Shortest side of a photo in pixels.")] = QualityConfig.min_side,
    workers: Annotated[int | None, typer.Option(min=1, help="Threads.", show_default="one a core")] = None,
    link: Annotated[bool, typer.Option(help="Hard links in place of copies of the photos.")] = False,
) -> None:
    """Copy what is good into a new folder, and what is not into its quarantine, with the reason; DATA stays as it is.

    Every photo is decoded in full. Exit code 0: nothing was set aside. 3: something was. 2: nothing can be used.
    """
    config = QualityConfig(near_radius=near, min_side=min_side)
    format = to or format_of(data)
    parts = read_splits(data)
    with progress_bar("checking", sum(map(len, parts))) as progress:
        done = clean_dataset(
            parts,
            out,
            format,
            duplicates=duplicates,
            config=config,
            link=link,
            workers=workers,
            progress=lambda count: progress.update(progress.task_ids[0], completed=count),
        )
    counts = [f"{part.split or 'photos'} {len(part):,} photos, {sum(map(len, part)):,} boxes" for part in done.parts]
    typer.echo(f"{out}: {'; '.join(counts)}")
    for reason, count in Counter(problem.reason for problem in done.set_aside).most_common():
        typer.echo(f"set aside: {count:,} x {reason}", err=True)
    if done.set_aside:
        typer.echo(f"{out / FOLDER / LIST} names each of them", err=True)
        raise typer.Exit(SET_ASIDE)
