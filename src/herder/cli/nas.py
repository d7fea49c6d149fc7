"""``herder nas``: look for networks that are accurate and fast on this machine, and go on where it was stopped."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from herder.api.search_choices import NasEngine, ProxyName, SamplerName
from herder.cli.crossval import single_bar
from herder.cli.evaluation_output import SET_ASIDE
from herder.cli.search import without_password
from herder.cli.train import INTERRUPTED, assignments
from herder.errors import ConfigError

if TYPE_CHECKING:
    from herder.api.architecture_result import ArchitectureRun, ArchitectureTrial


def nas_command(
    data: Annotated[Path, typer.Argument(help="Labelled photos: a YOLO, COCO or VOC folder or file.")],
    out: Annotated[Path | None, typer.Option(help="Folder for everything.", show_default="runs/nas-DATA")] = None,
    trials: Annotated[
        int, typer.Option(help="Architectures that the study shall have, those of earlier runs too.")
    ] = 20,
    epochs: Annotated[int, typer.Option(help="Of the short training that stands for a long one.")] = 5,
    check: Annotated[
        int, typer.Option(help="Train so many longer, and tell how far the short training can be believed.")
    ] = 0,
    check_epochs: Annotated[int, typer.Option(help="Of the longer training.", show_default="4 x --epochs")] = 0,
    proxy: Annotated[
        ProxyName, typer.Option(help="What of the short training counts: mAP on validation photos, or training loss.")
    ] = ProxyName.MAP,
    sampler: Annotated[SamplerName, typer.Option(help="What proposes the next architecture.")] = SamplerName.NSGA2,
    space: Annotated[Path | None, typer.Option(help="TOML file: a table for each dimension with its choices.")] = None,
    sizes: Annotated[
        str | None, typer.Option(help="Input sizes with commas; they go before the file's.", show_default="224,320,416")
    ] = None,
    engine: Annotated[NasEngine, typer.Option(help="What milliseconds are measured in.")] = NasEngine.ONNX,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads of the engine.", show_default="one a physical core")
    ] = None,
    max_latency_ms: Annotated[
        float | None, typer.Option(help="Slower networks are not trained; of the network alone, without suppression.")
    ] = None,
    max_size_mb: Annotated[
        float | None, typer.Option(help="Networks with a larger float32 ONNX file are not trained.")
    ] = None,
    storage: Annotated[
        str, typer.Option(help="Database URL, to search with several processes.", show_default="sqlite in --out")
    ] = "",
    study: Annotated[str, typer.Option(help="Name of the study in the database.")] = "herder-nas",
    seed: Annotated[int, typer.Option(min=0, help="Decides what is tried; --set seed=1 is the training's.")] = 0,
    config: Annotated[Path | None, typer.Option(help="TOML or YAML file of training settings.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Any training setting, such as --set batch_size=8.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON, and nothing else, to standard output.")] = False,
) -> None:
    """Try networks on DATA, each timed on this machine and trained shortly, and keep those that none beats.

    OUT/trial-N.toml is an architecture for `herder train --model`, OUT/trial-N its short run. The same command goes on
    after Ctrl-C; given the URL of one database, several processes on equal machines share a search. Exit code 3 when
    photos or labels had to be set aside, 130 after Ctrl-C.
    """
    from herder.api.architecture_limits import CostLimits  # here, since these load torch
    from herder.api.architecture_report import JSON, check_drawing, correlation_text, write_picture
    from herder.api.architecture_search import ArchitectureSearchSettings, search_architectures
    from herder.api.architecture_space_file import read_architecture_space
    from herder.api.run_photos import read_photos
    from herder.api.training_run import base_config
    from herder.files import write_atomic
    from herder.training.config import load_config

    check_drawing()
    changes = assignments(settings or [])
    for name, option in (("epochs", "--epochs"), ("image_size", "--sizes"), ("patience", "--epochs")):
        if name in changes:
            raise ConfigError(f"--set {name}: the search decides it", hint=f"use {option}")
    training = load_config(config, changes, base=base_config(None))
    tried = read_architecture_space(space, _numbers(sizes))
    wanted = ArchitectureSearchSettings(
        trials,
        epochs,
        check,
        check_epochs,
        proxy,
        sampler,
        engine.value,
        threads,
        CostLimits(max_latency_ms, max_size_mb),
        seed,
        storage,
        study,
    )
    photos = read_photos(data)
    out = out or Path("runs", f"nas-{data.resolve().stem}")
    console = Console(soft_wrap=True, stderr=as_json)

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False)

    for note in photos.notes:
        say(note)
    say(f"{tried.count():,} architectures; {trials} trials, {epochs} epochs each at {_words(tried.input_size)} pixels")
    with single_bar(quiet=as_json) as progress:

        def on_epoch(name: str, epoch: int, total: int, value: float) -> None:
            if progress:
                progress(f"{name}, {training.metric} {value:.3f}", epoch, total)

        run = search_architectures(
            photos,
            training,
            tried,
            out,
            wanted,
            on_trial=lambda trial: say(_told(trial, training.metric)),
            on_epoch=on_epoch,
            say=say,
        )
    text = json.dumps(run.as_dict(["herder", *without_password(sys.argv[1:], storage)]), indent=2, allow_nan=False)
    write_atomic(out / JSON, text.encode())
    picture = write_picture(run, training.metric, out)
    if as_json:
        typer.echo(text)
    else:
        _print(run, console)
    if run.check is not None:
        say(f"does the short training rank as the long one of {run.check.epochs} epochs does?")
        for name, words in ((ProxyName.MAP, training.metric), (ProxyName.LOSS, "training loss")):
            say(f"  by {words} after {epochs} epochs: {correlation_text(run.check, name)}")
    if not run.finished:
        say("stopped; the same command goes on")
        raise typer.Exit(INTERRUPTED)
    if picture is None:
        say("no architecture was trained: allow more milliseconds or megabytes, or more --trials")
    else:
        say(f"picture: {picture}; a dot marks what no other beats in both")
        best = max(run.front, key=lambda trial: trial.score or 0.0)
        say(f"next: herder train {data} --model {out / best.name}.toml")
    if photos.set_aside:
        raise typer.Exit(SET_ASIDE)


def _told(trial: ArchitectureTrial, metric: str) -> str:
    """One line on a trial that ended."""
    from herder.api.architecture_report import network_words

    cost = "" if trial.milliseconds is None else f"{trial.milliseconds:.2f} ms"
    reached = "" if trial.accuracy is None else f"{metric} {trial.accuracy:.3f}"
    why = {"refused": f"not trained: {trial.why}", "pruned": f"given up: {trial.why}", "fail": "stopped"}
    said = why.get(trial.state, trial.why)
    network = network_words(trial.values) if trial.values else ""
    return f"trial {trial.number}: {'; '.join(part for part in (reached, cost, said, network) if part)}"


def _print(run: ArchitectureRun, console: Console) -> None:
    from herder.api.architecture_report import table_rows

    headings, rows = table_rows(run)
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in headings:
        words = heading in ("", "network")
        table.add_column(heading, justify="left" if words else "right", no_wrap=not words)
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _numbers(text: str | None) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in text.split(",")) if text else ()
    except ValueError:
        raise ConfigError(f"--sizes {text}: wanted whole numbers with commas", hint="such as 224,320") from None


def _words(values: tuple[int, ...]) -> str:
    return ", ".join(map(str, values))
