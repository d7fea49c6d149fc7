"""``herder calibrate``: let a score say how often it is right."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from herder.catalogue import beside
from herder.cli.evaluation_output import SET_ASIDE, chosen_split, progress_bars, tell_problems
from herder.cli.model_argument import RunModel
from herder.data.records import Problem, Severity

if TYPE_CHECKING:
    from herder.api.calibration import CalibrationRun

HTML, JSON = "calibration.html", "calibration.json"


def calibrate_command(
    model: RunModel,
    data: Annotated[Path, typer.Argument(help="Labelled photos: a YOLO, COCO or VOC folder or file.")],
    out: Annotated[
        Path | None,
        typer.Option(help="The calibrated model.", show_default="MODEL-calibrated beside MODEL"),
    ] = None,
    split: Annotated[str | None, typer.Option(help="Split of the dataset.", show_default="val")] = None,
    report: Annotated[
        Path | None, typer.Option(help="Folder to write calibration.html and calibration.json to.")
    ] = None,
    floor: Annotated[float, typer.Option(help="Look at detections from this score on.")] = 0.05,
    iou: Annotated[float, typer.Option(help="Overlap with a label from which a detection is right.")] = 0.5,
    seed: Annotated[int, typer.Option(min=0, help="Decides which photos are held out together.")] = 0,
    size: Annotated[int | None, typer.Option(help="Longest side in pixels; the model's own if not given.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Photos at a time.")] = 8,
    engine: Annotated[str, typer.Option(help="auto, torch, onnx or openvino.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON, and nothing else, to standard output.")] = False,
) -> None:
    """Fit a temperature on labelled DATA and write MODEL with it: the same boxes, and scores that can be believed.

    Says what the calibration error was and what it is on photos held out. The weights stay as they are, and so does
    mAP. Exit code 3 when photos or labels had to be set aside.
    """
    from herder.api.calibration import CalibrationSettings, calibrate_model  # here, since they load the engines
    from herder.data.formats import read_dataset
    from herder.files import write_atomic

    settings = CalibrationSettings(floor, iou, seed, size, batch, engine)
    out = out or beside(model, f"{model.stem}-calibrated{model.suffix}")
    dataset = read_dataset(data, split=chosen_split(data, split))
    problems = list(dataset.problems)
    with progress_bars(quiet=as_json) as progress:
        run = calibrate_model(model, dataset, out, settings, progress=progress, on_problem=problems.append)
    content = run.as_dict(["herder", *sys.argv[1:]])
    content["set_aside"] = [f"{problem.path.name}: {problem.message}" for problem in problems]
    text = json.dumps(content, indent=2, allow_nan=False)
    if report:
        write_atomic(report / JSON, text.encode())
        _write_report(report / HTML, run, problems)
    if as_json:
        typer.echo(text)
    else:
        _print(run, report)
    tell_problems(problems)
    if any(problem.severity is Severity.SET_ASIDE for problem in problems):
        raise typer.Exit(SET_ASIDE)


def _write_report(path: Path, run: CalibrationRun, problems: list[Problem]) -> None:
    from herder.evaluation.calibration_sections import calibration_section
    from herder.evaluation.report import write_report
    from herder.evaluation.sections import model_section, problem_section

    sections = [
        calibration_section(run.calibration),
        model_section(run.after, [("Temperature", f"{run.after.temperature:.3f}")]),
        *([problem_section(problems)] if problems else []),
    ]
    parts = (run.model.name, run.dataset.root.name, run.dataset.split)
    write_report(path, "Calibration", sections, " · ".join(filter(None, parts)))


def _print(run: CalibrationRun, report: Path | None) -> None:
    from herder.evaluation.calibration import Reliability
    from herder.evaluation.calibration_sections import verdict
    from herder.evaluation.report import number_text

    console, c = Console(soft_wrap=True), run.calibration
    console.print(
        f"{run.model.name} on {run.dataset.root.name} {run.dataset.split}: {c.photos:,} photos, "
        f"{c.before.detections:,} detections from score {c.floor:g} on, {c.before.hits:,} of them right",
        markup=False,
        highlight=False,
    )
    table = Table("")
    for heading in ("as it is", "calibrated, held out", "by chance alone"):
        table.add_column(heading, justify="right")
    after = c.after if isinstance(c.after, Reliability) else None
    for name, field, chance in (
        ("D-ECE", "ece", number_text(c.before.ece_by_chance)),
        ("Brier score", "brier", ""),
        ("negative log likelihood", "nll", ""),
    ):
        held_out = number_text(getattr(after, field)) if after else "\N{EN DASH}"
        table.add_row(name, number_text(getattr(c.before, field)), held_out, chance)
    console.print(table)
    console.print(verdict(c), markup=False, highlight=False)
    console.print(
        f"{run.out}: temperature {run.after.temperature:.3f}, score threshold {run.after.score_threshold:.3f} "
        f"(before: {run.before.score_threshold:.3f})",
        markup=False,
        highlight=False,
    )
    if report:
        console.print(f"report: {report / HTML}, {JSON} beside it", markup=False, highlight=False)
