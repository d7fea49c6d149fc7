"""``herder evaluate``: how good a model, or a file of predictions, is."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from herder.data.formats import available_splits, read_dataset
from herder.data.records import Dataset, Problem, Severity
from herder.detections import Detections
from herder.errors import ConfigError
from herder.evaluation import Metrics, evaluate_detector, evaluate_files
from herder.evaluation.coco_files import write_predictions
from herder.evaluation.detector import UNREADABLE
from herder.evaluation.report import Section, number_text, write_report
from herder.evaluation.tables import detection_table, truth_table
from herder.spec import ModelSpec

SET_ASIDE = 3
"""Exit code when the numbers are good but some photos or labels are not in them."""

PROBLEMS_SHOWN = 20
"""Findings written to the terminal; the rest is counted."""


@dataclass
class _Outcome:
    """What one evaluation gave, ready to be shown."""

    metrics: Metrics
    about: dict[str, Any]
    problems: list[Problem] = field(default_factory=list)
    sections: Callable[[], list[Section]] = list


def evaluate_command(
    model: Annotated[Path | None, typer.Argument(help="Model file: .safetensors or .onnx.")] = None,
    data: Annotated[Path | None, typer.Argument(help="Labelled photos: a YOLO, COCO or VOC folder or file.")] = None,
    split: Annotated[str | None, typer.Option(help="Split of the dataset.", show_default="val")] = None,
    size: Annotated[int | None, typer.Option(help="Longest side in pixels; the model's own if not given.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Photos at a time.")] = 8,
    engine: Annotated[str, typer.Option(help="auto, torch, onnx or openvino.")] = "auto",
    count_as: Annotated[
        list[str] | None,
        typer.Option(help="Count classes of the model as one of the data: alpaca=sheep,cow. May come more than once."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON, and nothing else, to standard output.")] = False,
    report: Annotated[Path | None, typer.Option(help="Write an HTML report to this file.")] = None,
    save_coco: Annotated[Path | None, typer.Option(help="Write the detections to this JSON file.")] = None,
    predictions: Annotated[Path | None, typer.Option(help="Evaluate this JSON file of detections: no model.")] = None,
    truth: Annotated[Path | None, typer.Option(help="COCO annotation file for --predictions.")] = None,
) -> None:
    """Measure a MODEL on labelled DATA, or --predictions against --truth.

    Prints COCO's mAP and recall, and precision, recall and F1 at the threshold with the best F1. Exit code 3 when
    photos or labels had to be set aside.
    """
    if predictions or truth:
        if not (predictions and truth) or model or data or save_coco:
            raise ConfigError(
                "evaluate: --predictions and --truth go together, without a model, data or --save-coco",
                hint="herder evaluate --predictions found.json --truth annotations.json",
            )
        outcome = _evaluate_files(predictions, truth)
    elif model and data:
        outcome = _evaluate_model(
            model, data, split, size, batch, engine, save_coco, _renaming(count_as or []), quiet=as_json
        )
    else:
        raise ConfigError("evaluate: a model and a dataset are needed", hint="herder evaluate MODEL DATA")
    if report:
        # Names alone: a report is made to be passed on, and whole paths tell of the machine.
        names = [Path(value).name for value in outcome.about.values() if isinstance(value, str)]
        write_report(report, "Evaluation", outcome.sections(), " · ".join(filter(None, names)))
    if as_json:
        typer.echo(json.dumps(_as_json(outcome), indent=2, allow_nan=False))
    else:
        _print(outcome, report)
    _tell(outcome.problems)
    if any(problem.severity is Severity.SET_ASIDE for problem in outcome.problems):
        raise typer.Exit(SET_ASIDE)


def _evaluate_files(predictions: Path, truth: Path) -> _Outcome:
    metrics, expected, found = evaluate_files(predictions, truth)

    def sections() -> list[Section]:
        from herder.evaluation.sections import metric_sections

        return metric_sections(metrics, expected.table, found, expected.class_names)

    return _Outcome(metrics, {"predictions": str(predictions), "truth": str(truth)}, sections=sections)


def _evaluate_model(
    model: Path,
    data: Path,
    split: str | None,
    size: int | None,
    batch: int,
    engine: str,
    save_coco: Path | None,
    count_as: dict[str, str],
    *,
    quiet: bool,
) -> _Outcome:
    from herder.api import load  # here, since it may load torch

    detector = load(model, engine=engine)
    dataset = read_dataset(data, split=_chosen_split(data, split))
    problems = list(dataset.problems)
    with _progress(quiet) as progress:
        start = time.perf_counter()
        metrics, detections = evaluate_detector(
            detector,
            dataset,
            size=size,
            batch=batch,
            count_as=count_as,
            progress=progress,
            on_problem=problems.append,
        )
        seconds = time.perf_counter() - start
    if save_coco:
        write_predictions(save_coco, detections, dataset)
    per_photo = 1000 * seconds / max(metrics.photos, 1)

    def sections() -> list[Section]:
        speed = f"{per_photo:.1f} ms a photo on this machine, from file to boxes, in batches of {batch}"
        facts = [("Measured at", f"{size} pixels")] if size else []
        return _model_sections(detector.spec, dataset, detections, metrics, problems, [*facts, ("Speed", speed)])

    about = {"model": str(model), "data": str(data), "split": dataset.split, "ms_per_photo": round(per_photo, 2)}
    return _Outcome(metrics, about, problems, sections)


def _model_sections(
    spec: ModelSpec,
    dataset: Dataset,
    detections: list[Detections],
    metrics: Metrics,
    problems: list[Problem],
    facts: list[tuple[str, str]],
) -> list[Section]:
    from herder.evaluation.sections import metric_sections, model_section, problem_section, worst_section

    unread = {problem.path for problem in problems if problem.reason == UNREADABLE}
    read = [i for i, record in enumerate(dataset) if record.path not in unread]
    dataset, detections = dataset.select(read), [detections[i] for i in read]
    truth, found = truth_table(dataset.records), detection_table(detections)
    return [
        *metric_sections(metrics, truth, found, dataset.class_names),
        worst_section(dataset, detections, metrics.threshold),
        model_section(spec, facts),
        *([problem_section(problems)] if problems else []),
    ]


def _renaming(texts: list[str]) -> dict[str, str]:
    """``alpaca=sheep,cow`` as ``{"sheep": "alpaca", "cow": "alpaca"}``."""
    renaming: dict[str, str] = {}
    for text in texts:
        name, sign, others = text.partition("=")
        if not sign or not name.strip() or not others.strip(" ,"):
            raise ConfigError(f"--count-as {text}: wanted NAME=OTHER,OTHER", hint="such as --count-as alpaca=sheep,cow")
        renaming.update({other.strip(): name.strip() for other in others.split(",") if other.strip()})
    return renaming


def _chosen_split(data: Path, split: str | None) -> str | None:
    """The split that was asked for, else val, else the only one there is; None for a dataset without splits."""
    if split is not None:
        return split
    splits = available_splits(data)
    if "val" in splits or not splits:
        return "val" if splits else None
    if len(splits) > 1:
        raise ConfigError(f"{data}: no split 'val'", hint=f"choose one with --split: {', '.join(splits)}")
    return splits[0]


@contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """A progress bar on the terminal, which leaves nothing behind; none where nobody watches."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield None
        return
    columns = TextColumn("evaluating"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("evaluating", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _as_json(outcome: _Outcome) -> dict[str, Any]:
    metrics = outcome.metrics
    return {
        **outcome.about,
        "photos": metrics.photos,
        "truths": metrics.truths,
        "metrics": _without_nan(metrics.as_dict()),
        "per_class": [{"name": c.name, **_without_nan(c.as_dict())} for c in metrics.per_class],
        "problems": [
            {
                "path": str(p.path),
                "reason": p.reason,
                "severity": p.severity.value,
                "message": p.message,
                "hint": p.hint,
            }
            for p in outcome.problems
        ],
    }


def _without_nan(values: dict[str, float]) -> dict[str, float | None]:
    """JSON has no NaN: what is not defined becomes null."""
    return {name: None if math.isnan(value) else value for name, value in values.items()}


def _print(outcome: _Outcome, report: Path | None) -> None:
    metrics, console = outcome.metrics, Console(soft_wrap=True)
    names = " ".join(str(value) for value in outcome.about.values() if isinstance(value, str))
    console.print(
        f"{names}: {metrics.photos:,} photos, {metrics.truths:,} labelled boxes", markup=False, highlight=False
    )
    table = Table()
    headings = ("class", "boxes", "mAP50", "mAP50-95", "precision", "recall", "F1")
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "class" else "right")
    rows = [("all", metrics.truths, metrics.map50, metrics.map50_95, metrics.precision, metrics.recall, metrics.f1)]
    if len(metrics.per_class) > 1:
        rows += [(c.name, c.truths, c.map50, c.map50_95, c.precision, c.recall, c.f1) for c in metrics.per_class]
    for name, truths, *values in rows:
        table.add_row(escape(name), f"{truths:,}", *(number_text(value) for value in values))
    console.print(table)
    others = (
        ("mAP75", metrics.map75),
        ("AP small", metrics.ap_small),
        ("AP medium", metrics.ap_medium),
        ("AP large", metrics.ap_large),
        ("AR 1", metrics.ar_1),
        ("AR 10", metrics.ar_10),
        ("AR 100", metrics.ar_100),
    )
    console.print("   ".join(f"{name} {number_text(value)}" for name, value in others), highlight=False)
    console.print(f"precision, recall and F1 at score {metrics.threshold:.3f}, IoU 0.5", highlight=False)
    if report:
        console.print(f"report: {report}", markup=False, highlight=False)


def _tell(problems: list[Problem]) -> None:
    console = Console(stderr=True, soft_wrap=True)
    for problem in problems[:PROBLEMS_SHOWN]:
        console.print(f"{problem.severity.value}: {problem}", markup=False, highlight=False)
    if len(problems) > PROBLEMS_SHOWN:
        console.print(
            f"... and {len(problems) - PROBLEMS_SHOWN:,} more findings; --json lists them all", highlight=False
        )
