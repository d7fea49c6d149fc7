"""mAP of photos drawn anew: the bootstrap and the jackknife over photos, without matching again.

Photos are what a sample of the field consists of: boxes of one photo are not independent, so that drawing boxes would
promise too much (B. Efron, R. Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 8). All models get the same
photos in each draw, so that their differences are paired.

Notation: D draws, M models, P photos, G groups of photos.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from herder.boxes import IntArray
from herder.evaluation.photo_matches import PhotoMatches
from herder.evaluation.tables import DoubleArray

JACKKNIFE_GROUPS = 500
"""More photos than these are left out in groups: the acceleration of BCa intervals changes little, the time much."""


def draw_weights(photos: int, draws: int, seed: int) -> Iterator[IntArray]:
    """How often each photo (P,) is in each draw of P photos with replacement: the same for the same seed."""
    rng = np.random.default_rng(seed)
    for _ in range(draws):
        yield np.bincount(rng.integers(photos, size=photos), minlength=photos)


def resample(
    models: Sequence[PhotoMatches], draws: int, seed: int, progress: Callable[[int, int], None] | None = None
) -> DoubleArray:
    """mAP50 and mAP50_95 (D, M, 2) of the ``models`` on photos drawn with replacement, the same for all of them.

    NaN in a draw without any labelled box. Raises ValueError when the models were matched on different photos.
    """
    photos = _photos(models)
    values = np.full((draws, len(models), 2), np.nan)
    for row, weights in enumerate(draw_weights(photos, draws, seed)):
        values[row] = [model.map(weights) for model in models]
        if progress:
            progress(row + 1, draws)
    return values


def jackknife(models: Sequence[PhotoMatches], groups: Sequence[IntArray] | None = None) -> DoubleArray:
    """mAP50 and mAP50_95 (G, M, 2) when one group of photos after the other is left out.

    ``groups`` None leaves out each photo alone, or more than 500 photos in 500 groups as they stand.
    """
    photos = _photos(models)
    if groups is None:
        groups = np.array_split(np.arange(photos), min(photos, JACKKNIFE_GROUPS)) if photos else []
    values = np.full((len(groups), len(models), 2), np.nan)
    for row, group in enumerate(groups):
        weights = np.ones(photos, np.int64)
        weights[group] = 0
        values[row] = [model.map(weights) for model in models]
    return values


def _photos(models: Sequence[PhotoMatches]) -> int:
    counts = {model.photos for model in models}
    if len(counts) != 1:
        raise ValueError(f"models matched on {sorted(counts)} photos: wanted one and the same number")
    return counts.pop()
