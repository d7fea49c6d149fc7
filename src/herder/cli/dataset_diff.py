"""``herder data diff``: what changed between two versions of a dataset."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from herder.cli.dataset_output import report_problems
from herder.data.diff import DatasetDiff, diff_datasets
from herder.data.formats import read_dataset, read_splits

DIFFERENT = 3
"""Exit code when the two differ."""


def diff_command(
    before: Annotated[Path, typer.Argument(help="A YOLO, COCO or VOC folder, a data.yaml or a COCO .json.")],
    after: Annotated[Path, typer.Argument(help="The other version, in the same format or another.")],
    split: Annotated[str | None, typer.Option(help="One split of both, such as val.", show_default="all")] = None,
    pixels: Annotated[bool, typer.Option(help="Compare photos byte by byte; without, by name and size.")] = True,
    shown: Annotated[int, typer.Option(min=1, help="Photos of one kind to write out.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON to standard output.")] = False,
) -> None:
    """Compare two versions of a dataset: photos, boxes, classes, licences and flags. Nothing is changed.

    Exit code 0: the same. 3: they differ. 2: one of them cannot be used.
    """
    if split is None:
        old, new = read_splits(before), read_splits(after)
    else:
        old, new = ((read_dataset(path, split=split),) for path in (before, after))
    found = diff_datasets(old, new, pixels=pixels)
    if as_json:
        typer.echo(json.dumps(found.as_dict(), indent=2))
    else:
        typer.echo(render(found, shown))
    report_problems([problem for part in (*old, *new) for problem in part.problems])
    if not found.same:
        raise typer.Exit(DIFFERENT)


def render(found: DatasetDiff, shown: int) -> str:
    """The differences as text, at most ``shown`` photos of a kind."""
    lines: list[str] = []
    changed = tuple(map(str, found.changed))
    for kind, names in (("removed", found.removed), ("added", found.added), ("changed", changed)):
        lines += [f"{kind}: {name}" for name in names[:shown]]
        lines += [f"... and {len(names) - shown:,} more {kind}"] if len(names) > shown else []
    for entry in found.classes:
        if entry.before != entry.after:
            counts = ("no such class" if n is None else f"{n:,} boxes" for n in (entry.before, entry.after))
            lines.append(f"class {entry.name}: {' -> '.join(counts)}")
    if found.renumbered:
        lines.append("classes have other numbers: a model trained on the first does not fit the second")
    lines.append(
        f"photos: {found.photos[0]:,} -> {found.photos[1]:,}: {len(found.added):,} added, "
        f"{len(found.removed):,} removed, {len(found.changed):,} changed"
    )
    counted = {"same": "unchanged", "ignore": "with another mark to ignore", "flags": "with other flags"}
    boxes = ", ".join(f"{n:,} {counted.get(kind, kind)}" for kind, n in asdict(found.boxes).items() if n)
    lines.append(f"boxes: {boxes or 'none'}")
    if found.same:
        lines.append(f"the same: fingerprint {found.before}")
    elif found.before == found.after:
        lines.append(f"the fingerprint stays {found.before}: training sees the same labels")
    else:
        lines.append(f"fingerprint: {found.before} -> {found.after}")
        if not (found.added or found.removed or found.changed or found.renumbered):
            lines.append(
                "boxes stand in another order or differ by less than 0.005 pixels, or a class without boxes does"
            )
    return "\n".join(lines)
