"""The operating points that a team asks for: the best F-beta, a wanted precision, a wanted recall, class by class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from herder.evaluation.operating_point import Curve, NotReached, OperatingPoint

PRECISION, RECALL = 0.95, 0.9
"""What is asked for where nobody says: one false alarm in twenty detections, nine of ten animals."""

ALL_CLASSES = "all"
"""The name of the row that counts all classes together."""


@dataclass(frozen=True)
class WantedPoints:
    """The operating points of one class, or of all together, at IoU 0.5."""

    name: str
    best: OperatingPoint
    """Where F-beta is best."""
    f_beta: float
    """F-beta there; NaN without labelled boxes."""
    at_precision: OperatingPoint | NotReached
    at_recall: OperatingPoint | NotReached


@dataclass(frozen=True)
class OperatingPoints:
    """What was asked for, and the rows of the answer: all classes together first, the classes where there are more."""

    precision: float
    recall: float
    beta: float
    rows: tuple[WantedPoints, ...]

    def as_dict(self) -> dict[str, object]:
        """For JSON: numbers by name; in place of a point that is not reached, why."""
        return {
            "wanted_precision": self.precision,
            "wanted_recall": self.recall,
            "beta": self.beta,
            "rows": [
                {
                    "name": row.name,
                    "best": {**_entry(row.best), "f_beta": None if math.isnan(row.f_beta) else row.f_beta},
                    "at_precision": _entry(row.at_precision),
                    "at_recall": _entry(row.at_recall),
                }
                for row in self.rows
            ],
        }


def wanted_points(
    whole: Curve,
    per_class: Sequence[Curve],
    class_names: Sequence[str],
    *,
    precision: float = PRECISION,
    recall: float = RECALL,
    beta: float = 1.0,
) -> OperatingPoints:
    """Ask the curves of ``precision_recall_curves`` for their points.

    Raises ConfigError when ``precision`` or ``recall`` is not above 0 and up to 1, or ``beta`` not positive.
    """
    named = [(ALL_CLASSES, whole)]
    if len(per_class) > 1:
        named += zip(class_names, per_class, strict=True)
    rows = []
    for name, curve in named:
        best = curve.best(beta)
        rows.append(
            WantedPoints(name, best, _f_beta(best, beta), curve.at_precision(precision), curve.at_recall(recall))
        )
    return OperatingPoints(precision, recall, beta, tuple(rows))


def _f_beta(point: OperatingPoint, beta: float) -> float:
    square, truths = beta * beta, point.hits + point.misses
    whole = point.hits + point.false_alarms + square * truths
    return (1 + square) * point.hits / whole if truths else float("nan")


def _entry(point: OperatingPoint | NotReached) -> dict[str, object]:
    if isinstance(point, NotReached):
        numbers = {"highest": point.highest, "threshold": point.threshold}
        known = {name: None if math.isnan(value) else value for name, value in numbers.items()}
        return {"not_reached": str(point), **known}
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value for name, value in asdict(point).items()
    }
