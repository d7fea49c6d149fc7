"""``herder robustness``: what is left of a model when the photos get worse."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from herder.cli.evaluation_output import SET_ASIDE, chosen_split, progress_bars, tell_problems
from herder.cli.model_argument import RunModel
from herder.data.records import Problem, Severity
from herder.errors import ConfigError

if TYPE_CHECKING:
    from herder.api.robustness import RobustnessRun

HTML, JSON = "robustness.html", "robustness.json"


def robustness_command(
    model: RunModel,
    data: Annotated[Path, typer.Argument(help="Labelled photos: a YOLO, COCO or VOC folder or file.")],
    split: Annotated[str | None, typer.Option(help="Split of the dataset.", show_default="val")] = None,
    corruptions: Annotated[
        str, typer.Option(help="all, published (the 15), own (low_light, occlusion, scale), or names with commas.")
    ] = "all",
    severities: Annotated[str, typer.Option(help="From 1 to 5, with commas.")] = "1,2,3,4,5",
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Processes; the result does not depend on them.", show_default="one a core"),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Decides all that is random in the corruptions.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the result and the finished cells.", show_default="runs/robustness-MODEL"),
    ] = None,
    size: Annotated[int | None, typer.Option(help="Longest side in pixels; the model's own if not given.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Photos at a time.")] = 8,
    engine: Annotated[str, typer.Option(help="auto, torch, onnx or openvino.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON, and nothing else, to standard output.")] = False,
) -> None:
    """Measure a MODEL on labelled DATA as it is, and under 18 corruptions at 5 severities.

    Prints mAP by corruption and severity, their mean (mPC) and its share of the clean value (rPC), and writes
    robustness.json and robustness.html. Finished cells are kept: the same command goes on after Ctrl-C. Exit code 3
    when photos or labels had to be set aside.
    """
    from herder.api.robustness import RobustnessSettings, measure_robustness  # here, since they load the engines
    from herder.data.formats import read_dataset
    from herder.files import write_atomic

    settings = RobustnessSettings(
        _corruptions(corruptions), _severities(severities), seed, size, batch, engine, workers
    )
    out = out or Path("runs", f"robustness-{model.stem}")
    dataset = read_dataset(data, split=chosen_split(data, split))
    problems = list(dataset.problems)
    with progress_bars(quiet=as_json) as progress:
        run = measure_robustness(model, dataset, out, settings, progress=progress, on_problem=problems.append)
    content = run.as_dict(model, ["herder", *sys.argv[1:]])
    content["set_aside"] = [f"{problem.path.name}: {problem.message}" for problem in problems]
    text = json.dumps(content, indent=2, allow_nan=False)
    write_atomic(out / JSON, text.encode())
    _write_report(out / HTML, model, run, problems)
    if as_json:
        typer.echo(text)
    else:
        _print(model, run, out)
    tell_problems(problems)
    if any(problem.severity is Severity.SET_ASIDE for problem in problems):
        raise typer.Exit(SET_ASIDE)


def _corruptions(text: str) -> tuple[str, ...]:
    from herder.evaluation.corruptions import CORRUPTIONS
    from herder.evaluation.robustness.result import OWN

    groups = {"all": tuple(CORRUPTIONS), "published": tuple(n for n in CORRUPTIONS if n not in OWN), "own": OWN}
    names = [name.strip().replace("-", "_") for name in text.split(",") if name.strip()]
    if not names:
        raise ConfigError("--corruptions: no name given", hint="all, published, own, or names with commas")
    return tuple(single for name in names for single in groups.get(name, (name,)))


def _severities(text: str) -> tuple[int, ...]:
    try:
        numbers = tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise ConfigError(f"--severities {text}: wanted whole numbers with commas", hint="such as 1,3,5") from None
    if not numbers:
        raise ConfigError("--severities: no number given", hint="such as 1,3,5")
    return numbers


def _write_report(path: Path, model: Path, run: RobustnessRun, problems: list[Problem]) -> None:
    from herder.evaluation.report import write_report
    from herder.evaluation.robustness.sections import damage_section, robustness_sections
    from herder.evaluation.sections import model_section, problem_section

    settings = run.settings
    sections = [
        *robustness_sections(run.result, run.slices),
        damage_section(run.result, run.dataset, run.detections, run.detector, seed=settings.seed, size=settings.size),
        model_section(run.detector.spec, [("Measured at", f"{settings.size} pixels")] if settings.size else []),
        *([problem_section(problems)] if problems else []),
    ]
    parts = (model.name, run.dataset.root.name, run.dataset.split)
    write_report(path, "Robustness", sections, " · ".join(filter(None, parts)))


def _print(model: Path, run: RobustnessRun, out: Path) -> None:
    from herder.evaluation.report import number_text
    from herder.evaluation.robustness.plots import title
    from herder.evaluation.robustness.sections import group_rows

    result, console = run.result, Console(soft_wrap=True)
    clean = result.clean
    console.print(
        f"{model.name} on {run.dataset.root.name} {run.dataset.split}: {clean.photos:,} photos, {clean.truths:,} "
        f"labelled boxes, clean mAP50 {number_text(clean.map50)}, mAP50-95 {number_text(clean.map50_95)}",
        markup=False,
        highlight=False,
    )
    table = Table("mAP50-95 under")
    for heading in (*(str(s) for s in result.severities), "mean", "of clean"):
        table.add_column(heading, justify="right")
    for name in result.corruptions:
        cells = {cell.severity: cell.map50_95 for cell in result.of(name)}
        means = result.performance("mAP50_95", (name,)), result.relative("mAP50_95", (name,))
        numbers = [*(cells.get(s, float("nan")) for s in result.severities), *(_number(value) for value in means)]
        table.add_row(escape(title(name)), *(number_text(number) for number in numbers))
    console.print(table)
    for group, metric, names in group_rows(result):
        mean, share = result.performance(metric, names), result.relative(metric, names)
        console.print(
            f"{group}, {metric.replace('_', '-')}: mPC {_said(mean)}, rPC {_said(share)}", markup=False, highlight=False
        )
    slices = Table("slice of the clean photos")
    for heading in ("boxes", "recall", "mAP50", "mAP50-95"):
        slices.add_column(heading, justify="right")
    for part in run.slices:
        values = [number_text(_number(value)) for value in (part.recall, part.map50, part.map50_95)]
        slices.add_row(part.name, f"{part.truths:,}", *values)
    console.print(slices)
    reused = f", {run.reused} of {len(result.cells)} cells from an earlier run" if run.reused else ""
    console.print(f"report: {out / HTML}, {JSON} beside it{reused}", markup=False, highlight=False)


def _number(value: object) -> float:
    """For a narrow column: NaN, shown as a dash, where there is no number; the report has the reason."""
    return value if isinstance(value, float) else float("nan")


def _said(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
