"""``herder optimize``: the best small and fast version of a model that keeps the limits given, measured here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from herder.api.optimize_choices import Prefer
from herder.cli.evaluation_output import SET_ASIDE, progress_bars, tell_problems
from herder.cli.model_argument import TeacherOption, WeightsModel
from herder.cli.train import INTERRUPTED, assignments
from herder.errors import ConfigError

if TYPE_CHECKING:
    from herder.api.optimize import OptimizeRun


LEFT_TO_THE_PAGE = ("mAP50-95", "Times as small")

SHORT = {"Drop of mAP50": "drop", "Times as fast": "faster", "Memory MB": "memory"}
"""What columns are called in the terminal."""


def optimize_command(
    model: WeightsModel,
    data: Annotated[Path, typer.Argument(help="Labelled photos: a YOLO, COCO or VOC folder or file.")],
    target: Annotated[str, typer.Option(help="Where the model is to run: cpu, this machine's.")] = "cpu",
    max_latency_ms: Annotated[
        float | None, typer.Option(help="Milliseconds from a decoded photo to boxes, at most.")
    ] = None,
    max_size_mb: Annotated[float | None, typer.Option(help="Size of the model's files, at most.")] = None,
    max_memory_mb: Annotated[float | None, typer.Option(help="Peak memory of a detecting process, at most.")] = None,
    max_drop: Annotated[float | None, typer.Option(help="mAP@0.5 below MODEL, at most.")] = 0.01,
    prefer: Annotated[Prefer, typer.Option(help="Which of those that keep all limits.")] = Prefer.ACCURATE,
    strategies: Annotated[
        str | None,
        typer.Option(
            help="export, quantize, prune, distill, aware, search, with commas.", show_default="all but search"
        ),
    ] = None,
    sizes: Annotated[
        str | None, typer.Option(help="Longest sides in pixels, with commas.", show_default="MODEL's own and 3/4 of it")
    ] = None,
    engines: Annotated[str, typer.Option(help="onnx, openvino, with commas.")] = "onnx,openvino",
    threads: Annotated[int | None, typer.Option(help="CPU threads.", show_default="one a physical core")] = None,
    ratio: Annotated[float, typer.Option(help="Share of the channels that pruning takes out.")] = 0.3,
    student: Annotated[
        str, typer.Option(help="What learns from MODEL: a name such as herder-n, or a model file.")
    ] = "herder-n",
    teacher: TeacherOption = None,
    trials: Annotated[int, typer.Option(help="Architectures that search tries.")] = 20,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training photos in each training.")] = None,
    scratch_epochs: Annotated[
        int | None,
        typer.Option(help="The same for what begins from nothing: search and a new student.", show_default="--epochs"),
    ] = None,
    budget_minutes: Annotated[
        float | None, typer.Option(help="After so long nothing new is begun.", show_default="no end")
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides draws of photos and training.")] = 0,
    device: Annotated[str | None, typer.Option(help="Trains on auto, cpu, cuda or cuda:N.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Any setting of the trainings, such as --set batch_size=8.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for all files, optimize.json and report.html.")] = Path(
        "runs/optimize"
    ),
) -> None:
    """Try what makes MODEL smaller and faster, measure each on this machine, and keep the best within the limits.

    The best that keeps all limits becomes OUT/best.onnx or best.xml. The same command goes on where
    it was stopped; with other limits it picks again. Exit code 3 when a candidate or photos had to be left out or no
    candidate keeps the limits, 130 after Ctrl-C.
    """
    # Here, since torch takes seconds to load: `herder --help` should not wait for it.
    from herder.api.optimize import OptimizeSettings, run_optimization
    from herder.api.optimize_constraints import Constraints
    from herder.api.optimize_networks import TrainingPlan
    from herder.api.optimize_plan import DEFAULT_STRATEGIES
    from herder.api.optimize_report import write_optimize_report
    from herder.training.terminal import TerminalTracker

    flags = {"epochs": epochs, "device": device, "seed": seed}
    changes = {name: value for name, value in flags.items() if value is not None} | assignments(settings or [])
    limits = Constraints(max_latency_ms, max_size_mb, max_memory_mb, max_drop)
    wanted = OptimizeSettings(
        limits,
        prefer,
        _words(strategies) or DEFAULT_STRATEGIES,
        _numbers("--sizes", sizes),
        _words(engines),
        target,
        threads,
        budget_minutes,
        seed,
        TrainingPlan(ratio, student, teacher, changes, trials, scratch_epochs),
    )
    console = Console(soft_wrap=True)

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False)

    with progress_bars(quiet=False) as progress:
        run = run_optimization(
            model, data, out, wanted, say=say, progress=progress, trackers=[TerminalTracker(console)]
        )
    tell_problems(run.problems)
    page = write_optimize_report(run, limits, out, f"{model.name} on {data.name}")
    _print(run, console)
    say(f"report: {page}, pareto.png and optimize.json beside it")
    if run.interrupted:
        say("stopped; the same command goes on")
        raise typer.Exit(INTERRUPTED)
    if run.problems or run.measured.not_tried or run.best is None:
        raise typer.Exit(SET_ASIDE)


def _words(text: str | None) -> tuple[str, ...]:
    return tuple(word.strip() for word in (text or "").split(",") if word.strip())


def _numbers(option: str, text: str | None) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in _words(text))
    except ValueError:
        raise ConfigError(f"{option} {text}: wanted whole numbers with commas", hint="such as 320,416") from None


def _print(run: OptimizeRun, console: Console) -> None:
    """The table of the page, without what eighty columns have no room for."""
    from herder.api.optimize_report import COLUMNS, table_rows

    shown = [i for i, heading in enumerate(COLUMNS) if heading not in LEFT_TO_THE_PAGE]
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for i in shown:
        table.add_column(SHORT.get(COLUMNS[i], COLUMNS[i]), justify="left" if i < 2 else "right")
    for row in table_rows(run, intervals=False):
        table.add_row(*(f"{row[i]:.3f}" if isinstance(row[i], float) else escape(str(row[i])) for i in shown))
    console.print(table)
    for sentence in run.choice.sentences:
        console.print(sentence, markup=False, highlight=False)
    for each in run.measured.not_tried:
        console.print(f"left out: {each.label}: {each.reason}", markup=False, highlight=False)
    chosen = run.choice.best
    if chosen is not None and run.best is not None:
        console.print(f"best: {run.best} ({chosen.label})", markup=False, highlight=False)
