"""Temperature scaling: one number that makes scores say how often they are right.

Source: C. Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, https://arxiv.org/abs/1706.04599. With
s the score of a detection and T the temperature, the calibrated score is

    sigmoid(logit(s) / T)

and T is where the negative log likelihood of hits and false alarms is least. In b = 1 / T that is logistic regression
with one weight and no constant, so that there is one minimum, and halving the interval finds it.

Notation: N detections.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from herder.boxes import IntArray
from herder.evaluation.not_computed import NotComputed
from herder.evaluation.tables import DoubleArray
from herder.inference import tempered

LOWEST, HIGHEST = 0.05, 20.0
"""Temperatures that are looked among; beyond them scores are no more than yes or no, or all the same."""

FEWEST = 20
"""Hits, and false alarms, that a fit needs."""

SMALLEST = 1e-12
"""Scores are kept this far from 0 and 1, where the logarithm ends."""


def fit_temperature(scores: DoubleArray, hits: NDArray[np.bool_]) -> float | NotComputed:
    """The temperature with the least negative log likelihood for scores (N,) of which ``hits`` (N,) were right.

    Not computed where there are fewer than 20 hits or 20 false alarms.

    >>> scores = np.repeat([0.9, 0.1], 100)
    >>> right = np.arange(200) % 100 < np.repeat([75, 25], 100)  # of what is 0.9 sure 75 in 100 are right
    >>> round(fit_temperature(scores, right), 3)
    2.0
    """
    right = int(hits.sum())
    for count, what in ((right, "hits"), (len(hits) - right, "false alarms")):
        if count < FEWEST:
            return NotComputed(f"{count} {what} among {len(hits):,} detections, and a temperature needs {FEWEST}")
    logits = _logits(scores)
    low, high = np.log(1 / HIGHEST), np.log(1 / LOWEST)
    for _ in range(50):
        middle = (low + high) / 2
        if _slope(float(np.exp(middle)), logits, hits) > 0:
            high = middle
        else:
            low = middle
    return float(np.exp(-(low + high) / 2))


def negative_log_likelihood(scores: DoubleArray, hits: NDArray[np.bool_]) -> float:
    """The mean over N >= 1 detections of -log(score) of a hit and -log(1 - score) of a false alarm.

    >>> round(negative_log_likelihood(np.array([0.5, 0.5]), np.array([True, False])), 4)
    0.6931
    """
    logits = _logits(scores)
    # log(1 + e^x) without overflow
    return float(np.logaddexp(0, np.where(hits, -logits, logits)).mean())


def cross_fitted(
    scores: DoubleArray, hits: NDArray[np.bool_], photos: IntArray, groups: IntArray, seed: int = 0
) -> DoubleArray | NotComputed:
    """Calibrated scores (N,), each by a temperature that was fitted on the other half of the photos.

    ``photos`` (N,) is the photo of each detection, ``groups`` (P,) the group of each photo: photos of one group stay in
    one half, or the half held out would have been seen. What the calibrated scores reach is what new photos would.
    """
    names = np.unique(groups)
    order = np.random.default_rng(seed).permutation(len(names))
    second = np.isin(groups, names[order[len(names) // 2 :]])[photos]  # (N,)
    calibrated = np.empty(len(scores))
    for held_out in (second, ~second):
        temperature = fit_temperature(scores[~held_out], hits[~held_out])
        if isinstance(temperature, NotComputed):
            return NotComputed(f"half of the photos is too few: {temperature.reason}")
        calibrated[held_out] = tempered(scores[held_out], temperature)
    return calibrated


def _logits(scores: DoubleArray) -> DoubleArray:
    s = np.clip(scores, SMALLEST, 1 - SMALLEST)
    return np.asarray(np.log(s) - np.log1p(-s), np.float64)


def _slope(b: float, logits: DoubleArray, hits: NDArray[np.bool_]) -> float:
    """The derivative by b = 1 / T of the negative log likelihood; it rises with b."""
    # tanh has no overflow: sigmoid(x) = (1 + tanh(x / 2)) / 2
    return float((((1 + np.tanh(b * logits / 2)) / 2 - hits) * logits).sum())
