"""mAP on photos drawn again: the bootstrap over photos, and what each photo alone changes.

The bootstrap (Efron 1979, https://doi.org/10.1214/aos/1176344552) asks how far a number would move on other photos of
the same kind: photos are drawn with replacement, as many as there are, and the number is computed again. Every model
sees the same draws, so that differences of two models are paired.

Notation: P photos, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from herder.boxes import IntArray
from herder.evaluation.photo_matches import PhotoMatches, Weights
from herder.evaluation.tables import DoubleArray

Progress = Callable[[int, int], None]
"""Called with how many are done, and how many there are."""

AT_ONCE = 16
"""Draws that a thread takes at a time."""


def resample(
    models: Sequence[PhotoMatches],
    draws: int,
    seed: int = 0,
    workers: int = 1,
    progress: Progress | None = None,
    groups: IntArray | None = None,
) -> DoubleArray:
    """mAP50 and mAP50_95 (draws, models, 2) of bootstrap draws of the photos, the same photos for all models.

    ``groups`` (P,) draws whole groups of photos (one camera, one burst) instead, which are not independent of each
    other. NaN where no photo drawn has a labelled box. Equal seeds give equal draws, whatever the number of
    ``workers`` (threads). Raises ValueError when the models looked at different photos.
    """
    members = _members(models, groups)
    seeds = np.random.SeedSequence(seed).spawn(draws)
    return _measured(
        models, lambda draw: draw_weights(members, np.random.default_rng(seeds[draw])), draws, workers, progress
    )


def jackknife(
    models: Sequence[PhotoMatches],
    groups: IntArray | int | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> DoubleArray:
    """mAP50 and mAP50_95 (groups, models, 2) with each photo, or each group of photos, left out once.

    ``groups``: None leaves out single photos; (P,) the photos of equal value together; a number G makes about that many
    groups of photos, each holding every G-th photo: good enough for the acceleration of a BCa interval, and quicker.
    """
    if isinstance(groups, int):
        groups = np.arange(len(models[0])) % max(min(groups, len(models[0])), 1)
    members = _members(models, groups)
    count = int(members.max(initial=-1)) + 1
    return _measured(models, lambda left_out: (members != left_out).astype(np.float64), count, workers, progress)


def group_numbers(groups: Sequence[str]) -> IntArray:
    """A number (P,) for each photo's group, 0 to G - 1; a photo without a group is one of its own.

    >>> group_numbers(["", "farm", "", "farm"]).tolist()
    [0, 1, 2, 1]
    """
    known: dict[object, int] = {}
    return np.array([known.setdefault(name or index, len(known)) for index, name in enumerate(groups)], np.int64)


def draw_weights(members: IntArray, rng: np.random.Generator) -> DoubleArray:
    """How often each photo (P,) comes up when as many groups as there are are drawn with replacement.

    ``members`` (P,) is the group of each photo, 0, 1, 2, ...; ``np.arange(P)`` draws single photos.
    """
    count = int(members.max(initial=-1)) + 1
    drawn = np.bincount(rng.integers(0, count, count), minlength=count) if count else np.zeros(0)
    return np.asarray(drawn[members], np.float64)


def _members(models: Sequence[PhotoMatches], groups: IntArray | None) -> IntArray:
    photos = {len(model) for model in models}
    if len(photos) != 1:
        raise ValueError(f"models of {sorted(photos)} photos: wanted one or more models of the same photos")
    if groups is None:
        return np.arange(photos.pop(), dtype=np.int64)
    if len(groups) not in photos:
        raise ValueError(f"groups of {len(groups)} photos do not match {photos.pop()} photos")
    return np.asarray(np.unique(groups, return_inverse=True)[1], np.int64)


def _measured(
    models: Sequence[PhotoMatches],
    weights: Callable[[int], Weights],
    count: int,
    workers: int,
    progress: Progress | None,
) -> DoubleArray:
    """The mAPs (count, models, 2) under each of the weights."""
    values = np.full((count, len(models), 2), np.nan)
    for model in models:
        model.curves  # noqa: B018  prepared before the threads ask for it

    def measure(start: int) -> int:
        rows = range(start, min(start + AT_ONCE, count))
        for row in rows:
            each = weights(row)
            values[row] = [model.map(each) for model in models]
        return len(rows)

    # Threads are enough: NumPy lets go of the interpreter's lock in all the long steps.
    pool = ThreadPoolExecutor(max(1, workers), "herder-resample")
    try:
        done = 0
        for finished in pool.map(measure, range(0, count, AT_ONCE)):
            done += finished
            if progress:
                progress(done, count)
    finally:
        pool.shutdown(cancel_futures=True)
    return values
