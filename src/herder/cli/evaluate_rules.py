"""What ``herder evaluate`` does with the rules that were chosen: the files they need, the numbers, the thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from herder.errors import ConfigError
from herder.evaluation.average_precision import precision_recall_curves
from herder.evaluation.counting import Counting, count_animals
from herder.evaluation.metrics import Metrics
from herder.evaluation.open_images.precision import by_open_images, evaluate_open_images
from herder.evaluation.open_images.rules import ClassLabels, Hierarchy, VerifiedLabels
from herder.evaluation.operating_sections import counting_section, operating_section
from herder.evaluation.report import Section
from herder.evaluation.rules import Rules
from herder.evaluation.rules_sections import open_images_sections
from herder.evaluation.tables import DetectionTable, TruthTable
from herder.evaluation.wanted_points import OperatingPoints, wanted_points


@dataclass(frozen=True)
class WantedNumbers:
    """The options of the command that say what is measured, and by which rules."""

    rules: Rules = Rules.COCO
    verified: Path | None = None
    hierarchy: Path | None = None
    class_table: Path | None = None
    precision: float = 0.95
    recall: float = 0.9
    beta: float = 1.0

    def __post_init__(self) -> None:
        given = {"--verified": self.verified, "--hierarchy": self.hierarchy, "--class-table": self.class_table}
        files = [option for option, path in given.items() if path]
        if files and self.rules is not Rules.OPEN_IMAGES:
            raise ConfigError(
                f"evaluate: {', '.join(files)}: these are for the rules of Open Images",
                hint="herder evaluate MODEL DATA --rules open-images --verified labels.csv --hierarchy classes.json",
            )
        if self.class_table and not (self.verified or self.hierarchy):
            raise ConfigError(
                "evaluate: --class-table names the ids in --verified or --hierarchy, and neither is given",
                hint="leave it out, or give the file that it belongs to",
            )


@dataclass(frozen=True, eq=False)
class Measured:
    """The numbers of one evaluation."""

    metrics: Metrics
    points: OperatingPoints
    counting: Counting
    rules: Rules
    truth: TruthTable
    found: DetectionTable

    def sections(self, class_names: Sequence[str]) -> list[Section]:
        """What a report shows of them."""
        from herder.evaluation.sections import metric_sections

        if self.rules is Rules.OPEN_IMAGES:
            first = open_images_sections(self.metrics)
        else:
            first = metric_sections(self.metrics, self.truth, self.found, class_names)
        return [*first, operating_section(self.points), counting_section(self.counting)]


def measure(
    metrics: Metrics,
    truth: TruthTable,
    found: DetectionTable,
    photos: Sequence[str],
    class_names: Sequence[str],
    wanted: WantedNumbers,
) -> Measured:
    """Measure by the rules wanted; ``metrics`` are COCO's, ``photos`` the names of the photos that were measured.

    Raises DataError for what is wrong with the files of Open Images, ConfigError for a wanted number out of range.
    """
    labelled, seen = truth, found
    if wanted.rules is Rules.OPEN_IMAGES:
        labels = ClassLabels.of(class_names, wanted.class_table)
        names = [Path(photo).stem for photo in photos]
        verified = VerifiedLabels.read(wanted.verified, names, class_names, labels) if wanted.verified else None
        hierarchy = Hierarchy.read(wanted.hierarchy, labels) if wanted.hierarchy else None
        truth, found = by_open_images(truth, found, names, class_names, verified, hierarchy)
        metrics = evaluate_open_images(truth, found, len(photos), class_names)
    else:
        found = found.best()
    curves = precision_recall_curves(truth, found, len(class_names), wanted.rules)
    points = wanted_points(*curves, class_names, precision=wanted.precision, recall=wanted.recall, beta=wanted.beta)
    counting = count_animals(labelled, seen, len(photos), class_names, metrics.threshold)
    return Measured(metrics, points, counting, wanted.rules, truth, found)
