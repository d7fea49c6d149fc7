"""A detector measured by the rules of Open Images: average precision at IoU 0.5, the area under the whole curve."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from herder.errors import DataError
from herder.evaluation.average_precision import precision_recall_curves
from herder.evaluation.metrics import ClassMetrics, Metrics
from herder.evaluation.open_images.rules import Hierarchy, VerifiedLabels, expand_truth, looked_for
from herder.evaluation.photo_matches import PhotoMatches
from herder.evaluation.rules import Rules
from herder.evaluation.tables import DetectionTable, TruthTable

NOT_DEFINED = ("mAP50_95", "mAP75", "AP_small", "AP_medium", "AP_large", "AR_1", "AR_10", "AR_100")
"""Names in ``Metrics.as_dict`` that these rules do not know."""

WHY_NOT = "the rules of Open Images know average precision at IoU 0.5 alone"

NAN = float("nan")


def by_open_images(
    truth: TruthTable,
    found: DetectionTable,
    photos: Sequence[str],
    class_names: Sequence[str],
    verified: VerifiedLabels | None = None,
    hierarchy: Hierarchy | None = None,
) -> tuple[TruthTable, DetectionTable]:
    """The boxes of each class and of its kinds, and the detections that count; ``photos`` (P,) without endings.

    Without ``verified`` every class counts as looked for in every photo. The detections are not expanded: as in the
    challenge, a detector that knows of animals has to find them as animals, too. Raises DataError when no class is in
    the hierarchy.
    """
    if hierarchy:
        if not any(name in hierarchy.above for name in class_names):
            raise DataError(
                f"hierarchy: none of the classes ({', '.join(class_names[:3])}) is in it",
                hint="--class-table FILE (class-descriptions-boxable.csv) names ids such as /m/0pcr",
            )
        truth = expand_truth(truth, class_names, hierarchy)
    if verified:
        mask = looked_for(truth, photos, class_names, verified, hierarchy)
        found = found.pick(mask[found.photos, found.classes])
    return truth, found


def evaluate_open_images(truth: TruthTable, found: DetectionTable, photos: int, class_names: Sequence[str]) -> Metrics:
    """Measure what ``by_open_images`` gave; boxes to ``ignore`` are those around groups, and count once each.

    Precision, recall and F1 are by the same rules. NaN stands for what is ``NOT_DEFINED``.
    """
    average = PhotoMatches.of(truth, found, photos, len(class_names), Rules.OPEN_IMAGES).average_precision()[0]
    whole, curves = precision_recall_curves(truth, found, len(class_names), Rules.OPEN_IMAGES)
    point = whole.best()
    per_class = []
    for name, curve, value in zip(class_names, curves, average.tolist(), strict=True):
        at, own = curve.at(point.threshold), curve.best()
        per_class.append(
            ClassMetrics(name, curve.truths, value, NAN, at.precision, at.recall, at.f1, own.threshold, own.f1)
        )
    counted = average[~np.isnan(average)]
    return Metrics(
        map50=float(counted.mean()) if len(counted) else NAN,
        map50_95=NAN,
        map75=NAN,
        ap_small=NAN,
        ap_medium=NAN,
        ap_large=NAN,
        ar_1=NAN,
        ar_10=NAN,
        ar_100=NAN,
        precision=point.precision,
        recall=point.recall,
        f1=point.f1,
        threshold=point.threshold,
        photos=photos,
        truths=whole.truths,
        per_class=tuple(per_class),
    )
