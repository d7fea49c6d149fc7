"""How well a detector counts: the animals of each photo, detected against labelled.

No boxes are matched here: a false alarm beside a missed animal counts right, which is just what a count is asked for.
The count of a photo with an ignore box (a herd in one box) is unknown; such photos are left out, and their number told.
Notation: P photos whose count is known, g their labelled animals (P,), n the detections kept (P,); S distinct scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from herder.boxes import IntArray
from herder.evaluation.not_computed import NotComputed
from herder.evaluation.tables import DetectionTable, DoubleArray, TruthTable
from herder.evaluation.wanted_points import ALL_CLASSES


@dataclass(frozen=True)
class CountingError:
    """How far the counts are off when detections with at least ``threshold`` are counted."""

    threshold: float
    photos: int
    """Photos whose count is known, P."""
    labelled: int
    """Animals labelled in them, the sum of g."""
    counted: int
    """Detections kept in them, the sum of n."""
    mae: float
    """Mean of |n - g|: animals that a photo's count is off by."""
    rmse: float
    """Root of the mean of (n - g)^2: large where single photos are far off."""
    bias: float
    """Mean of n - g: positive where too many are counted."""
    exact: float
    """Share of the photos with n = g."""

    def as_dict(self) -> dict[str, float]:
        """The same numbers by name."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class CountingCurve:
    """The counting errors at each of the S distinct scores, highest first, and with nothing counted before them.

    Entry 0 counts nothing, entry i every detection with a score of at least ``scores[i - 1]``. All sums are over the P
    photos: ``absolute`` of |n - g|, ``squares`` of (n - g)^2, ``counted`` of n, ``exact`` of the photos with n = g;
    each (S + 1,).
    """

    scores: DoubleArray
    absolute: IntArray
    squares: IntArray
    counted: IntArray
    exact: IntArray
    photos: int
    labelled: int
    unknown: int
    """Photos left out, since a herd box makes their count unknown."""

    @classmethod
    def of(cls, photos: IntArray, scores: DoubleArray, labelled: IntArray, known: NDArray[np.bool_]) -> CountingCurve:
        """Count from the photo (N,) and score (N,) of each detection in any order, and the labelled animals (P',) of
        each photo with whether their number is known (P',).

        >>> one, two = np.array([0, 0, 1]), np.array([0.9, 0.6, 0.8])
        >>> curve = CountingCurve.of(one, two, np.array([2, 0]), np.array([True, True]))
        >>> curve.scores.tolist(), curve.absolute.tolist(), curve.exact.tolist()
        ([0.9, 0.8, 0.6], [2, 1, 2, 1], [1, 1, 0, 1])
        """
        counts = known[photos]
        photos, scores = photos[counts], scores[counts]
        order = np.lexsort((-scores, photos))  # photo by photo, best first: the rank is the count so far
        rank = np.empty(len(photos), np.int64)
        starts = np.concatenate([[0], np.cumsum(np.bincount(photos, minlength=len(labelled)))])
        rank[order] = np.arange(len(photos)) - starts[photos[order]]
        short = rank - labelled[photos]  # n - g before this detection is counted
        best_first = np.argsort(-scores, kind="stable")
        ordered = scores[best_first]
        last = np.append(ordered[1:] != ordered[:-1], True) if len(ordered) else np.zeros(0, bool)

        def summed(first: int, steps: IntArray) -> IntArray:
            return np.concatenate([[first], first + np.cumsum(steps[best_first])[last]]).astype(np.int64)

        g = labelled[known]
        return cls(
            scores=ordered[last],
            absolute=summed(int(g.sum()), np.where(short < 0, -1, 1)),
            squares=summed(int((g * g).sum()), 2 * short + 1),
            counted=summed(0, np.ones(len(photos), np.int64)),
            exact=summed(int((g == 0).sum()), (short == -1).astype(np.int64) - (short == 0)),
            photos=len(g),
            labelled=int(g.sum()),
            unknown=int((~known).sum()),
        )

    @property
    def mae(self) -> DoubleArray:
        """Mean absolute counting error (S + 1,), entry 0 with nothing counted; NaN without a photo."""
        return np.asarray(self.absolute / self.photos if self.photos else np.full(len(self.absolute), np.nan))

    def at(self, threshold: float) -> CountingError | NotComputed:
        """The errors when scores of at least ``threshold`` are counted."""
        return self._entry(int(np.searchsorted(-self.scores, -threshold, side="right")), threshold)

    def best(self) -> CountingError | NotComputed:
        """The threshold with the least mean absolute error, the highest of equals.

        Not computed where counting nothing at all is as good as any threshold.
        """
        if not self.photos:
            return self._entry(0, float("nan"))
        entry = int(np.argmin(self.absolute))
        if entry == 0:
            return NotComputed("no threshold counts better than not counting at all")
        return self._entry(entry, float(self.scores[entry - 1]))

    def _entry(self, i: int, threshold: float) -> CountingError | NotComputed:
        if not self.photos:
            why = "a herd box hides the number of animals in every photo" if self.unknown else "there are no photos"
            return NotComputed(why)
        return CountingError(
            threshold,
            self.photos,
            self.labelled,
            int(self.counted[i]),
            float(self.absolute[i] / self.photos),
            float(np.sqrt(self.squares[i] / self.photos)),
            float((self.counted[i] - self.labelled) / self.photos),
            float(self.exact[i] / self.photos),
        )


@dataclass(frozen=True, eq=False)
class Counting:
    """The counting errors of one evaluation: all animals together, and class by class."""

    threshold: float
    """The score threshold that the counts are asked at."""
    whole: CountingCurve
    per_class: tuple[tuple[str, CountingCurve], ...]
    labelled: IntArray
    """Labelled animals of each photo (P,) whose count is known, all classes together; what plots show."""
    counted: IntArray
    """Detections of at least ``threshold`` in the same photos (P,)."""

    def rows(self) -> list[tuple[str, CountingCurve]]:
        """``all`` and, where there is more than one, the classes."""
        return [(ALL_CLASSES, self.whole), *(self.per_class if len(self.per_class) > 1 else ())]

    def as_dict(self) -> dict[str, object]:
        """For JSON: for each row the errors at the threshold and at the best one, or why there are none."""
        return {
            "threshold": self.threshold,
            "rows": [
                {
                    "name": name,
                    "photos_with_herd_boxes_left_out": curve.unknown,
                    "at_threshold": _entry(curve.at(self.threshold)),
                    "at_best_mae": _entry(curve.best()),
                }
                for name, curve in self.rows()
            ],
        }


def count_animals(
    truth: TruthTable, found: DetectionTable, photos: int, class_names: Sequence[str], threshold: float
) -> Counting:
    """Compare the counts of all photos at the score ``threshold``; ``found`` holds all detections, not the best 100.

    With all classes together a photo is left out when it has any ignore box; for a class, when it has one of the class.
    """

    def curve(
        of_truth: NDArray[np.bool_], of_found: NDArray[np.bool_]
    ) -> tuple[CountingCurve, IntArray, NDArray[np.bool_]]:
        labelled = np.bincount(truth.photos[of_truth & ~truth.ignore], minlength=photos).astype(np.int64)
        known = np.bincount(truth.photos[of_truth & truth.ignore], minlength=photos) == 0
        return CountingCurve.of(found.photos[of_found], found.scores[of_found], labelled, known), labelled, known

    whole, labelled, known = curve(np.ones(len(truth), bool), np.ones(len(found), bool))
    per_class = tuple(
        (name, curve(truth.classes == index, found.classes == index)[0]) for index, name in enumerate(class_names)
    )
    kept = np.bincount(found.photos[found.scores >= threshold], minlength=photos).astype(np.int64)
    return Counting(threshold, whole, per_class, labelled[known], kept[known])


def _entry(error: CountingError | NotComputed) -> dict[str, object]:
    return {"not_computed": error.reason} if isinstance(error, NotComputed) else dict(error.as_dict())
