"""All folds of a cross-validation measured together, as if one detector had looked at all photos.

Each photo was looked at by the detector of its own fold, which did not train on it. Groups of photos that never part
are drawn together by the bootstrap, since they are not independent of each other.

Notation: P photos, G groups of photos, D draws.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from herder.boxes import IntArray
from herder.data.records import Dataset
from herder.detections import Detections
from herder.evaluation.average_precision import evaluate_detections
from herder.evaluation.cross_validation import LEVEL, METRICS, NO_TRUTH, Measure, Pooled, known_metrics
from herder.evaluation.error_analysis import photo_errors
from herder.evaluation.photo_matches import PhotoMatches
from herder.evaluation.resampled_precision import draw_weights, jackknife, resample
from herder.evaluation.significance.intervals import bca_interval
from herder.evaluation.tables import DoubleArray, detection_table, truth_table

LEFT_OUT = 500
"""At most so many parts of the photos are left out in turn; the acceleration of a BCa interval needs no more."""


def pool(
    strategy: str,
    repeat: int,
    dataset: Dataset,
    detections: Sequence[Detections],
    groups: IntArray,
    *,
    draws: int = 1000,
    seed: int = 0,
    workers: int = 1,
) -> Pooled:
    """Measure ``detections`` of all photos that were validated, each by its own fold's detector.

    ``groups`` (P,) is a number for each photo, equal for those that never part: they are drawn together.
    """
    metrics = evaluate_detections(detections, dataset.records, dataset.class_names)
    truth, found = truth_table(dataset.records), detection_table(detections)
    matches = PhotoMatches.of(truth, found, len(dataset), len(dataset.class_names))
    errors = photo_errors(truth, found, len(dataset), metrics.threshold)
    counts = np.array([(e.hits, e.false_alarms, e.misses) for e in errors], np.float64).reshape(-1, 3)  # (P, 3)
    members = np.unique(groups, return_inverse=True)[1].reshape(-1)
    # The same draws for all five: resample seeds its draws in this way, too.
    seeds = np.random.SeedSequence(seed).spawn(draws)
    sums = [draw_weights(members, np.random.default_rng(each)) @ counts for each in seeds]
    parts = members % min(LEFT_OUT, members.max(initial=0) + 1)
    left = [(parts != part).astype(np.float64) @ counts for part in np.unique(parts)]
    drawn = np.hstack([resample([matches], draws, seed, workers, groups=members)[:, 0], _rates(sums)])  # (D, 5)
    left_out = np.hstack([jackknife([matches], parts, workers)[:, 0], _rates(left)])  # (G, 5)
    known = known_metrics(metrics)
    measures = []
    for column, name in enumerate(METRICS):
        value = known.get(name, math.nan)
        interval = bca_interval(value, drawn[:, column], left_out[:, column], LEVEL)
        measures.append(Measure(name, known.get(name, NO_TRUTH), interval))
    return Pooled(strategy, repeat, len(dataset), metrics.truths, metrics.threshold, tuple(measures))


def _rates(counts: Sequence[DoubleArray]) -> DoubleArray:
    """Precision, recall and F1 (n, 3) of hits, false alarms and misses (n, 3); NaN where there is nothing to divide."""
    hits, alarms, misses = np.reshape(counts, (-1, 3)).T
    with np.errstate(invalid="ignore"):
        return np.stack([hits / (hits + alarms), hits / (hits + misses), 2 * hits / (2 * hits + alarms + misses)], 1)
