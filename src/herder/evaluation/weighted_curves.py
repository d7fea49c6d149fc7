"""The arithmetic under ``PhotoMatches``: average precision of all curves at once, from weights of photos.

Only hits are looked at: precision is highest right at a hit, and recall changes nowhere else. With sums over all curves
laid end to end, one set of array operations serves every class and overlap, and a resample of 5,000 photos takes
milliseconds.

Notation: P photos, D detections, K classes, T overlaps, S = T K curves, H hits of all curves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from herder.boxes import IntArray
from herder.evaluation.rules import Rules
from herder.evaluation.tables import DoubleArray

RECALLS = np.linspace(0.0, 1.0, 101)
"""Where COCO reads precision."""

EPSILON = float(np.spacing(1))
"""What COCO adds to the detections that it divides by."""


@dataclass(frozen=True, eq=False)
class WeightedCurves:
    """Indices that do not depend on the weights; hits are ordered by overlap, class, and falling score.

    ``photos`` (D,) of all detections; ``hit_photos`` (H,), ``hit_rows`` (H,) of the hits among the detections,
    ``hit_curves`` (H,) the curve of each, ``starts`` (S + 1,) where each curve's hits start, ``curve_rows`` (S,) the
    row of the first detection of the curve's class; ``ignored_photos`` (I,) of the ignored detections, in the same
    order, ``ignored_before`` (H,) how many of these lie before each hit, ``ignored_starts`` (S,) before each curve;
    ``truths`` (P, K) labelled boxes that count.
    """

    photos: IntArray
    hit_photos: IntArray
    hit_rows: IntArray
    hit_curves: IntArray
    starts: IntArray
    curve_rows: IntArray
    ignored_photos: IntArray
    ignored_before: IntArray
    ignored_starts: IntArray
    truths: DoubleArray
    levels: int
    rules: Rules

    @classmethod
    def of(
        cls,
        photos: IntArray,
        classes: IntArray,
        hits: NDArray[np.bool_],
        ignored: NDArray[np.bool_],
        truths: IntArray,
        rules: Rules,
    ) -> WeightedCurves:
        """Prepare detections ordered by class, then by falling score; ``hits`` and ``ignored`` (T, D)."""
        levels, count = hits.shape
        kinds = truths.shape[1]
        flat = np.flatnonzero(hits & ~ignored)
        out = np.flatnonzero(ignored)
        rows = flat % max(count, 1)
        curves = flat // max(count, 1) * kinds + classes[rows]
        curve_rows = np.tile(np.searchsorted(classes, np.arange(kinds)), levels)
        curve_flat = curve_rows + np.repeat(np.arange(levels) * count, kinds)
        return cls(
            photos,
            photos[rows],
            rows,
            curves,
            np.searchsorted(curves, np.arange(levels * kinds + 1)),
            curve_rows,
            photos[out % max(count, 1)],
            np.searchsorted(out, flat),
            np.searchsorted(out, curve_flat),
            truths.astype(np.float64),
            levels,
            rules,
        )

    def average_precision(self, each: DoubleArray) -> DoubleArray:
        """Average precision (T, K), NaN without labelled boxes, when photo i counts ``each[i]`` times (P,)."""
        of_class = each @ self.truths  # (K,)
        truths = np.tile(of_class, self.levels)  # (S,)
        through = _sums(each[self.hit_photos])  # (H + 1,) hits before each hit, all curves together
        before = through[self.starts[:-1]]  # (S,)
        hits = through[1:] - before[self.hit_curves]  # (H,) hits of the curve up to and with this one
        detections = _sums(each[self.photos])
        base = detections[self.curve_rows]
        counted = detections[self.hit_rows + 1]
        if len(self.ignored_photos):
            ignored = _sums(each[self.ignored_photos])
            base = base - ignored[self.ignored_starts]
            counted -= ignored[self.ignored_before]
        counted -= base[self.hit_curves]
        counted += EPSILON
        precision = hits / counted
        if self.rules is Rules.COCO:
            average = self._at_recalls(precision, through, before, of_class)
        else:
            average = self._areas(precision, each, truths)
        average[truths == 0] = np.nan
        return average.reshape(self.levels, -1)

    def _at_recalls(
        self, precision: DoubleArray, through: DoubleArray, before: DoubleArray, truths: DoubleArray
    ) -> DoubleArray:
        """The mean (S,) of the best precision at or after each of the 101 recalls."""
        # The hits (S, 101) at which each recall is reached, all curves together; the same for every overlap.
        wanted = before[:, None] + np.tile(hits_for_recall(truths), (self.levels, 1))
        at = np.searchsorted(through[1:], wanted.ravel(), side="left").reshape(wanted.shape)
        # A recall of 0 is reached by the curve's first hit; a recall that is not reached ends with the curve.
        at = np.clip(at, self.starts[:-1, None], self.starts[1:, None])
        reached = at < self.starts[1:, None]
        # The best precision between two recalls, then from each recall on: the last axis backwards.
        between = np.maximum.reduceat(np.append(precision, 0.0), at.ravel()).reshape(at.shape)
        between[~reached] = 0
        best = np.maximum.accumulate(between[:, ::-1], axis=1)
        return np.asarray(best.mean(axis=1), np.float64)

    def _areas(self, precision: DoubleArray, each: DoubleArray, truths: DoubleArray) -> DoubleArray:
        """The area (S,) under precision over recall, where precision is the best at or after each hit."""
        # Counted backwards, each curve lies 2 above the one after it, so that no curve sees another's precision.
        lift = 2.0 * (len(truths) - 1 - self.hit_curves)
        best = np.maximum.accumulate((precision + lift)[::-1])[::-1] - lift
        area = np.bincount(self.hit_curves, best * each[self.hit_photos], minlength=len(truths))
        return np.asarray(np.divide(area, truths, out=np.zeros(len(truths)), where=truths > 0), np.float64)


def hits_for_recall(truths: DoubleArray) -> DoubleArray:
    """The fewest hits (K, 101) of ``truths`` (K,) whose share is at least each recall, to the last bit as COCO has it.

    >>> hits_for_recall(np.array([4.0]))[0, [0, 25, 26, 100]].tolist()
    [0.0, 1.0, 2.0, 4.0]
    """
    whole = np.maximum(truths, 1)[:, None]
    need = np.ceil(RECALLS * whole)
    need -= (need - 1) / whole >= RECALLS
    need += need / whole < RECALLS
    return np.asarray(need, np.float64)


def _sums(values: DoubleArray) -> DoubleArray:
    """The sums before each value and after the last: one number more than there are values."""
    sums = np.zeros(len(values) + 1)
    np.cumsum(values, out=sums[1:])
    return sums
