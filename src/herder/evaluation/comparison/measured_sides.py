"""Two sides measured on the same photos, on all of them, on photos drawn anew, and with photos swapped between them.

A side is one model or several (seeds); its value is the mean over them. Everything is computed from detections that
were matched once. Notation: P photos, G independent groups of photos, D draws, 3 metrics in the order of ``METRICS``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from herder.boxes import IntArray
from herder.evaluation.average_precision import precision_recall_curves
from herder.evaluation.comparison.result import METRICS, PhotoGain
from herder.evaluation.error_analysis import photo_errors
from herder.evaluation.photo_matches import PhotoMatches, Weights
from herder.evaluation.resampled_precision import draw_weights
from herder.evaluation.tables import DetectionTable, DoubleArray, TruthTable
from herder.evaluation.weighted_f1 import WeightedF1

JACKKNIFE_PARTS = 500
"""More groups than these are left out several at a time: the acceleration of BCa changes little, the time much."""

GAINS = 12
"""Photos listed at either end: where B gained, and where it lost."""

Progress = Callable[[str, int, int], None]
Item = TypeVar("Item")


@dataclass(frozen=True, eq=False)
class MeasuredModel:
    """One model's detections, matched: what gives the metrics for any weights of the photos."""

    matches: PhotoMatches
    f1: WeightedF1

    @classmethod
    def of(cls, matches: PhotoMatches) -> MeasuredModel:
        """Prepare both metrics."""
        found = cls(matches, WeightedF1.of(matches))
        found.values()  # prepares what all weights share, before threads ask for it
        return found

    def values(self, weights: Weights | None = None) -> DoubleArray:
        """mAP50, mAP50_95 and F1 (3,), when photo i counts ``weights[i]`` times (P,); NaN without labels.

        F1 is at the threshold that is best on all photos.
        """
        return np.array([*self.matches.map(weights), self.f1.fixed(weights)])

    def refitted(self, weights: Weights) -> DoubleArray:
        """The same with the F1 of the threshold that is best for these weights."""
        return np.array([*self.matches.map(weights), self.f1.best(weights)])


@dataclass(frozen=True, eq=False)
class MeasuredSides:
    """The models of both sides on P photos, which come in groups that are drawn and swapped as a whole.

    ``group_of`` (P,) is the group of each photo, 0 to G - 1.
    """

    a: tuple[MeasuredModel, ...]
    b: tuple[MeasuredModel, ...]
    group_of: IntArray

    @classmethod
    def of(
        cls,
        truth: TruthTable,
        a: Sequence[DetectionTable],
        b: Sequence[DetectionTable],
        classes: int,
        group_of: IntArray,
    ) -> MeasuredSides:
        """Match every model of both sides once."""

        def measured(side: Sequence[DetectionTable]) -> tuple[MeasuredModel, ...]:
            return tuple(MeasuredModel.of(PhotoMatches.of(truth, found, len(group_of), classes)) for found in side)

        return cls(measured(a), measured(b), group_of)

    @property
    def groups(self) -> int:
        """G."""
        return int(self.group_of.max(initial=-1)) + 1

    def values(self, weights: Weights | None = None) -> tuple[DoubleArray, DoubleArray]:
        """The metrics (3,) of A and of B, for all photos or for weights of them (P,)."""
        return _mean(self.a, weights), _mean(self.b, weights)

    def difference(self, weights: Weights | None = None) -> DoubleArray:
        """B - A (3,)."""
        a, b = self.values(weights)
        return b - a

    def bootstrap(self, draws: int, seed: int, workers: int = 1, progress: Progress | None = None) -> DoubleArray:
        """B - A (D, 3) on groups drawn with replacement, the same for both sides; NaN without a labelled box."""
        seeds = np.random.SeedSequence(seed).spawn(draws)

        def drawn(own: np.random.SeedSequence) -> DoubleArray:
            return self.difference(draw_weights(self.group_of, np.random.default_rng(own)))

        return _rows(drawn, seeds, workers, None if progress is None else partial(progress, "bootstrap"))

    def left_out(self, workers: int = 1) -> DoubleArray:
        """B - A (n, 3) with one group after the other left out; of more than 500 groups several at a time."""
        parts = min(self.groups, JACKKNIFE_PARTS)
        part_of = self.group_of % max(parts, 1)
        return _rows(lambda part: self.difference((part_of != part).astype(np.float64)), range(parts), workers)

    def swapped(self) -> Callable[[NDArray[np.bool_]], DoubleArray]:
        """The difference B - A (3,) when the groups of a mask (G,) have their detections swapped between the sides.

        Model i of A swaps with model i of B: both sides need as many models, else ValueError. What the two found is
        laid out as two sets of photos, so that a swap is no more than weights of 0 and 1.
        """
        pairs = [
            MeasuredModel.of(PhotoMatches.joined([one.matches, other.matches]))
            for one, other in zip(self.a, self.b, strict=True)
        ]

        def difference(mask: NDArray[np.bool_]) -> DoubleArray:
            swap = mask[self.group_of].astype(np.float64)  # (P,)
            as_a, as_b = np.concatenate([1 - swap, swap]), np.concatenate([swap, 1 - swap])
            each = [pair.refitted(as_b) - pair.refitted(as_a) for pair in pairs]
            return np.asarray(np.mean(each, axis=0), np.float64)

        return difference


def _rows(
    measure: Callable[[Item], DoubleArray],
    items: Sequence[Item],
    workers: int,
    progress: Callable[[int, int], None] | None = None,
) -> DoubleArray:
    """What ``measure`` gives for each item, in their order, computed in several threads: NumPy's long steps let go of
    the interpreter's lock.
    """
    values = np.full((len(items), len(METRICS)), np.nan)
    with ThreadPoolExecutor(max(1, workers), "herder-compare") as pool:
        for row, found in enumerate(pool.map(measure, items)):
            values[row] = found
            if progress:
                progress(row + 1, len(items))
    return values


def _mean(side: Sequence[MeasuredModel], weights: Weights | None) -> DoubleArray:
    return np.asarray(np.mean([model.values(weights) for model in side], axis=0), np.float64)


def photo_gains(
    truth: TruthTable,
    a: Sequence[DetectionTable],
    b: Sequence[DetectionTable],
    names: Sequence[str],
    classes: int,
    limit: int = GAINS,
) -> tuple[list[int], tuple[PhotoGain, ...]]:
    """The photos where the errors of the sides differ most, each model at its own best threshold, by index and in full.

    First those where B gained, most first; then those where it lost, most last.
    """
    means = []
    for side in (a, b):
        counts = []
        for found in side:
            threshold = best_threshold(truth, found, classes)
            counts.append([error.errors for error in photo_errors(truth, found, len(names), threshold)])
        means.append(np.mean(counts, axis=0))
    gain = means[0] - means[1]
    order = np.argsort(-gain, kind="stable")
    won = [int(i) for i in order if gain[i] > 0][:limit]
    lost = [int(i) for i in order if gain[i] < 0][-limit:]
    rows = tuple(PhotoGain(names[i], float(means[0][i]), float(means[1][i])) for i in (*won, *lost))
    return [*won, *lost], rows


def best_threshold(truth: TruthTable, found: DetectionTable, classes: int) -> float:
    """The score threshold with the best F1, all classes counted together."""
    return precision_recall_curves(truth, found.best(), classes)[0].best().threshold
