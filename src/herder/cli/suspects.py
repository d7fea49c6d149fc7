"""``herder data suspects``: which labels to look at again."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from herder.cli.evaluation_output import SET_ASIDE, progress_bars, tell_problems
from herder.data.records import Dataset, Severity
from herder.errors import ConfigError, DataError
from herder.evaluation.label_suspects import SuspectKind

if TYPE_CHECKING:
    from herder.api.label_suspects import SuspectRun

JSON, HTML = "suspects.json", "suspects.html"


def suspects_command(
    models: Annotated[
        list[Path],
        typer.Argument(metavar="MODEL... DATA", help="Folders of `herder crossval` or model files; last the photos."),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write suspects.json, suspects.html and the picture grids to.")],
    split: Annotated[
        str | None, typer.Option(help="Split whose labels are judged; another than train must be named.")
    ] = None,
    trained_on: Annotated[
        list[Path] | None,
        typer.Option(help="Text file of the photos that a model file was trained on; one for each, in their order."),
    ] = None,
    unseen: Annotated[
        bool, typer.Option("--unseen", help="The model files have seen none of these photos: you say so.")
    ] = False,
    as_ignore: Annotated[
        Path | None,
        typer.Option(help="Also write a copy of the dataset in which training ignores suspects of the --ignore kinds."),
    ] = None,
    ignore: Annotated[
        list[SuspectKind] | None,
        typer.Option(
            help="For --as-ignore: a kind, may come more than once. Missing animals get a box, others' labels stay.",
            show_default=SuspectKind.MISSING.value,
        ),
    ] = None,
    least: Annotated[
        float, typer.Option(min=0, max=1, help="For --as-ignore: leave out what is less suspicious.")
    ] = 0.0,
    link: Annotated[bool, typer.Option(help="For --as-ignore: hard links in place of copies of the photos.")] = False,
    size: Annotated[int | None, typer.Option(help="Longest side in pixels; the models' own if not given.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Photos at a time.")] = 8,
    as_json: Annotated[bool, typer.Option("--json", help="Write suspects.json to standard output, too.")] = False,
) -> None:
    """Rank the labels of DATA by how wrong they look to MODELs that have not seen the photos. DATA stays as it is.

    The same command goes on where it was stopped. Exit code 3 when photos or labels had to be set aside.
    """
    if as_ignore is None and (ignore or least or link):
        raise ConfigError("suspects: --ignore, --least and --link are for --as-ignore", hint="add --as-ignore FOLDER")
    if len(models) < 2:
        raise ConfigError(
            "suspects: a model and a dataset are needed", hint="herder data suspects CROSSVAL DATA --out F"
        )
    *paths, data = models
    from herder.api.label_suspects import PREDICTIONS, suspect_labels, write_as_ignore  # here, since they load torch
    from herder.api.unseen import read_judges
    from herder.data.formats import read_splits
    from herder.data.quality.cleaning import format_of
    from herder.files import write_atomic, writing

    judges = read_judges(paths, trained_on or (), unseen=unseen)
    parts = read_splits(data)
    dataset = _judged(data, parts, split)
    with writing(out):
        others = [f.name for f in out.iterdir() if f.name != PREDICTIONS] if out.exists() else []
    if others and JSON not in others:
        raise ConfigError(f"{out}: holds other files", hint="choose a new folder, or one of an earlier run")
    if as_ignore is not None and as_ignore.exists() and (not as_ignore.is_dir() or any(as_ignore.iterdir())):
        raise DataError(f"{as_ignore}: is there already", hint="give a new folder: nothing is ever written over")
    problems = [problem for part in parts for problem in part.problems]
    with progress_bars(quiet=as_json) as progress:
        run = suspect_labels(
            judges, dataset, out, size=size, batch=batch, progress=progress, on_problem=problems.append
        )
    text = json.dumps(run.as_dict(["herder", *sys.argv[1:]]), indent=1, allow_nan=False)
    write_atomic(out / JSON, text.encode())
    _write_pictures(out, run)
    ignored = 0
    if as_ignore is not None:
        ignored = write_as_ignore(
            run, parts, as_ignore, format_of(data), kinds=ignore or (SuspectKind.MISSING,), least=least, link=link
        )
    if as_json:
        typer.echo(text)
    else:
        _print(run, out, as_ignore, ignored)
    tell_problems(problems)
    if any(problem.severity is Severity.SET_ASIDE for problem in problems):
        raise typer.Exit(SET_ASIDE)


def _judged(data: Path, parts: tuple[Dataset, ...], split: str | None) -> Dataset:
    """The split whose labels are judged: train, or the whole of a dataset without splits; others only by name."""
    there = {part.split: part for part in parts}
    wanted = split if split is not None else ("train" if "train" in there else "")
    if wanted in there:
        return there[wanted]
    known = ", ".join(filter(None, there)) or "none"
    if split is None:
        raise ConfigError(
            f"{data}: has no train split, and labels that models are measured by are judged only if you say so",
            hint=f"name the split with --split; there are: {known}",
        )
    raise DataError(f"{data}: no split {split!r}", hint=f"there are: {known}")


def _write_pictures(out: Path, run: SuspectRun) -> None:
    from herder.drawing import save_picture
    from herder.evaluation.report import write_report
    from herder.evaluation.suspect_sections import suspect_grid, suspect_sections

    grids = {}
    for kind in SuspectKind:
        picture = suspect_grid(run.dataset, run.of(kind))
        if picture is not None:
            grids[kind] = picture
            save_picture(out / f"{kind.value}.jpg", picture)
        else:
            (out / f"{kind.value}.jpg").unlink(missing_ok=True)  # of an earlier run
    sections = suspect_sections(run.dataset, run.suspects, run.confidence, grids)
    parts = (run.dataset.root.name, run.dataset.split)
    write_report(out / HTML, "Suspect labels", sections, " · ".join(filter(None, parts)))


def _print(run: SuspectRun, out: Path, as_ignore: Path | None, ignored: int) -> None:
    from herder.evaluation.suspect_sections import MEANINGS

    console = Console(soft_wrap=True)
    table = Table("kind", "what it is")
    table.add_column("labels", justify="right")
    for kind in SuspectKind:
        table.add_row(kind.value, MEANINGS[kind], f"{len(run.of(kind)):,}")
    console.print(table)
    first = [run.dataset[i].path.name for i in run.photo_order()[:5]]
    console.print(f"{len(run.dataset):,} photos judged, {len(run.photo_order()):,} with suspects", highlight=False)
    if run.not_judged:
        console.print(f"{run.not_judged:,} photos were not judged: every model has seen them", highlight=False)
    if first:
        console.print(f"look first at {', '.join(first)}", markup=False, highlight=False)
    console.print(f"pictures and list: {out / HTML}", markup=False, highlight=False)
    if as_ignore is not None:
        console.print(f"{as_ignore}: training will ignore {ignored:,} of these", markup=False, highlight=False)
