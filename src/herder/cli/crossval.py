"""``herder crossval``: how good a way of training is on photos that were not trained on, and how steady that is."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from herder.cli.evaluation_output import SET_ASIDE, tell_problems
from herder.cli.model_argument import InitModel
from herder.cli.train import INTERRUPTED, assignments
from herder.data.folds import Strategy
from herder.data.grouping import GAP, GroupBy
from herder.data.records import Dataset, Problem, Severity

if TYPE_CHECKING:
    from herder.api.cross_validation import CrossValidationRun

HTML, JSON = "crossval.html", "crossval.json"

TEST = "test"
"""The split that stays out unless it is asked for: it is for the final measurement."""


def crossval_command(
    data: Annotated[Path, typer.Argument(help="Labelled photos: a YOLO, COCO or VOC folder or file.")],
    folds: Annotated[int, typer.Option(help="Parts that the photos are dealt out to: so many trainings.")] = 5,
    strategy: Annotated[
        list[Strategy] | None,
        typer.Option(help="How photos are dealt out; may come more than once.", show_default="stratified"),
    ] = None,
    repeats: Annotated[int, typer.Option(help="Times that the photos are dealt out anew.")] = 1,
    config: Annotated[Path | None, typer.Option(help="TOML or YAML file of training settings.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Any training setting, such as --set epochs=30.")
    ] = None,
    init: InitModel = None,
    model: Annotated[
        str | None, typer.Option(help="herder-n/s/m, yolox-nano/tiny/s/m/l/x.", show_default="of --init, or herder-n")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Only the photos of this split.", show_default="all splits but test")
    ] = None,
    near_duplicates: Annotated[
        bool, typer.Option(help="Decode all photos and keep those that are nearly the same in one fold.")
    ] = True,
    group_by: Annotated[
        list[GroupBy] | None,
        typer.Option(help="Keep photos of one author, camera, folder or visit in one fold; may come more than once."),
    ] = None,
    gap: Annotated[
        float, typer.Option(min=0, help="Minutes without a photo after which a camera's next visit begins.")
    ] = GAP.total_seconds() / 60,
    seed: Annotated[int, typer.Option(min=0, help="Decides the folds; --set seed=1 is the training's.")] = 0,
    best_epoch: Annotated[
        bool, typer.Option("--best-epoch", help="Measure each fold's best epoch, not its last: a little too good.")
    ] = False,
    draws: Annotated[int, typer.Option(min=100, help="Bootstrap draws of photos, for the intervals.")] = 1000,
    out: Annotated[Path | None, typer.Option(help="Folder for everything.", show_default="runs/crossval-DATA")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the cross-validation in --out.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON, and nothing else, to standard output.")] = False,
) -> None:
    """Train a detector for each fold of DATA and measure each on the photos that it did not see.

    Near duplicates and photos of one group never stand on both sides. Writes crossval.json, crossval.html, folds.json
    and a run folder for each fold. After Ctrl-C the same command goes on with --resume. Exit code 3 when photos or
    labels had to be set aside, 130 after Ctrl-C.
    """
    from herder.api.cross_validation import CrossValidationSettings, cross_validate  # here, since they load torch
    from herder.api.training_run import base_config
    from herder.files import write_atomic
    from herder.training.config import load_config
    from herder.training.terminal import TerminalTracker

    chosen = CrossValidationSettings(
        tuple(strategy or (Strategy.STRATIFIED,)),
        folds,
        repeats,
        seed,
        near_duplicates,
        tuple(group_by or ()),
        timedelta(minutes=gap),
        best_epoch,
        draws,
    )
    training = load_config(config, assignments(settings or []), base=base_config(init, model))
    dataset = photos_of(data, split)
    out = out or Path("runs", f"crossval-{data.resolve().stem}")
    problems = list(dataset.problems)
    # With --json standard output is for JSON alone.
    console = Console(soft_wrap=True, stderr=as_json)

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False)

    with single_bar(quiet=as_json) as progress:
        run = cross_validate(
            data,
            dataset,
            training,
            out,
            chosen,
            model=model,
            init=init,
            resume=resume,
            trackers=lambda fold: [TerminalTracker(console)],
            progress=progress,
            say=say,
            on_problem=problems.append,
        )
    if run is None:
        say(f"stopped; go on with the same command and --resume --out {out}")
        raise typer.Exit(INTERRUPTED)
    content = run.as_dict(["herder", *sys.argv[1:]])
    content["set_aside"] = [f"{problem.path.name}: {problem.message}" for problem in problems]
    text = json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False)
    write_atomic(out / JSON, text.encode())
    _write_report(out / HTML, run, problems)
    if as_json:
        typer.echo(text)
    else:
        _print(run, out)
    tell_problems(problems)
    if any(problem.severity is Severity.SET_ASIDE for problem in problems):
        raise typer.Exit(SET_ASIDE)


def photos_of(data: Path, split: str | None) -> Dataset:
    """The photos of one split; without a name those of all splits but test, as one dataset.

    Raises DataError where there are none.
    """
    from herder.data.formats import join, read_dataset, read_splits

    if split is not None:
        return read_dataset(data, split=split)
    parts = read_splits(data)
    kept = [part for part in parts if part.split != TEST] or list(parts)
    if len(kept) == 1:
        return kept[0]
    return replace(join(kept), split="+".join(part.split for part in kept))


def _write_report(path: Path, run: CrossValidationRun, problems: list[Problem]) -> None:
    from herder.evaluation.cross_validation_sections import crossval_sections
    from herder.evaluation.report import write_report
    from herder.evaluation.sections import problem_section

    sections = [*crossval_sections(run.result), *([problem_section(problems)] if problems else [])]
    parts = (run.model, run.dataset.root.name, run.dataset.split)
    write_report(path, "Cross-validation", sections, " · ".join(filter(None, parts)))


def _print(run: CrossValidationRun, out: Path) -> None:
    from herder.evaluation.cross_validation import METRICS
    from herder.evaluation.cross_validation_sections import measure_of, shown, title
    from herder.evaluation.not_computed import NotComputed
    from herder.evaluation.report import number_text

    result, console = run.result, Console(soft_wrap=True)
    table = Table()
    table.add_column("fold", no_wrap=True)
    for heading in ("photos", "boxes", *(title(name) for name in METRICS)):
        table.add_column(heading, justify="right")
    for fold in result.folds:
        values = [number_text(fold.metrics.get(name, float("nan"))) for name in METRICS]
        name = f"{fold.strategy} {fold.repeat}-{fold.fold}"
        table.add_row(name, f"{fold.photos:,}", f"{fold.truths:,}", *values)
    spreads = result.spreads()
    for strategy in result.strategies:
        for label, part in (("mean", "mean"), ("std", "std")):
            values = [getattr(s, part) for s in spreads if s.strategy == strategy]
            cells = ["\N{EN DASH}" if isinstance(v, NotComputed) else number_text(v) for v in values]
            table.add_row(f"{strategy} {label}", "", "", *cells)
    console.print(table)

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False)

    for note in result.notes:
        say(note)
    for pooled in result.pooled:
        for name in ("mAP50", "mAP50_95"):
            measure = measure_of(pooled, name)
            where = f"{pooled.strategy} {pooled.repeat}, all folds together"
            say(f"{where}: {title(name)} {shown(measure.value)}, 95 % interval {measure.interval}")
    say(f"robustness score: {shown(result.robustness())}")
    reused = f", {run.reused} of {len(result.folds)} folds from an earlier run" if run.reused else ""
    say(f"report: {out / HTML}, {JSON} beside it{reused}")


@contextmanager
def single_bar(*, quiet: bool) -> Iterator[Callable[[str, int, int], None] | None]:
    """A bar on the terminal while there is something to do, which leaves nothing behind; none where nobody watches.

    Unlike ``progress_bars`` it is gone between two parts: the training has one of its own, and a terminal shows one at
    a time.
    """
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield None
        return
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    shown: list[Progress] = []

    def advance(what: str, done: int, total: int) -> None:
        if not shown:
            shown.append(Progress(*columns, console=console, transient=True))
            shown[0].start()
            shown[0].add_task(what, total=total)
        shown[0].update(shown[0].task_ids[0], description=what, completed=done, total=total)
        if done >= total:
            shown.pop().stop()

    try:
        yield advance
    finally:
        for bar in shown:
            bar.stop()
