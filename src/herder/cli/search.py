"""``herder search``: find better training settings, and go on searching where it was stopped."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from herder.api.search_choices import On, PrunerName
from herder.cli.crossval import photos_of, single_bar
from herder.cli.evaluation_output import SET_ASIDE
from herder.cli.model_argument import InitModel
from herder.cli.train import INTERRUPTED, assignments

if TYPE_CHECKING:
    from herder.api.run_photos import Photos
    from herder.api.setting_search import SearchRun, Trial
    from herder.training.config import TrainConfig

JSON = "search.json"

SHOWN = 10
"""So many trials stand in the table, the best first; search.json has them all."""


def search_command(
    data: Annotated[Path, typer.Argument(help="Labelled photos: a YOLO, COCO or VOC folder or file.")],
    space: Annotated[
        str,
        typer.Option(help="TOML file, a table a setting with low and high or choices; or the word defaults."),
    ] = "defaults",
    trials: Annotated[int, typer.Option(help="Trials that the study shall have, those of earlier runs too.")] = 20,
    on: Annotated[On, typer.Option(help="The validation photos, or the mean over folds.")] = On.HOLDOUT,
    folds: Annotated[int, typer.Option(help="Folds for --on folds.")] = 3,
    pruner: Annotated[PrunerName, typer.Option(help="Which trials are given up early.")] = PrunerName.MEDIAN,
    storage: Annotated[
        str, typer.Option(help="Database URL, to search with several processes.", show_default="sqlite in --out")
    ] = "",
    study: Annotated[str, typer.Option(help="Name of the study in the database.")] = "herder",
    seed: Annotated[int, typer.Option(min=0, help="Decides what is tried; --set seed=1 is the training's.")] = 0,
    config: Annotated[Path | None, typer.Option(help="TOML or YAML file of all other training settings.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Any other training setting, such as --set epochs=30.")
    ] = None,
    init: InitModel = None,
    model: Annotated[
        str | None, typer.Option(help="herder-n/s/m, yolox-nano/tiny/s/m/l/x.", show_default="of --init, or herder-n")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for everything.", show_default="runs/search-DATA")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON, and nothing else, to standard output.")] = False,
) -> None:
    """Train on DATA with many settings and keep the best as a config file for `herder train --config`.

    The same command goes on after Ctrl-C; given the URL of one database, several processes or machines share a search.
    The best value was picked among many, so it is too good: measure the winner on photos that no trial has seen. Exit
    code 3 when photos or labels had to be set aside, 130 after Ctrl-C.
    """
    from herder.api.search_space import read_space  # here, since these load torch
    from herder.api.setting_search import BEST_SETTINGS, SearchSettings, search_settings
    from herder.api.training_run import base_config
    from herder.files import write_atomic
    from herder.training.config import load_config

    training = load_config(config, assignments(settings or []), base=base_config(init, model))
    if training.patience or training.evaluate_every > 1:
        # Trials are compared epoch by epoch, and the pruner is what stops the hopeless ones.
        training = replace(training, patience=0, evaluate_every=1)
    tried = read_space(space, training)
    parts = _parts(data, on, folds, seed, quiet=as_json)
    out = out or Path("runs", f"search-{data.resolve().stem}")
    console = Console(soft_wrap=True, stderr=as_json)

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False)

    def on_trial(trial: Trial) -> None:
        said = {"complete": "", "pruned": ", given up", "fail": ", stopped"}.get(trial.state, f", {trial.state}")
        why = f" ({trial.why})" if trial.why else ""
        say(f"trial {trial.number}: {training.metric} {_number(trial.value)}{said}{why}; {_shown(trial.values)}")

    say(f"{len(tried)} settings are tried: {', '.join(tried)}; {trials} trials of {training.epochs} epochs at most")
    total = training.epochs * len(parts)
    with single_bar(quiet=as_json) as progress:

        def on_epoch(number: int, epoch: int, value: float) -> None:
            if progress:
                progress(f"trial {number}, {training.metric} {value:.3f}", epoch, total)

        run = search_settings(
            parts,
            training,
            tried,
            out,
            SearchSettings(trials, pruner, seed, storage, study),
            model=model,
            init=init,
            on_trial=on_trial,
            on_epoch=on_epoch,
        )
    text = json.dumps(run.as_dict(["herder", *without_password(sys.argv[1:], storage)]), indent=2, allow_nan=False)
    write_atomic(out / JSON, text.encode())
    if as_json:
        typer.echo(text)
    else:
        _print(run, training, console)
    if not run.finished:
        say("stopped; the same command goes on")
        raise typer.Exit(INTERRUPTED)
    if run.best is None:
        say("no trial was complete: try lower learning rates, or --pruner none")
    else:
        start = f" --init {init}" if init else ""
        say(f"next: herder train {data} --config {out / BEST_SETTINGS}{start}")
    if any(part.set_aside for part in parts):
        raise typer.Exit(SET_ASIDE)


def _parts(data: Path, on: On, folds: int, seed: int, *, quiet: bool) -> list[Photos]:
    """The photos: one holdout, or one for each fold."""
    from herder.api.cross_validation import CrossValidationSettings, plan_folds
    from herder.api.run_photos import Photos, read_photos

    if on is On.HOLDOUT:
        return [read_photos(data)]
    dataset = photos_of(data, None)
    with single_bar(quiet=quiet) as progress:
        (plan,) = plan_folds(dataset, CrossValidationSettings(folds=folds, seed=seed), progress).values()
    return [Photos(data, dataset.select(f.train, "train"), dataset.select(f.validation, "val")) for f in plan.folds]


def _print(run: SearchRun, training: TrainConfig, console: Console) -> None:
    names = list(dict.fromkeys(name for trial in run.trials for name in trial.values))
    table = Table("trial", "state")
    for heading in (training.metric, *names):
        table.add_column(escape(heading), justify="right")
    ended = [trial for trial in run.trials if trial.state in ("complete", "pruned")]
    ended.sort(key=lambda trial: (trial.state != "complete", -(trial.value or 0), trial.number))
    for trial in ended[:SHOWN]:
        state = "given up" if trial.state == "pruned" else trial.state
        cells = [_number(trial.values.get(name)) for name in names]
        table.add_row(str(trial.number), state, _number(trial.value), *(escape(cell) for cell in cells))
    console.print(table)


def _shown(values: object) -> str:
    return (
        ", ".join(f"{name} {_number(value)}" for name, value in dict(values).items())
        if isinstance(values, dict)
        else ""
    )


def _number(value: object) -> str:
    return "\N{EN DASH}" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


def without_password(words: list[str], storage: str) -> list[str]:
    """The words of the command; a database URL may hold a password, which goes into no file."""
    hidden = re.sub(r"//[^/@]*@", "//...@", storage)
    return [word.replace(storage, hidden) if storage else word for word in words]
