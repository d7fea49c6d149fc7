"""``herder data split``: deal photos out to train, val and test, and prove that nothing leaks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from herder.cli.dataset_output import DataArgument, progress_bar, written
from herder.data.formats import Format, read_dataset, write_splits
from herder.data.grouping import GAP, GroupBy, Groups, group_photos
from herder.data.records import Dataset
from herder.data.split_proof import SplitProof, split_proof
from herder.data.splits import split_dataset
from herder.errors import ConfigError

CLASSES_SHOWN = 20
"""So many classes stand in the table, in order of their ids."""


def split_command(
    data: DataArgument,
    out: Annotated[Path, typer.Option(help="New folder to write.")],
    val: Annotated[float, typer.Option(help="Share of the photos for validation.")] = 0.2,
    test: Annotated[float, typer.Option(help="Share of the photos for the final test.")] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="The same seed and photos give the same split.")] = 0,
    to: Annotated[Format, typer.Option(help="Format to write.", case_sensitive=False)] = Format.YOLO,
    link: Annotated[bool, typer.Option(help="Hard links in place of copies of the photos.")] = False,
    near_duplicates: Annotated[
        bool, typer.Option(help="Decode all photos and keep those that are nearly the same on one side.")
    ] = True,
    group_by: Annotated[
        list[GroupBy] | None,
        typer.Option(help="Keep photos of one author, camera, folder or visit on one side; may come more than once."),
    ] = None,
    gap: Annotated[
        float, typer.Option(min=0, help="Minutes without a photo after which a camera's next visit begins.")
    ] = GAP.total_seconds() / 60,
    workers: Annotated[int | None, typer.Option(min=1, help="Threads.", show_default="one a core")] = None,
) -> None:
    """Deal the photos out anew to train, val and test, each class evenly and each group of photos as a whole.

    Splits that the dataset has already are put together first. Printed is the proof: what each part has, and that no
    file, no group and no set of near duplicates is in two. Exit code 3 as for check.
    """
    if val < 0 or test < 0 or not 0 < val + test < 1:
        raise ConfigError(
            f"shares of {val:g} for val and {test:g} for test leave no sense for train",
            hint="give shares of 0 or more that sum to less than 1, such as --val 0.2 --test 0.1",
        )
    wanted = {"train": 1 - val - test, "val": val, "test": test}
    shares = {name: share for name, share in wanted.items() if share > 0}
    dataset = read_dataset(data)
    near = _near_duplicates(dataset, workers) if near_duplicates else None
    common = {str(by): _common(dataset, by, gap) for by in dict.fromkeys(group_by or ())}
    together = [*(near or ()), *(members for groups in common.values() for members in groups.values())]
    parts = split_dataset(dataset, shares, seed, groups=together)
    proof = split_proof(dataset, parts, shares, near, common)
    write_splits(list(parts.values()), out, to, link=link)
    for table in proof_tables(proof):
        Console().print(table)
    typer.echo(f"proof: {proof}")
    written(out, list(parts.values()), to)


def _common(dataset: Dataset, by: GroupBy, gap: float) -> Groups:
    """Photos that have something in common, and a sentence on those of which it is not known."""
    groups = group_photos(dataset, by, timedelta(minutes=gap))
    unknown = len(dataset) - sum(map(len, groups.values()))
    if unknown == len(dataset):
        where = {GroupBy.AUTHOR: "the dataset names none", GroupBy.FOLDER: "all lie in one folder"}
        raise ConfigError(
            f"--group-by {by}: not known of any photo ({where.get(by, 'their EXIF says nothing')})",
            hint="group by something else, or leave the option out",
        )
    if unknown:
        typer.echo(f"{by}: not known of {unknown:,} of {len(dataset):,} photos, which are dealt out freely", err=True)
    return groups


def _near_duplicates(dataset: Dataset, workers: int | None) -> list[list[int]]:
    from herder.data.quality import near_duplicate_groups

    with progress_bar("looking for near duplicates", len(dataset)) as bar:
        return near_duplicate_groups(
            dataset, workers=workers, progress=lambda done: bar.update(bar.task_ids[0], completed=done)
        )


def proof_tables(proof: SplitProof) -> Iterator[Table]:
    """What each part has, as tables for people."""
    parts = Table("", "photos", "share", "wanted", "boxes", "share", "no box", "groups", "twins", title="Parts")
    for part in proof.parts:
        parts.add_row(
            part.name,
            f"{part.photos:,}",
            f"{part.share:.1%}",
            f"{part.wanted:.1%}",
            f"{part.boxes:,}",
            f"{part.boxes_share:.1%}",
            f"{part.backgrounds:,}",
            f"{part.groups:,}",
            f"{part.near_duplicates:,}" if proof.near_duplicates is not None else "?",
        )
    yield parts
    classes = Table("class", *(part.name for part in proof.parts), title="Share of the photos that show a class")
    for name in list(proof.parts[0].class_shares)[:CLASSES_SHOWN]:
        classes.add_row(name, *(f"{part.class_shares[name]:.1%}" for part in proof.parts))
    if len(proof.parts[0].class_shares) > CLASSES_SHOWN:
        classes.caption = f"and {len(proof.parts[0].class_shares) - CLASSES_SHOWN} more"
    yield classes
