"""``herder soup``: one model from the average of several."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from herder.catalogue import Use, resolve
from herder.cli.evaluation_output import SET_ASIDE, chosen_split, progress_bars, tell_problems
from herder.data.records import Dataset, Severity
from herder.errors import ConfigError

if TYPE_CHECKING:
    from herder.api.soup import SoupRun


class MethodChoice(Enum):
    """Which of the models come into the soup."""

    UNIFORM = "uniform"
    GREEDY = "greedy"


def soup_command(
    models: Annotated[list[str], typer.Argument(help="Model files (.safetensors) of one architecture.")],
    out: Annotated[Path, typer.Option(help="The model file to write.")],
    method: Annotated[
        MethodChoice, typer.Option(help="All models, or only those that do not make the average worse on --data.")
    ] = MethodChoice.UNIFORM,
    data: Annotated[
        Path | None, typer.Option(help="Labelled photos to choose models and the score threshold on.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Split of --data; to be named where there are several.")] = None,
    recalibrate: Annotated[
        Path | None, typer.Option(help="Photos to estimate the batch norms' statistics on; of these the train split.")
    ] = None,
    threshold: Annotated[
        Path | None,
        typer.Option("--threshold-from", help="Cross-validation whose folds together give the score threshold."),
    ] = None,
    iou: Annotated[
        float | None, typer.Option(help="Overlap above which the lower of two boxes is dropped; the first model's.")
    ] = None,
    size: Annotated[int | None, typer.Option(help="Longest side in pixels; the first model's if not given.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Photos at a time.")] = 8,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON, and nothing else, to standard output.")] = False,
) -> None:
    """Average the weights of MODELS that were fine-tuned from one start: a model as fast as each of them.

    The file says what it was made of and on which photos anything was chosen; figures on those are too good. Exit code
    3 when photos or labels had to be set aside.
    """
    if split is not None and data is None:
        raise ConfigError(f"--split {split}: there is no --data that it could be a split of", hint="add --data DATA")
    from herder.api.soup import make_soup  # here, since torch takes seconds to load
    from herder.api.soup_settings import Method, SoupSettings, threshold_from
    from herder.data.formats import available_splits, read_dataset

    dataset: Dataset | None = None
    if data is not None:
        splits = available_splits(data)
        if split is None and len(splits) > 1:
            raise ConfigError(
                f"{data}: on which split the models are chosen must be said: {', '.join(splits)}",
                hint="--split val measures on photos that no model was trained on, but then tells nothing new there",
            )
        dataset = read_dataset(data, split=chosen_split(data, split))
    photos: Dataset | None = None
    if recalibrate is not None:
        there = available_splits(recalibrate)
        photos = read_dataset(recalibrate, split="train" if "train" in there else chosen_split(recalibrate, None))
    problems = [problem for part in (dataset, photos) if part is not None for problem in part.problems]
    score = None if threshold is None else threshold_from(threshold)
    with progress_bars(quiet=as_json) as progress:
        run = make_soup(
            [resolve(model, Use.WEIGHTS) for model in models],
            out,
            SoupSettings(Method(method.value), size, batch, score, iou),
            data=dataset,
            recalibrate=photos,
            progress=progress,
            on_problem=problems.append,
        )
    if as_json:
        typer.echo(json.dumps(run.as_dict(), indent=2, allow_nan=False))
    else:
        _print(run)
    tell_problems(problems)
    if any(problem.severity is Severity.SET_ASIDE for problem in problems):
        raise typer.Exit(SET_ASIDE)


def _print(run: SoupRun) -> None:
    from herder.evaluation.report import number_text

    console = Console(soft_wrap=True)
    chosen = any(i.score is not None for i in run.ingredients)
    table = Table()
    table.add_column("model", overflow="fold")
    table.add_column("in the soup")
    for heading in ("mAP50_95", "average with it") if chosen else ():
        table.add_column(heading, justify="right")
    for i in run.ingredients:
        scores = [number_text(float("nan") if value is None else value) for value in (i.score, i.with_it)]
        table.add_row(escape(str(i.path)), "yes" if i.kept else "no", *(scores if chosen else []))
    console.print(table)
    m = run.metrics
    if m is not None:
        console.print(f"soup: mAP50 {m.map50:.3f}, mAP50_95 {m.map50_95:.3f}, F1 {m.f1:.3f}", highlight=False)
    for note in run.notes:
        console.print(f"note: {note}", markup=False, highlight=False)
    console.print(f"{run.out}: score threshold {run.threshold:.3f}", markup=False, highlight=False)
