"""``herder report`` from Python: everything that is known of one or several runs, as sections of one page.

Models are measured on labelled photos, with intervals; what other commands found is taken from the files they left.
What was not measured is named, with the command that would.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from herder.api.lab_runs import LabRun
from herder.api.lab_sections import (
    MeasuredRun,
    ReportSettings,
    detail_sections,
    environment_section,
    missing_section,
    saved_sections,
    training_section,
)
from herder.data.records import Dataset, Problem
from herder.evaluation.detector import log_problem, photos_read
from herder.evaluation.headline import LEVEL, headline, headline_section, sample_measures
from herder.evaluation.prediction_store import PredictionStore, file_sha256, predictions_of
from herder.evaluation.report import Section
from herder.evaluation.report_forms import section_as_dict
from herder.evaluation.resampled_precision import group_numbers
from herder.evaluation.tables import detection_table, truth_table

PREDICTIONS = "predictions"
"""The folder beside the report that keeps what each model found."""

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class LabReport:
    """A page, ready to be written in any form."""

    title: str
    subtitle: str
    sections: tuple[Section, ...]
    content: dict[str, Any]
    """The same for programs: numbers, intervals, and what was read from files."""


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
        sections += _named(each.run.name, detail_sections(each, settings), several=len(measured) > 1)
    for run in runs:
        parts = [section for result in run.results for section in saved_sections(result)]
        if run.epochs:
            parts.append(training_section(run))
        sections += _named(run.name, parts, several=len(runs) > 1)
    sections += [missing_section(runs, measured, dataset), environment_section(runs, command)]
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
) -> MeasuredRun:
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
    read = photos_read(dataset, problems)
    photos, detections = dataset.select(read), [found[i] for i in read]
    truth, table = truth_table(photos.records), detection_table(detections)
    if progress:
        progress(f"intervals of {run.name}", 0, 1)
    sampled = sample_measures(
        truth,
        table,
        len(photos),
        len(dataset.class_names),
        metrics.threshold,
        settings.draws,
        settings.seed,
        groups=group_numbers([record.group for record in photos]),
    )
    return MeasuredRun(run, detector, digest, photos, detections, metrics, headline(sampled))


def _compared(
    first: MeasuredRun,
    other: MeasuredRun,
    out: Path,
    settings: ReportSettings,
    command: Sequence[str],
    progress: Progress | None,
) -> tuple[dict[str, Any], list[Section]]:
    """The second against the first, on the photos that both could be measured on."""
    from herder.api.comparison import ComparisonSettings, compare_sides
    from herder.api.comparison_photos import RunSettings
    from herder.evaluation.comparison.sections import comparison_sections

    chosen = ComparisonSettings(
        draws=settings.draws, seed=settings.seed, run=RunSettings(settings.size, engine=settings.engine)
    )
    found = compare_sides(
        str(first.run.model), str(other.run.model), chosen, out, dataset=first.dataset, progress=progress
    )
    heading = f"{other.run.name} against {first.run.name}"
    parts = comparison_sections(found.result)
    return found.as_dict(command), [replace(part, heading=f"{heading}: {part.heading}") for part in parts]


def _named(name: str, sections: Sequence[Section], *, several: bool) -> list[Section]:
    return [replace(part, heading=f"{name}: {part.heading}") if several else part for part in sections]


def _content(
    runs: Sequence[LabRun],
    measured: Sequence[MeasuredRun],
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
