"""``herder report`` from Python: everything that is known of one or several runs, as sections of one page.

Models are measured on labelled photos, with intervals; what other commands found is taken from the files they left.
What was not measured is named, with the command that would.
"""

from __future__ import annotations

import importlib
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from herder.api.lab_runs import LabRun, SavedResult
from herder.data.records import Dataset, Problem
from herder.detections import Detections
from herder.errors import ConfigError
from herder.evaluation.average_precision import precision_recall_curves
from herder.evaluation.counting import count_animals
from herder.evaluation.detector import UNREADABLE, log_problem
from herder.evaluation.headline import LEVEL, Measure, headline, headline_section, sample_measures
from herder.evaluation.metrics import Metrics
from herder.evaluation.operating_sections import counting_section, operating_section
from herder.evaluation.plots import training_curves
from herder.evaluation.prediction_store import PredictionStore, file_sha256, predictions_of
from herder.evaluation.report import Picture, Section, Width
from herder.evaluation.report_forms import section_as_dict
from herder.evaluation.sections import best_section, metric_sections, model_section, worst_section
from herder.evaluation.tables import detection_table, truth_table
from herder.evaluation.wanted_points import wanted_points
from herder.inference import Detector
from herder.training.tracking import LOSSES

PREDICTIONS = "predictions"
"""The folder beside the report that keeps what each model found."""

SECTIONS = {
    "comparison": "herder.evaluation.comparison_sections",
    "robustness": "herder.evaluation.robustness_sections",
    "crossval": "herder.evaluation.crossval_sections",
    "calibration": "herder.evaluation.calibration_sections",
    "cost": "herder.evaluation.cost_sections",
}
"""Which file makes the sections of a saved result."""

MISSING = {
    "robustness": "what is left under fog, low light and 16 more: herder robustness MODEL DATA",
    "cost": "latency, memory and size: herder benchmark MODEL",
    "crossval": "the spread over folds: herder crossval DATA",
}
"""What a report would show besides, and the command for it."""

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class ReportSettings:
    """How models are measured for a report."""

    draws: int = 1000
    """Bootstrap draws of photos."""
    seed: int = 0
    size: int | None = None
    """Longest side in pixels that the network sees; None: each model's own."""
    engine: str = "auto"
    photos: int = 9
    """Worst photos shown of each model."""

    def __post_init__(self) -> None:
        if self.draws < 100:
            raise ConfigError(f"draws: {self.draws} are too few", hint="use 100 or more, such as 1000")


@dataclass(frozen=True)
class LabReport:
    """A page, ready to be written in any form."""

    title: str
    subtitle: str
    sections: tuple[Section, ...]
    content: dict[str, Any]
    """The same for programs: numbers, intervals, and what was read from files."""


@dataclass(frozen=True, eq=False)
class _Measured:
    run: LabRun
    detector: Detector
    digest: str
    dataset: Dataset
    """The photos that could be read."""
    detections: list[Detections]
    metrics: Metrics
    measures: tuple[Measure, ...]

    @property
    def file(self) -> str:
        """The model file's name, without folders: a report is passed on."""
        return self.run.model.name if self.run.model else ""


def make_report(
    runs: Sequence[LabRun],
    dataset: Dataset | None,
    out: Path,
    settings: ReportSettings | None = None,
    *,
    command: Sequence[str] = (),
    progress: Progress | None = None,
    on_problem: Callable[[Problem], None] = log_problem,
) -> LabReport:
    """Gather all that is known of ``runs``; their models are measured on ``dataset``, where there is one.

    The folder ``out`` keeps what the models found. Photos that cannot be read are given to ``on_problem`` and left out.
    Raises ConfigError for models that do not fit the photos, DataError for results that are broken.
    """
    settings = settings or ReportSettings()
    measured = []
    if dataset is not None:
        measured = [
            _measure(run, dataset, out, settings, progress, on_problem) for run in runs if run.model is not None
        ]
    sections: list[Section] = []
    if measured:
        rows = [(m.run.name, m.metrics.threshold, m.measures) for m in measured]
        sections.append(headline_section(rows, measured[0].metrics.photos, measured[0].metrics.truths))
    comparisons: list[dict[str, Any]] = []
    for other in measured[1:]:
        content, made = _compared(measured[0], other, out, settings, command, progress)
        comparisons.append(content)
        sections += made
    for each in measured:
        sections += _named(each.run.name, _details(each, settings), several=len(measured) > 1)
    for run in runs:
        parts = [section for result in run.results for section in _saved(result)]
        if run.epochs:
            parts.append(_training(run))
        sections += _named(run.name, parts, several=len(runs) > 1)
    sections += [_not_measured(runs, measured, dataset), _environment(runs, command)]
    title = runs[0].name if len(runs) == 1 else " and ".join(run.name for run in runs[:3])
    where = "" if dataset is None else " ".join(filter(None, (dataset.root.name, dataset.split)))
    subtitle = " · ".join(filter(None, (where, f"herder {version('herder')}")))
    kept = tuple(section for section in sections if section.text or section.tables or section.facts or section.pictures)
    return LabReport(f"Report on {title}", subtitle, kept, _content(runs, measured, comparisons, kept, command))


def _measure(
    run: LabRun,
    dataset: Dataset,
    out: Path,
    settings: ReportSettings,
    progress: Progress | None,
    on_problem: Callable[[Problem], None],
) -> _Measured:
    from herder.api import load  # here: tests put their own in its place

    assert run.model is not None
    detector, digest = load(run.model, engine=settings.engine), file_sha256(run.model)
    problems: list[Problem] = []
    metrics, found = predictions_of(
        detector,
        dataset,
        PredictionStore(out / PREDICTIONS),
        digest,
        size=settings.size,
        progress=None if progress is None else lambda done, total: progress(f"measuring {run.name}", done, total),
        on_problem=problems.append,
    )
    for problem in problems:
        on_problem(problem)
    unread = {problem.path for problem in problems if problem.reason == UNREADABLE}
    read = [i for i, record in enumerate(dataset) if record.path not in unread]
    photos, detections = dataset.select(read), [found[i] for i in read]
    truth, table = truth_table(photos.records), detection_table(detections)
    if progress:
        progress(f"intervals of {run.name}", 0, 1)
    sampled = sample_measures(
        truth, table, len(photos), len(dataset.class_names), metrics.threshold, settings.draws, settings.seed
    )
    return _Measured(run, detector, digest, photos, detections, metrics, headline(sampled))


def _compared(
    first: _Measured,
    other: _Measured,
    out: Path,
    settings: ReportSettings,
    command: Sequence[str],
    progress: Progress | None,
) -> tuple[dict[str, Any], list[Section]]:
    """The second against the first, on the photos that both could be measured on."""
    from herder.api.comparison import ComparisonSettings, compare_sides
    from herder.api.comparison_photos import RunSettings
    from herder.evaluation.comparison_sections import comparison_sections

    chosen = ComparisonSettings(
        draws=settings.draws, seed=settings.seed, run=RunSettings(settings.size, engine=settings.engine)
    )
    found = compare_sides(
        str(first.run.model), str(other.run.model), chosen, out, dataset=first.dataset, progress=progress
    )
    heading = f"{other.run.name} against {first.run.name}"
    parts = comparison_sections(found.result)
    return found.as_dict(command), [replace(part, heading=f"{heading}: {part.heading}") for part in parts]


def _details(m: _Measured, settings: ReportSettings) -> list[Section]:
    """What the report of an evaluation shows, thresholds, counting, and the photos."""
    truth, found = truth_table(m.dataset.records), detection_table(m.detections)
    names, threshold = m.dataset.class_names, m.metrics.threshold
    whole, per_class = precision_recall_curves(truth, found.best(), len(names))
    _, *others = metric_sections(m.metrics, truth, found, names)
    facts = [("SHA-256", m.digest[:16])]
    if settings.size:
        facts.append(("Measured at", f"{settings.size} pixels"))
    return [
        *others,
        operating_section(wanted_points(whole, per_class, names)),
        counting_section(count_animals(truth, found, len(m.dataset), names, threshold)),
        worst_section(m.dataset, m.detections, threshold, settings.photos),
        best_section(m.dataset, m.detections, threshold),
        model_section(m.detector.spec, facts),
    ]


def _saved(result: SavedResult) -> list[Section]:
    """The sections of a file that another command left."""
    module = importlib.import_module(SECTIONS[result.kind])
    sections: list[Section] = module.sections_from_json(result.content, str(result.path))
    return sections


def _training(run: LabRun) -> Section:
    rows = [{f"{name} loss" if name in LOSSES else name: value for name, value in row.items()} for row in run.epochs]
    chosen = ("epochs", "batch_size", "image_size", "lr_backbone", "lr_head", "schedule", "seed")
    return Section(
        "Training",
        f"{len(run.epochs)} epochs.",
        facts=[(name.replace("_", " "), f"{run.settings[name]}") for name in chosen if name in run.settings],
        pictures=[
            Picture(
                training_curves(rows),
                "Losses, quality and learning rates over the epochs",
                "Losses, quality on the validation photos, and learning rates over the epochs.",
                width=Width.FULL,
            )
        ],
    )


def _not_measured(runs: Sequence[LabRun], measured: Sequence[_Measured], dataset: Dataset | None) -> Section:
    """What is not on this page, and how it would come onto it."""
    known = {result.kind for run in runs for result in run.results}
    facts = [(kind, text) for kind, text in MISSING.items() if kind not in known]
    if not measured and any(run.model is not None for run in runs):
        facts.insert(0, ("detection", "mAP, curves, photos: give labelled photos with --data"))
    if not facts:
        return Section("Not measured")
    return Section(
        "Not measured",
        "This page takes results from run folders and from the folders in them: what these commands leave there comes "
        "onto the next one.",
        facts=facts,
    )


def _environment(runs: Sequence[LabRun], command: Sequence[str]) -> Section:
    facts = [("This report", " ".join(command))] if command else []
    for run in runs:
        facts += [(f"{run.name}: {result.kind}", result.command) for result in run.results if result.command]
        packages = run.environment.get("packages", {})
        if packages:
            facts.append((f"{run.name}: trained with", ", ".join(f"{name} {v}" for name, v in packages.items())))
        machine = [str(run.environment[key]) for key in ("processor", "system") if run.environment.get(key)]
        if machine:
            facts.append((f"{run.name}: trained on", ", ".join(machine)))
    facts.append(("Measured on", f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}"))
    return Section("Environment and commands", facts=facts)


def _named(name: str, sections: Sequence[Section], *, several: bool) -> list[Section]:
    return [replace(part, heading=f"{name}: {part.heading}") if several else part for part in sections]


def _content(
    runs: Sequence[LabRun],
    measured: Sequence[_Measured],
    comparisons: Sequence[dict[str, Any]],
    sections: Sequence[Section],
    command: Sequence[str],
) -> dict[str, Any]:
    by_path = {m.run.path: m for m in measured}
    rows = []
    for run in runs:
        row: dict[str, Any] = {"name": run.name, "results": {r.kind: dict(r.content) for r in run.results}}
        if (m := by_path.get(run.path)) is not None:
            row["model"] = {"name": m.detector.spec.name, "path": m.file, "sha256": m.digest}
            row["data"] = {
                "name": m.dataset.root.name,
                "split": m.dataset.split,
                "fingerprint": m.dataset.fingerprint(),
                "photos": len(m.dataset),
            }
            row["threshold"] = m.metrics.threshold
            row["measures"] = {measure.name: measure.as_dict() for measure in m.measures}
        rows.append(row)
    return {
        "kind": "report",
        "version": 1,
        "herder_version": version("herder"),
        "command": list(command),
        "level": LEVEL,
        "runs": rows,
        "comparisons": list(comparisons),
        "sections": [section_as_dict(section, pictures=False) for section in sections],
    }
