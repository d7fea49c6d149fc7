"""``herder evaluate``: how good a model, or a file of predictions, is."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from herder.augmented_inference import Merge
from herder.cli.augmentation_option import Tta, TtaMerge, augmented
from herder.cli.evaluate_rules import Measured, WantedNumbers, measure
from herder.cli.evaluation_output import SET_ASIDE, chosen_split, progress_bars, tell_problems
from herder.cli.model_argument import RunModelOrNone
from herder.data.formats import read_dataset
from herder.data.records import Dataset, Problem, Severity
from herder.detections import Detections
from herder.errors import ConfigError
from herder.evaluation import evaluate_detector, evaluate_files
from herder.evaluation.coco_files import write_predictions
from herder.evaluation.detector import photos_read
from herder.evaluation.flag_slices import FlagSlice, flag_slices
from herder.evaluation.open_images.precision import NOT_DEFINED, WHY_NOT
from herder.evaluation.report import Section, number_text, write_report
from herder.evaluation.rules import Rules
from herder.evaluation.rules_sections import flag_section
from herder.evaluation.tables import detection_table, truth_table
from herder.spec import ModelSpec


@dataclass
class _Outcome:
    """What one evaluation gave, ready to be shown."""

    measured: Measured
    about: dict[str, Any]
    sections: Callable[[], list[Section]]
    problems: list[Problem] = field(default_factory=list)
    flags: list[FlagSlice] = field(default_factory=list)


def evaluate_command(
    model: RunModelOrNone = None,
    data: Annotated[Path | None, typer.Argument(help="Labelled photos: a YOLO, COCO or VOC folder or file.")] = None,
    split: Annotated[str | None, typer.Option(help="Split of the dataset.", show_default="val")] = None,
    size: Annotated[int | None, typer.Option(help="Longest side in pixels; the model's own if not given.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Photos at a time.")] = 8,
    tta: Tta = None,
    tta_merge: TtaMerge = None,
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
    rules: Annotated[Rules, typer.Option(help="Whose definition of average precision.")] = Rules.COCO,
    verified: Annotated[
        Path | None,
        typer.Option(help="Open Images: CSV of human-verified image-level labels; other classes are left out."),
    ] = None,
    hierarchy: Annotated[
        Path | None,
        typer.Option(help="Open Images: JSON of the class hierarchy; a box counts for the classes above, too."),
    ] = None,
    class_table: Annotated[
        Path | None, typer.Option(help="Open Images: class-descriptions-boxable.csv, where those two files name ids.")
    ] = None,
    at_precision: Annotated[float, typer.Option(help="Precision to find thresholds for.")] = 0.95,
    at_recall: Annotated[float, typer.Option(help="Recall to find thresholds for.")] = 0.9,
    beta: Annotated[float, typer.Option(help="Weight of recall in F-beta, for the best thresholds.")] = 1.0,
) -> None:
    """Measure a MODEL on labelled DATA, or --predictions against --truth.

    Prints COCO's mAP and recall (or Open Images' AP), and precision, recall and F1 at the threshold with the best F1.
    The report and --json add thresholds for a wanted precision and recall, the error of counting, and the numbers by
    flag. Exit code 3 when photos or labels had to be set aside.
    """
    wanted = WantedNumbers(rules, verified, hierarchy, class_table, at_precision, at_recall, beta)
    if predictions or truth:
        if not (predictions and truth) or model or data or save_coco or tta or tta_merge:
            raise ConfigError(
                "evaluate: --predictions and --truth go together, without a model, data, --save-coco or --tta",
                hint="herder evaluate --predictions found.json --truth annotations.json",
            )
        outcome = _evaluate_files(predictions, truth, wanted)
    elif model and data:
        outcome = _evaluate_model(
            model,
            data,
            split,
            size,
            batch,
            engine,
            (tta, tta_merge),
            save_coco,
            _renaming(count_as or []),
            wanted,
            quiet=as_json,
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
    tell_problems(outcome.problems)
    if any(problem.severity is Severity.SET_ASIDE for problem in outcome.problems):
        raise typer.Exit(SET_ASIDE)


def _evaluate_files(predictions: Path, truth: Path, wanted: WantedNumbers) -> _Outcome:
    metrics, expected, found = evaluate_files(predictions, truth)
    names = {index: str(number) for number, index in expected.photo_ids.items()}
    # The longest name of a photo is the whole one; its last part is all that is asked for.
    names |= {index: name for name, index in sorted(expected.photo_names.items(), key=lambda item: len(item[0]))}
    photos = [names[index] for index in range(expected.photos)]
    measured = measure(metrics, expected.table, found, photos, expected.class_names, wanted)
    about = {"predictions": str(predictions), "truth": str(truth)}
    return _Outcome(measured, about, lambda: measured.sections(expected.class_names))


def _evaluate_model(
    model: Path,
    data: Path,
    split: str | None,
    size: int | None,
    batch: int,
    engine: str,
    views: tuple[str | None, Merge | None],
    save_coco: Path | None,
    count_as: dict[str, str],
    wanted: WantedNumbers,
    *,
    quiet: bool,
) -> _Outcome:
    from herder.api import load  # here, since it may load torch

    detector = augmented(load(model, engine=engine), *views)
    dataset = read_dataset(data, split=chosen_split(data, split))
    problems = list(dataset.problems)
    with progress_bars(quiet=quiet) as advance:
        start = time.perf_counter()
        metrics, detections = evaluate_detector(
            detector,
            dataset,
            size=size,
            batch=batch,
            count_as=count_as,
            progress=None if advance is None else lambda done, total: advance("evaluating", done, total),
            on_problem=problems.append,
        )
        seconds = time.perf_counter() - start
    if save_coco:
        write_predictions(save_coco, detections, dataset)
    per_photo = 1000 * seconds / max(metrics.photos, 1)
    read = photos_read(dataset, problems)
    seen, detections = dataset.select(read), [detections[i] for i in read]
    truth, found = truth_table(seen.records), detection_table(detections)
    measured = measure(metrics, truth, found, [record.path.name for record in seen], seen.class_names, wanted)
    flags = flag_slices(seen.records, detections, len(seen.class_names), measured.metrics.threshold)

    def sections() -> list[Section]:
        speed = f"{per_photo:.1f} ms a photo on this machine, from file to boxes, in batches of {batch}"
        facts = [("Measured at", f"{size} pixels")] if size else []
        facts += [("Looks at each photo", views[0])] if views[0] else []
        first = [*measured.sections(seen.class_names), flag_section(flags)]
        return [
            *first,
            *_model_sections(detector.spec, seen, detections, measured, problems, [*facts, ("Speed", speed)]),
        ]

    about = {"model": str(model), "data": str(data), "split": dataset.split, "ms_per_photo": round(per_photo, 2)}
    about |= {"tta": views[0]} if views[0] else {}
    return _Outcome(measured, about, sections, problems, flags)


def _model_sections(
    spec: ModelSpec,
    dataset: Dataset,
    detections: list[Detections],
    measured: Measured,
    problems: list[Problem],
    facts: list[tuple[str, str]],
) -> list[Section]:
    from herder.evaluation.error_breakdown import break_down
    from herder.evaluation.error_sections import breakdown_section
    from herder.evaluation.sections import model_section, problem_section, worst_section

    truth, found, threshold = truth_table(dataset.records), detection_table(detections), measured.metrics.threshold
    return [
        breakdown_section(break_down(truth, found, len(dataset), dataset.class_names, threshold), dataset),
        worst_section(dataset, detections, threshold),
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


def _as_json(outcome: _Outcome) -> dict[str, Any]:
    metrics, rules = outcome.measured.metrics, outcome.measured.rules
    return {
        **outcome.about,
        "rules": rules.value,
        "photos": metrics.photos,
        "truths": metrics.truths,
        "metrics": _without_nan(metrics.as_dict()),
        **({"not_computed": dict.fromkeys(NOT_DEFINED, WHY_NOT)} if rules is Rules.OPEN_IMAGES else {}),
        "per_class": [{"name": c.name, **_without_nan(c.as_dict())} for c in metrics.per_class],
        "operating_points": outcome.measured.points.as_dict(),
        "counting": outcome.measured.counting.as_dict(),
        "flags": [part.as_dict() for part in outcome.flags],
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
    metrics, console = outcome.measured.metrics, Console(soft_wrap=True)
    coco = outcome.measured.rules is Rules.COCO
    names = " ".join(str(value) for value in outcome.about.values() if isinstance(value, str))
    console.print(
        f"{names}: {metrics.photos:,} photos, {metrics.truths:,} labelled boxes", markup=False, highlight=False
    )
    table = Table()
    fit = ("mAP50-95",) if coco else ()
    headings = ("class", "boxes", "mAP50" if coco else "AP at IoU 0.5", *fit, "precision", "recall", "F1")
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "class" else "right")
    whole = ("all", metrics.truths, metrics.map50, metrics.map50_95, metrics.precision, metrics.recall, metrics.f1)
    classes = [(c.name, c.truths, c.map50, c.map50_95, c.precision, c.recall, c.f1) for c in metrics.per_class]
    for name, truths, map50, map50_95, *others in [whole, *(classes if len(classes) > 1 else [])]:
        values = [map50, *([map50_95] if coco else []), *others]
        table.add_row(escape(name), f"{truths:,}", *(number_text(value) for value in values))
    console.print(table)
    sizes = (
        ("mAP75", metrics.map75),
        ("AP small", metrics.ap_small),
        ("AP medium", metrics.ap_medium),
        ("AP large", metrics.ap_large),
        ("AR 1", metrics.ar_1),
        ("AR 10", metrics.ar_10),
        ("AR 100", metrics.ar_100),
    )
    if coco:
        console.print("   ".join(f"{name} {number_text(value)}" for name, value in sizes), highlight=False)
    else:
        console.print("by the rules of Open Images, which know no other overlap and no sizes", highlight=False)
    console.print(f"precision, recall and F1 at score {metrics.threshold:.3f}, IoU 0.5", highlight=False)
    if report:
        console.print(f"report: {report}", markup=False, highlight=False)
