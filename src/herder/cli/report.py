"""``herder report``: everything that is known of one or several runs, on one page."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from herder.catalogue import beside
from herder.cli.evaluation_output import SET_ASIDE, chosen_split, progress_bars, tell_problems
from herder.data.records import Problem, Severity
from herder.errors import ConfigError


def report_command(
    runs: Annotated[
        list[Path], typer.Argument(help="Run folders, folders of results, model files; the first is compared with.")
    ],
    data: Annotated[
        Path | None, typer.Option(help="Labelled photos to measure on.", show_default="what the first run trained on")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Split of the dataset.", show_default="val")] = None,
    out: Annotated[Path | None, typer.Option(help="HTML file to write.", show_default="report.html in the run")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Write a Markdown file beside it, too.")] = False,
    draws: Annotated[int, typer.Option(min=100, help="Bootstrap draws of photos for the intervals.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Decides the draws.")] = 0,
    size: Annotated[int | None, typer.Option(help="Longest side in pixels; each model's own if not given.")] = None,
    engine: Annotated[str, typer.Option(help="auto, torch, onnx or openvino.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON, and nothing else, to standard output.")] = False,
) -> None:
    """Make one page of RUNS: numbers with intervals, curves, errors, photos, training, and what was left by other
    commands (robustness, compare, crossval, benchmark, calibrate) in the run folders.

    The page is one HTML file that needs no network; its content lies beside it as JSON. Of several runs each is
    compared with the first. Exit code 3 when photos or labels had to be set aside.
    """
    from herder.api.lab_report import make_report  # here, since they load the engines
    from herder.api.lab_runs import find_run
    from herder.api.lab_sections import ReportSettings
    from herder.data.formats import read_dataset
    from herder.evaluation.report import write_report
    from herder.evaluation.report_forms import write_markdown
    from herder.files import write_atomic

    found = [find_run(path) for path in runs]
    models = any(run.model is not None for run in found)
    if data is None and models:
        data = next((Path(run.data) for run in found if run.data and Path(run.data).exists()), None)
        if data is None and not any(run.results or run.epochs for run in found):
            raise ConfigError("report: nothing says on which photos to measure", hint="give --data")
    first = found[0].path
    place = out or (first / "report.html" if first.is_dir() else beside(first, "report.html"))
    problems: list[Problem] = []
    dataset = read_dataset(data, split=chosen_split(data, split)) if data is not None and models else None
    if dataset is not None:
        problems += dataset.problems
    with progress_bars(quiet=as_json) as progress:
        report = make_report(
            found,
            dataset,
            place.parent,
            ReportSettings(draws, seed, size, engine),
            command=["herder", *sys.argv[1:]],
            progress=progress,
            on_problem=problems.append,
        )
    text = json.dumps(report.content, indent=1, allow_nan=False)
    write_report(place, report.title, report.sections, report.subtitle)
    write_atomic(place.with_suffix(".json"), text.encode())
    if markdown:
        write_markdown(place.with_suffix(".md"), report.title, report.sections, report.subtitle)
    if as_json:
        typer.echo(text)
    else:
        typer.echo(f"report: {place}")
    tell_problems(problems)
    if any(problem.severity is Severity.SET_ASIDE for problem in problems):
        raise typer.Exit(SET_ASIDE)
