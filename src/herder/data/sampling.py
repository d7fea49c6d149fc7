"""In which order photos are shown, how rare classes get their turn, and where every random number comes from.

Notation: P photos of the dataset; K classes.
"""

from __future__ import annotations

import numpy as np

from herder.boxes import FloatArray, IntArray
from herder.data.records import Dataset
from herder.errors import ConfigError

_ORDER, _ITEM = 0, 1
"""Streams of random numbers that never meet: one for the order of an epoch, one for each training picture."""


def item_generator(seed: int, epoch: int, index: int) -> np.random.Generator:
    """Return the generator of training picture ``index`` of an epoch: the same on any machine, in any worker.

    Philox is counter-based (Salmon et al., 2011); the spawn key keeps the streams apart whatever the seed's length.
    """
    return _generator(seed, _ITEM, epoch, index)


def _generator(seed: int, *key: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=key)))


class EpochSampler:
    """The order in which an epoch shows P photos: a permutation, or a weighted draw of P photos.

    With ``weights`` (P,) a photo comes P × weight / sum of weights times an epoch, rounded down or up and no luckier
    (systematic sampling). Raises ConfigError for a negative seed, ValueError for weights of another length or without a
    positive sum.

    >>> EpochSampler(4, seed=0, weights=np.array([0, 1, 1, 2], np.float32)).order(epoch=1).tolist()
    [3, 1, 2, 3]
    """

    def __init__(self, count: int, seed: int, weights: FloatArray | None = None) -> None:
        if seed < 0:
            raise ConfigError(f"seed: {seed} is negative", hint="choose 0 or a positive whole number")
        if weights is not None and (len(weights) != count or weights.min(initial=0) < 0 or not weights.sum() > 0):
            raise ValueError(f"weights: wanted {count} numbers of 0 or more with a positive sum, found {weights}")
        self.count = count
        self.seed = seed
        self.weights = weights

    def order(self, epoch: int) -> IntArray:
        """Indices (P,) of photos, a function of seed and epoch alone."""
        rng = _generator(self.seed, _ORDER, epoch)
        if self.weights is None:
            return rng.permutation(self.count)
        edges = np.cumsum(self.weights, dtype=np.float64)
        # A comb of P evenly spaced teeth laid over the weights; the teeth shuffle so that neighbours part.
        teeth = (np.arange(self.count) + rng.random()) / self.count * edges[-1]
        picked = np.minimum(np.searchsorted(edges, teeth, side="right"), np.flatnonzero(self.weights)[-1])
        return rng.permutation(picked).astype(np.int64)


def shard(count: int, rank: int, world_size: int) -> range:
    """Positions in the epoch that process ``rank`` of ``world_size`` takes; as many for each, wrapping past ``count``.

    Step by step, the processes together take what a single one with their joint batch size would.

    >>> [list(shard(5, rank, 2)) for rank in range(2)]
    [[0, 2, 4], [1, 3, 5]]
    """
    return range(rank, -(-count // world_size) * world_size, world_size)


def _present(dataset: Dataset) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    """(P, K) True where a photo shows a class outside ``ignore`` boxes."""
    present = np.zeros((len(dataset), len(dataset.class_names)), np.bool_)
    for row, record in zip(present, dataset, strict=True):
        row[record.classes[~record.ignore]] = True
    return present


def repeat_factors(dataset: Dataset, threshold: float | None = None) -> FloatArray:
    """How often (P,) each photo should come, relative to a photo of common classes: 1 or more (LVIS,
    https://arxiv.org/abs/1908.03195, section 5).

    A class that share f of the photos shows has factor max(1, sqrt(threshold / f)), a photo the largest factor of its
    classes, an empty photo 1. ``threshold`` None takes the share of the most common class, so that every rarer class
    gains; with one class all factors are 1.
    """
    present = _present(dataset)
    shares = present.mean(axis=0) if len(present) else np.zeros(present.shape[1])  # (K,)
    wanted = shares.max(initial=0) if threshold is None else threshold
    factors = np.sqrt(np.maximum(wanted / np.where(shares > 0, shares, 1), 1))  # (K,)
    return np.asarray(np.where(present, factors, 1).max(axis=1, initial=1), np.float32)


def balanced_weights(dataset: Dataset) -> FloatArray:
    """Weights (P,) with which every class is drawn alike: a photo gets the mean of 1 / (photos of the class) over its
    classes; empty photos get the mean weight of the others.

    Stronger than ``repeat_factors``; a class of three photos shows those three over and over.
    """
    present = _present(dataset)
    scarcity = 1 / np.maximum(present.sum(axis=0), 1)  # (K,)
    kinds = present.sum(axis=1)  # (P,)
    weights = (present * scarcity).sum(axis=1) / np.maximum(kinds, 1)  # (P,)
    weights[kinds == 0] = weights[kinds > 0].mean() if kinds.any() else 1.0
    return np.asarray(weights, np.float32)


def class_weights(dataset: Dataset) -> FloatArray:
    """Weights (K,) for the classification loss: 1 / sqrt(boxes of the class), scaled to a mean of 1 over all boxes.

    The square root (as for hashtags in https://arxiv.org/abs/1805.00932) lifts rare classes without letting a handful
    of boxes rule the gradient. A class without boxes gets weight 1. Boxes marked ``ignore`` do not count.
    """
    kinds = len(dataset.class_names)
    counts = np.zeros(kinds, np.int64)
    for record in dataset:
        counts += np.bincount(record.classes[~record.ignore], minlength=kinds)
    if not counts.any():
        return np.ones(kinds, np.float32)
    raw = 1 / np.sqrt(np.maximum(counts, 1))
    weights = raw * (counts.sum() / (raw * counts).sum())
    return np.where(counts > 0, weights, 1).astype(np.float32)
