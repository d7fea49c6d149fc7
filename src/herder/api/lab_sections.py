"""The sections that a page about runs is made of; ``herder.api.lab_report`` puts them together."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from herder.api.lab_runs import METRICS, LabRun, SavedResult
from herder.api.training_plots import training_plot
from herder.data.records import Dataset
from herder.detections import Detections
from herder.errors import ConfigError
from herder.evaluation import calibration_sections, cost_sections, cross_validation_sections
from herder.evaluation.average_precision import precision_recall_curves
from herder.evaluation.calibration import measure_calibration
from herder.evaluation.comparison import sections as comparison_sections
from herder.evaluation.counting import count_animals
from herder.evaluation.error_breakdown import break_down
from herder.evaluation.error_sections import breakdown_section
from herder.evaluation.headline import Measure
from herder.evaluation.metrics import Metrics
from herder.evaluation.not_computed import NotComputed
from herder.evaluation.operating_sections import counting_section, operating_section
from herder.evaluation.plots import PictureFormat
from herder.evaluation.report import Picture, Section, Width
from herder.evaluation.resampled_precision import group_numbers
from herder.evaluation.robustness import sections as robustness_sections
from herder.evaluation.sections import best_section, metric_sections, model_section, worst_section
from herder.evaluation.tables import DetectionTable, TruthTable, detection_table, truth_table
from herder.evaluation.wanted_points import wanted_points
from herder.inference import Detector

SECTIONS = {
    "comparison": comparison_sections.sections_from_json,
    "robustness": robustness_sections.sections_from_json,
    "crossval": cross_validation_sections.sections_from_json,
    "calibration": calibration_sections.sections_from_json,
    "cost": cost_sections.sections_from_json,
}
"""What makes the sections of a saved result."""

MISSING = {
    "robustness": "what is left under fog, low light and 16 more: herder robustness MODEL DATA",
    "cost": "latency, memory and size: herder benchmark MODEL",
    "crossval": "the spread over folds: herder crossval DATA",
}
"""What a report would show besides, and the command for it."""


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


@dataclass(frozen=True, eq=False)
class MeasuredRun:
    """One model on the photos of the report."""

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


def detail_sections(m: MeasuredRun, settings: ReportSettings) -> list[Section]:
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
        breakdown_section(break_down(truth, found, len(m.dataset), names, threshold), m.dataset),
        # What `herder calibrate` left says the same and more.
        *([] if "calibration" in {r.kind for r in m.run.results} else [_reliability(truth, found, m.dataset)]),
        worst_section(m.dataset, m.detections, threshold, settings.photos),
        best_section(m.dataset, m.detections, threshold),
        model_section(m.detector.spec, facts),
    ]


def _reliability(truth: TruthTable, found: DetectionTable, dataset: Dataset) -> Section:
    sizes = np.array([(record.width, record.height) for record in dataset], np.int64).reshape(-1, 2)
    calibration = measure_calibration(truth, found, sizes, group_numbers([record.group for record in dataset]))
    if isinstance(calibration, NotComputed):
        return Section("Calibration", f"{str(calibration).capitalize()}.")
    return calibration_sections.calibration_section(calibration)


def saved_sections(result: SavedResult) -> list[Section]:
    """The sections of a file that another command left."""
    return SECTIONS[result.kind](result.content, str(result.path))


def training_section(run: LabRun) -> Section:
    """How the training went, and the settings that matter most."""
    chosen = ("epochs", "batch_size", "image_size", "lr_backbone", "lr_head", "schedule", "seed")
    return Section(
        "Training",
        f"{len(run.epochs)} epochs.",
        facts=[(name.replace("_", " "), f"{run.settings[name]}") for name in chosen if name in run.settings],
        pictures=[
            Picture(
                training_plot(run.path / METRICS, PictureFormat.SVG),
                "Losses, quality and learning rates over the epochs",
                "Losses, quality on the validation photos, and learning rates over the epochs.",
                width=Width.FULL,
            )
        ],
    )


def missing_section(runs: Sequence[LabRun], measured: Sequence[MeasuredRun], dataset: Dataset | None) -> Section:
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


def environment_section(runs: Sequence[LabRun], command: Sequence[str]) -> Section:
    """Versions, machines, and the commands that made what is on the page."""
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
