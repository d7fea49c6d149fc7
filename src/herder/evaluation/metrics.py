"""The numbers of one evaluation."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ClassMetrics:
    """What one class reached; NaN where the class has no labelled boxes."""

    name: str
    truths: int
    """Labelled boxes that count."""
    map50: float
    map50_95: float
    precision: float
    """At IoU 0.5 and the threshold of the whole evaluation, as are recall and f1."""
    recall: float
    f1: float
    best_threshold: float
    """The score threshold where this class alone has its best F1."""
    best_f1: float

    def as_dict(self) -> dict[str, float]:
        """Flat names to numbers."""
        return {
            "truths": self.truths,
            "mAP50": self.map50,
            "mAP50_95": self.map50_95,
            "precision": self.precision,
            "recall": self.recall,
            "F1": self.f1,
            "best_threshold": self.best_threshold,
            "best_F1": self.best_f1,
        }


@dataclass(frozen=True)
class Metrics:
    """What a detector reached on labelled photos.

    The AP and AR numbers are COCO's, means over the classes that have labelled boxes; NaN (COCO prints -1) where no
    labelled box counts, overall or of that size. Precision, recall and F1 count all classes together at IoU 0.5.
    """

    map50: float
    map50_95: float
    map75: float
    ap_small: float
    """Of boxes up to 32 x 32 pixels."""
    ap_medium: float
    """Of boxes between 32 x 32 and 96 x 96 pixels."""
    ap_large: float
    """Of boxes from 96 x 96 pixels up."""
    ar_1: float
    """Recall averaged over IoU 0.5 to 0.95 with one detection a class and photo; the next two with 10 and 100."""
    ar_10: float
    ar_100: float
    precision: float
    """At ``threshold``, as are recall and f1."""
    recall: float
    f1: float
    threshold: float
    """The score threshold with the best F1; 0.25 where no detection hits anything."""
    photos: int
    truths: int
    """Labelled boxes that count."""
    per_class: tuple[ClassMetrics, ...]

    def as_dict(self) -> dict[str, float]:
        """Flat names to numbers, without the classes; the names that run logs and model files use."""
        return {
            "mAP50": self.map50,
            "mAP50_95": self.map50_95,
            "mAP75": self.map75,
            "AP_small": self.ap_small,
            "AP_medium": self.ap_medium,
            "AP_large": self.ap_large,
            "AR_1": self.ar_1,
            "AR_10": self.ar_10,
            "AR_100": self.ar_100,
            "precision": self.precision,
            "recall": self.recall,
            "F1": self.f1,
            "threshold": self.threshold,
        }
