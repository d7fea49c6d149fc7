"""``herder benchmark``: what a model costs: size, work, time and memory, in each engine."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from herder.cli.evaluation_output import SET_ASIDE, chosen_split, progress_bars
from herder.cli.model_argument import RunModel
from herder.cli.photo_paths import find_photos
from herder.errors import ConfigError, DataError
from herder.files import write_atomic

if TYPE_CHECKING:
    from herder.data.records import Dataset
    from herder.evaluation.cost import Cost

JSON, HTML = "cost.json", "cost.html"

DRAWN_SIDE = 640
"""Pixels of the side of drawn scenes."""


def benchmark_command(
    model: RunModel,
    data: Annotated[
        Path | None, typer.Option(help="Folder of photos, or a labelled dataset; drawn scenes if not given.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Split of a labelled dataset.", show_default="val")] = None,
    engines: Annotated[
        str | None, typer.Option(help="torch, onnx, openvino, with commas.", show_default="all that can run MODEL")
    ] = None,
    threads: Annotated[
        str | None, typer.Option(help="CPU threads, with commas.", show_default="one a physical core")
    ] = None,
    batch: Annotated[str, typer.Option(help="Photos at a time, with commas.")] = "1",
    streams: Annotated[str, typer.Option(help="Batches on their way at a time, with commas; not for torch.")] = "1",
    sizes: Annotated[
        str | None, typer.Option(help="Longest sides in pixels, with commas.", show_default="the model's own")
    ] = None,
    device: Annotated[str, typer.Option(help="auto (CUDA too where it is), cpu or cuda; CUDA is for torch.")] = "auto",
    timings: Annotated[int, typer.Option(min=1, help="Batches to time; p99 needs 100, p95 needs 20.")] = 100,
    photos: Annotated[int, typer.Option(min=1, help="Photos to time on, spread evenly over those there are.")] = 24,
    accuracy: Annotated[
        bool, typer.Option("--accuracy", help="Measure mAP, too: the same file, engine and size, on all of DATA.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for cost.json and cost.html.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON, and nothing else, to standard output.")] = False,
) -> None:
    """Measure size, work, speed and memory of MODEL in each engine, for each number of threads, streams, batch, size.

    Every configuration runs in a fresh process, without its warm-up. With several streams photos wait longer, and there
    are more of them a second. Exit code 3 when one that was asked for by name
    had to be left out.
    """
    from herder.api.cost import CostSettings, measure_cost  # here, since it loads torch

    settings = CostSettings(
        tuple(_words(engines)),
        _numbers("--threads", threads),
        _numbers("--batch", batch) or (1,),
        _numbers("--sizes", sizes),
        device,
        timings,
        streams=_numbers("--streams", streams) or (1,),
    )
    with tempfile.TemporaryDirectory(prefix="herder-scenes-") as scenes, progress_bars(quiet=as_json) as progress:
        chosen, labelled, about = _photos(data, split, photos, Path(scenes))
        if accuracy and (labelled is None or data is None):
            where = f"{data} has no labels that herder reads" if data else "drawn scenes tell nothing of real photos"
            raise ConfigError(f"--accuracy: {where}", hint="name a labelled dataset with --data")
        cost = measure_cost(model, chosen, settings, labelled=labelled if accuracy else None, progress=progress)
    text = json.dumps(_content(model, cost, about), indent=2, ensure_ascii=False, allow_nan=False)
    if out:
        from herder.evaluation.cost_sections import cost_section
        from herder.evaluation.report import write_report

        write_atomic(out / JSON, text.encode())
        write_report(out / HTML, "Cost", [cost_section(cost)], f"{model.name} · {about['name']}")
    if as_json:
        typer.echo(text)
    else:
        _print(model, cost, about, out)
    if settings.engines and cost.left_out:
        raise typer.Exit(SET_ASIDE)


def _words(text: str | None) -> list[str]:
    return [word.strip() for word in (text or "").split(",") if word.strip()]


def _numbers(option: str, text: str | None) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in _words(text))
    except ValueError:
        raise ConfigError(f"{option} {text}: wanted whole numbers with commas", hint="such as 1,2") from None


def _photos(
    data: Path | None, split: str | None, limit: int, scenes: Path
) -> tuple[list[Path], Dataset | None, dict[str, Any]]:
    """Photos to time on, the labelled dataset they are from where there is one, and its facts for the result."""
    if data is None:
        from herder.data.pasture import PastureConfig, write_pasture

        _, drawn = write_pasture(scenes, train=0, val=limit, config=PastureConfig(size=DRAWN_SIDE))
        about = {"name": "drawn pastures", "split": "", "fingerprint": drawn.fingerprint(), "photos": len(drawn)}
        return [record.path for record in drawn], None, about
    from herder.data.formats import read_dataset

    if not data.exists():
        raise DataError(f"{data}: no such folder or file", hint="check the path")
    if _is_labelled(data):
        dataset = read_dataset(data, split=chosen_split(data, split))
        paths = [record.path for record in dataset]
        about = {"name": dataset.root.name, "split": dataset.split, "fingerprint": dataset.fingerprint()}
    else:
        dataset = None
        paths = find_photos([str(data)], recursive=True, problem=lambda name, reason: None)
        about = {"name": data.resolve().name, "split": "", "fingerprint": None}
    if not paths:
        raise DataError(f"{data}: no photos in this folder", hint="name a folder of photos")
    count = min(limit, len(paths))
    chosen = [paths[i * len(paths) // count] for i in range(count)]
    return chosen, dataset, {**about, "photos": count}


def _is_labelled(data: Path) -> bool:
    """Whether ``data`` is a dataset; photos without labels are as welcome."""
    from herder.data.formats.detect import find_layout

    try:
        find_layout(data)
    except DataError:
        return False
    return True


def _content(model: Path, cost: Cost, about: dict[str, Any]) -> dict[str, Any]:
    from herder.evaluation.plain_values import to_plain
    from herder.evaluation.prediction_store import file_sha256

    return {
        "kind": "cost",
        "version": 1,
        "herder_version": version("herder"),
        "command": ["herder", *sys.argv[1:]],
        "model": {"name": cost.model, "path": model.name, "sha256": file_sha256(model)},
        "data": about,
        **{name: value for name, value in to_plain(cost).items() if name != "model"},
    }


def _print(model: Path, cost: Cost, about: dict[str, Any], out: Path | None) -> None:
    from herder.evaluation.cost_sections import time_columns, time_rows
    from herder.evaluation.not_computed import NotComputed

    console, machine = Console(soft_wrap=True, highlight=False), cost.machine

    def say(text: str) -> None:
        console.print(text, markup=False)

    say(f"{model.name} on {about['photos']} photos of {about['name']}; {machine.cpu}, {machine.cores} cores")
    for artifact in cost.artifacts:
        parameters = artifact.parameters
        count = str(parameters) if isinstance(parameters, NotComputed) else f"{parameters:,} parameters"
        origin = f", exported from {artifact.made_from} for this" if artifact.made_from else ""
        say(f"{artifact.file}: {count}, {artifact.bytes / 1e6:.2f} MB, sha256 {artifact.sha256[:12]}{origin}")
    work = {one.configuration.size: one.flops for one in cost.measurements}
    for size, flops in work.items():
        amount = str(flops) if isinstance(flops, NotComputed) else f"{flops / 1e9:.2f} GFLOPs"
        say(f"{size} px: {amount} a photo (2 x multiply-accumulates of convolutions and matrix products)")
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))  # twelve columns on a terminal of eighty
    for heading in time_columns(cost):
        table.add_column(heading.replace(" ", "\n"), justify="left" if heading in ("Engine", "Device") else "right")
    for row in time_rows(cost):
        table.add_row(*map(str, row))
    console.print(table)
    for line in _notes(cost):
        say(line)
    if out:
        say(f"report: {out / HTML}, {JSON} beside it")


def _notes(cost: Cost) -> Sequence[str]:
    """What the table alone does not tell."""
    from herder.evaluation.cost_sections import missing_times

    notes = missing_times(cost)
    if cost.machine.busy:
        notes.append("the machine was busy with other programs: times may be too long, measure again when it is quiet")
    return notes + [f"left out: {one.configuration}: {one.reason}" for one in cost.left_out]
