"""``herder compare``: whether one detector is better than another, and whether that may be chance."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from herder.cli.evaluation_output import SET_ASIDE, chosen_split, progress_bars, tell_problems
from herder.data.records import Problem, Severity
from herder.errors import ConfigError
from herder.evaluation.not_computed import NotComputed

if TYPE_CHECKING:
    from herder.api.comparison import ComparisonRun
    from herder.evaluation.comparison.result import Comparison
    from herder.evaluation.significance import Gate
    from herder.evaluation.significance.gate import Kind

NOT_PASSED = 1
"""Exit code when the gate says no."""

HTML, JSON = "comparison.html", "comparison.json"

NONE = str(NotComputed(""))
"""How a cell begins that has no number."""

_SIDE = (
    "a model file; a run folder; a folder of run folders or of a cross-validation, or several paths with commas: "
    "seeds or folds of one side; or a JSON file of detections (with --truth)."
)


def compare_command(
    a: Annotated[str, typer.Argument(help=f"What is there: {_SIDE}")],
    b: Annotated[str, typer.Argument(help="What may be better: the same.")],
    data: Annotated[Path | None, typer.Option(help="Labelled photos: a YOLO, COCO or VOC folder or file.")] = None,
    split: Annotated[str | None, typer.Option(help="Split of the dataset.", show_default="val")] = None,
    truth: Annotated[Path | None, typer.Option(help="COCO annotation file for two files of detections.")] = None,
    metric: Annotated[str, typer.Option(help="What decides: mAP50, mAP50_95 or F1.")] = "mAP50_95",
    gate: Annotated[
        str | None, typer.Option(help="better or not-worse: exit code 0 only if B is, at the level, else 1.")
    ] = None,
    margin: Annotated[
        float, typer.Option(help="By how much B must be better; with not-worse, how much worse it may be.")
    ] = 0.0,
    level: Annotated[float, typer.Option(help="Of confidence, for intervals and for the gate.")] = 0.95,
    draws: Annotated[int, typer.Option(help="Of photos, for the bootstrap and for the permutation test.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Decides the draws.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Folder for the result.", show_default="runs/compare-A-B")] = None,
    size: Annotated[int | None, typer.Option(help="Longest side in pixels; each model's own if not given.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Photos at a time.")] = 8,
    engine: Annotated[str, typer.Option(help="auto, torch, onnx or openvino.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON, and nothing else, to standard output.")] = False,
) -> None:
    """Say whether B is better than A, by how much, and how sure that is.

    On photos (--data): bootstrap and permutation test over the photos. With several seeds or folds a side: tests on
    them, too. Writes comparison.json and comparison.html. Exit code 1 when the --gate is not passed, 3 when photos or
    labels had to be set aside.
    """
    from herder.api.comparison import ComparisonSettings, compare_sides  # here, since they load the engines
    from herder.api.comparison_photos import RunSettings
    from herder.data.formats import read_dataset
    from herder.files import write_atomic

    settings = ComparisonSettings(metric, _gate(gate, margin), level, draws, seed, RunSettings(size, batch, engine))
    dataset = read_dataset(data, split=chosen_split(data, split)) if data else None
    problems = list(dataset.problems) if dataset else []
    out = out or Path("runs", f"compare-{_short(a)}-{_short(b)}")
    with progress_bars(quiet=as_json) as progress:
        run = compare_sides(
            a, b, settings, out, dataset=dataset, truth=truth, progress=progress, on_problem=problems.append
        )
    content = run.as_dict(["herder", *sys.argv[1:]])
    content["set_aside"] = [f"{problem.path.name}: {problem.message}" for problem in problems]
    text = json.dumps(content, indent=2, allow_nan=False)
    write_atomic(out / JSON, text.encode())
    _write_report(out / HTML, run, problems)
    if as_json:
        typer.echo(text)
    else:
        _print(run.result, out)
    tell_problems(problems)
    if run.result.verdict and not run.result.verdict.passed:
        raise typer.Exit(NOT_PASSED)
    if any(problem.severity is Severity.SET_ASIDE for problem in problems):
        raise typer.Exit(SET_ASIDE)


def _gate(kind: str | None, margin: float) -> Gate | None:
    from herder.evaluation.significance import Gate

    if kind is None:
        if margin:
            raise ConfigError("--margin: there is no gate", hint="say --gate better or --gate not-worse")
        return None
    return Gate(cast("Kind", kind), margin)


def _short(side: str) -> str:
    """A side as a part of a folder's name: the last part of the first path."""
    path = Path(side.split(",")[0].strip())
    name = path.parent.name if path.name == "best.safetensors" and path.parent.name else path.stem
    return re.sub(r"[^\w.-]+", "-", name)[:60] or "side"


def _write_report(path: Path, run: ComparisonRun, problems: list[Problem]) -> None:
    from herder.evaluation.comparison.pictures import gain_section
    from herder.evaluation.comparison.sections import comparison_sections
    from herder.evaluation.report import write_report
    from herder.evaluation.sections import problem_section

    photos = run.found
    sections = [
        *comparison_sections(run.result),
        *([gain_section(run.result, photos.dataset, photos.a[0], photos.b[0], run.shown)] if photos else []),
        *([problem_section(problems)] if problems else []),
    ]
    data = "" if photos is None else " ".join(filter(None, (photos.about["name"], photos.about["split"])))
    title = f"{run.result.a.name} and {run.result.b.name}"
    write_report(path, f"Comparison: {title}", sections, data)


def _print(result: Comparison, out: Path) -> None:
    from herder.evaluation.comparison.cells import photo_cells, seed_cells

    console = Console(soft_wrap=True)

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False)

    for letter, side in (("A", result.a), ("B", result.b)):
        say(f"{letter} is {side}")
    for view, cells in ((result.photos, photo_cells), (result.seeds, seed_cells)):
        if isinstance(view, NotComputed):
            continue
        caption, columns, rows = cells(result)
        table = Table(box=SIMPLE, padding=(0, 1, 0, 0), title=caption, title_justify="left", title_style="")
        for index, column in enumerate(columns):
            table.add_column(column, justify="right" if index else "left", no_wrap=True)
        for row in rows:
            table.add_row(*("-" if cell.startswith(NONE) else escape(cell) for cell in row))
        console.print(table)
        # The reasons are too long for a narrow column: each stands once, below.
        for reason in dict.fromkeys(cell for row in rows for cell in row if cell.startswith(NONE)):
            say(f"- {reason}")
    for name, view in (("over photos", result.photos), ("over seeds", result.seeds)):
        if isinstance(view, NotComputed):
            say(f"{name}: {view}")
    for sentence in (*result.notes, result.words):
        say(sentence)
    if result.verdict:
        say(f"gate {'passed' if result.verdict.passed else 'not passed'}: {result.verdict.words}")
    say(f"report: {out / HTML}, {JSON} beside it")
