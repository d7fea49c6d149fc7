"""Does a score of 0.8 mean right in 8 of 10? Reliability, calibration errors, and what temperature scaling gives.

Source: F. Kueppers et al., "Multivariate Confidence Calibration for Object Detection", CVPR Workshops 2020,
https://arxiv.org/abs/2004.13546. A detection is right if it hits a labelled box of its class (IoU 0.5, COCO's
matching). Detections are put into bins by their score; with n of N in a bin, mean score c and precision p,

    D-ECE = sum over bins of n / N |p - c|        detection expected calibration error
    MCE   = the largest |p - c|                   maximum calibration error

Bins may be cut further by where a box lies or how large it is: a detector may be sure in the middle of a photo and
wrong at its border. Misses are in none of this: they have no score.

Notation: N detections, P photos, F further columns to cut bins by.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from herder.boxes import IntArray
from herder.evaluation.matching import match
from herder.evaluation.not_computed import NotComputed
from herder.evaluation.tables import DetectionTable, DoubleArray, TruthTable
from herder.evaluation.temperature import cross_fitted, fit_temperature, negative_log_likelihood

BINS = 10
"""Bins of the score, each a tenth wide."""

COARSE = 5
"""Bins of each column where several are cut by: there are soon more bins than detections."""

FEWEST = 10
"""Detections a bin needs for the maximum error: three of four in a bin say little about it."""

FLOOR = 0.05
"""Detections below this score are not looked at: they are the most, nobody sees them, and they hide the others."""

CHANCES = 200
"""Simulations of a detector whose scores are right."""


@dataclass(frozen=True)
class Bin:
    """Detections of like score: those from ``low`` to under ``high``, in the last bin up to 1."""

    low: float
    high: float
    count: int
    confidence: float | NotComputed
    """Their mean score."""
    precision: float | NotComputed
    """The share of them that is right."""


@dataclass(frozen=True)
class Reliability:
    """How far scores are from precision. All errors are 0 for a perfect detector with many detections."""

    detections: int
    hits: int
    bins: tuple[Bin, ...]
    ece: float
    """D-ECE over the bins of the score."""
    ece_by_chance: float
    """What the D-ECE of so many detections would be if every score were right: bins are small, and chance is large."""
    ece_position: float
    """D-ECE over bins of the score and the box's centre."""
    ece_position_by_chance: float
    ece_size: float
    """D-ECE over bins of the score and the box's width and height."""
    ece_size_by_chance: float
    mce: float | NotComputed
    """The largest error of a bin with at least 10 detections."""
    brier: float
    """The mean squared distance of the score from 1 for a hit, from 0 for a false alarm."""
    nll: float
    """The mean negative log likelihood, which temperature scaling makes small."""


@dataclass(frozen=True)
class Calibration:
    """Scores as they are, and what one temperature makes of them."""

    photos: int
    iou: float
    floor: float
    """Detections from this score on, before calibration, are looked at."""
    before: Reliability
    after: Reliability | NotComputed
    """The same detections, each with the temperature that was fitted on the other half of the photos."""
    temperature: float | NotComputed
    """Fitted on all photos."""

    @property
    def helps(self) -> bool:
        """Whether both the calibration error and the likelihood were better on photos held out."""
        after = self.after
        return isinstance(after, Reliability) and after.ece < self.before.ece and after.nll < self.before.nll


def measure_calibration(
    truth: TruthTable,
    found: DetectionTable,
    sizes: IntArray,
    groups: IntArray | None = None,
    *,
    iou: float = 0.5,
    floor: float = FLOOR,
    seed: int = 0,
) -> Calibration | NotComputed:
    """Measure the scores of ``found``, fit a temperature, and measure again with halves held out.

    ``sizes`` (P, 2) are the photos' width and height in pixels; ``groups`` (P,) tells which photos must stay in one
    half (None: each stands alone). Detections on ignore boxes count neither way. Not computed without a detection.
    """
    found = found.best()
    matches = match(truth, found, iou)
    rows = np.flatnonzero(~matches.ignored & (found.scores >= floor))
    if not len(rows):
        return NotComputed(f"no detection reaches a score of {floor:g}")
    kept, hits = found.pick(rows), matches.hits[rows]
    sides = sizes[kept.photos].astype(np.float64)
    size = kept.boxes[:, 2:] / sides
    centre = kept.boxes[:, :2] / sides + size / 2
    before = _reliability(kept.scores, hits, centre, size, seed)
    halves = np.arange(len(sizes)) if groups is None else groups
    held_out = cross_fitted(kept.scores, hits, kept.photos, halves, seed)
    after = held_out if isinstance(held_out, NotComputed) else _reliability(held_out, hits, centre, size, seed)
    return Calibration(len(sizes), iou, floor, before, after, fit_temperature(kept.scores, hits))


def calibration_error(
    scores: DoubleArray, hits: NDArray[np.bool_], others: DoubleArray | None = None, bins: int = BINS
) -> float:
    """The D-ECE of N >= 1 detections: scores (N,), ``hits`` (N,), further columns ``others`` (N, F), all from 0 to 1.

    >>> round(calibration_error(np.array([0.8, 0.8, 0.3, 0.3]), np.array([True, True, False, True])), 3)
    0.2
    """
    return _error(scores, hits, _cells(scores, others, bins))


def reliability_bins(scores: DoubleArray, hits: NDArray[np.bool_], bins: int = BINS) -> tuple[Bin, ...]:
    """Scores (N,) in equal bins from 0 to 1, with the precision of each."""
    place = _bin(scores, bins)
    counts = np.bincount(place, minlength=bins)
    sums, right = np.bincount(place, scores, bins), np.bincount(place, hits, bins)
    empty = NotComputed("no detection has such a score")
    return tuple(
        Bin(
            i / bins,
            (i + 1) / bins,
            int(counts[i]),
            float(sums[i] / counts[i]) if counts[i] else empty,
            float(right[i] / counts[i]) if counts[i] else empty,
        )
        for i in range(bins)
    )


def error_by_chance(scores: DoubleArray, others: DoubleArray | None = None, bins: int = BINS, seed: int = 0) -> float:
    """The mean D-ECE of detections with these scores if each were right with just the probability of its score."""
    rng, cells = np.random.default_rng(seed), _cells(scores, others, bins)
    return float(np.mean([_error(scores, rng.random(len(scores)) < scores, cells) for _ in range(CHANCES)]))


def _reliability(
    scores: DoubleArray, hits: NDArray[np.bool_], centre: DoubleArray, size: DoubleArray, seed: int
) -> Reliability:
    bins = reliability_bins(scores, hits)
    gaps = [
        abs(b.precision - b.confidence)
        for b in bins
        if b.count >= FEWEST and isinstance(b.precision, float) and isinstance(b.confidence, float)
    ]
    return Reliability(
        len(scores),
        int(hits.sum()),
        bins,
        calibration_error(scores, hits),
        error_by_chance(scores, seed=seed),
        calibration_error(scores, hits, centre, COARSE),
        error_by_chance(scores, centre, COARSE, seed),
        calibration_error(scores, hits, size, COARSE),
        error_by_chance(scores, size, COARSE, seed),
        max(gaps) if gaps else NotComputed(f"no bin has {FEWEST} detections"),
        float(np.square(scores - hits).mean()),
        negative_log_likelihood(scores, hits),
    )


def _cells(scores: DoubleArray, others: DoubleArray | None, bins: int) -> IntArray:
    """The number of the bin, over all columns, of each detection: (N,)."""
    columns = scores[:, None] if others is None else np.column_stack([scores, others])  # (N, 1 + F)
    return np.asarray(_bin(columns, bins) @ bins ** np.arange(columns.shape[1]), np.int64)


def _error(scores: DoubleArray, hits: NDArray[np.bool_], cells: IntArray) -> float:
    """Each bin's gap between score and precision, weighed by its share of the detections."""
    return float(np.abs(np.bincount(cells, scores - hits)).sum() / len(scores))


def _bin(values: DoubleArray, bins: int) -> IntArray:
    """Which of ``bins`` equal parts of 0 to 1 each value lies in; 1 and what lies beyond goes into the last."""
    return np.clip((values * bins).astype(np.int64), 0, bins - 1)
