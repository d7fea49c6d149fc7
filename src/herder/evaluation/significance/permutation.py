"""The paired permutation test over photos: were the two models one and the same, swapping what they found on a photo
would change nothing but chance.

R. Fisher, "The Design of Experiments", 1935, chapter 3; p = (b + 1) / (m + 1) for b of m random swaps with a difference
at least as large (B. Phipson, G. Smyth, 2010, https://doi.org/10.2202/1544-6115.1585), which never is 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from herder.evaluation.not_computed import NotComputed
from herder.evaluation.significance.descriptive import DoubleArray

FEWEST_PHOTOS = 6
"""A swap and its opposite give the same size of difference: of 2^5 swaps two are as large, and p is 0.0625 or more."""

ROUNDING = 1e-12
"""Differences that are equal but for rounding count as equal."""


@dataclass(frozen=True)
class PermutationTest:
    """The observed difference, its two-sided p-value, and the random swaps it comes from."""

    difference: float
    p_value: float | NotComputed
    draws: int


def paired_permutation(
    difference_of: Callable[[NDArray[np.bool_]], DoubleArray],
    photos: int,
    draws: int,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[PermutationTest, ...]:
    """Test several differences of two models at once, on the same swaps.

    ``difference_of`` takes a mask (P,) of the photos whose predictions are swapped, and returns the differences (K,).
    Returns a test for each. A difference that is NaN without a swap is not tested; a swap that gives NaN counts as
    large as the observed one.
    """
    observed = np.atleast_1d(difference_of(np.zeros(photos, np.bool_)))  # (K,)
    if photos < FEWEST_PHOTOS:
        reason = NotComputed(f"{photos} photos, wanted {FEWEST_PHOTOS} or more")
        return tuple(PermutationTest(float(value), reason, 0) for value in observed)
    rng = np.random.default_rng(seed)
    reached = np.zeros(len(observed), np.int64)
    for draw in range(draws):
        swapped = np.atleast_1d(difference_of(rng.random(photos) < 0.5))
        reached += ~(np.abs(swapped) < np.abs(observed) - ROUNDING)
        if progress:
            progress(draw + 1, draws)
    return tuple(
        PermutationTest(
            float(value),
            NotComputed("no labelled box counts") if np.isnan(value) else (int(count) + 1) / (draws + 1),
            draws,
        )
        for value, count in zip(observed, reached, strict=True)
    )
