"""What the diffusion lesson measures: how near samples are to real digits, whether they are the ones asked for."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from herder.generative.diffusion_model import DiffusionModel
from herder.generative.pictures import Pictures
from herder.generative.quality import Judge, features, frechet, predict

SPLITS = 5
"""Random choices of real pictures that a distance is averaged over: with few pictures a single one is luck."""


@dataclass(frozen=True)
class Drawn:
    """Samples drawn in one way, and how good they are."""

    guidance: float
    steps: int
    """Steps from noise to picture."""
    seconds: float
    distance: float
    """Squared Fréchet distance to as many real digits."""
    as_asked: float
    """Share that the judge reads as the digit asked for."""
    variety: float
    """Standard deviation of a pixel within a digit, as a part of that of the real ones."""


class Scale:
    """Weighs samples against real pictures.

    ``labels`` (n,) are the digits that every set of samples is asked for, drawn at random from the real ones: two sets
    of real pictures differ in their digits, too, and samples with exactly even shares would look better than real.
    """

    def __init__(self, pictures: Pictures, judge: Judge, count: int, seed: int) -> None:
        if pictures.labels is None:
            raise ValueError("pictures: found no labels, wanted one each")
        generator = torch.Generator().manual_seed(seed)
        self.judge = judge
        self.labels = pictures.labels[torch.randint(len(pictures), (count,), generator=generator)]  # (n,)
        seen = features(judge.network, pictures.images)  # (N, D)
        orders = [torch.randperm(len(pictures), generator=generator) for _ in range(SPLITS)]
        self.chosen = [(seen[order[:count]], seen[order[count : 2 * count]]) for order in orders]  # (n, D) each
        self.floor = sum(frechet(one, other) for one, other in self.chosen) / SPLITS
        """The distance between two sets of ``count`` real pictures: what a perfect drawer would reach."""
        self.spread = _spread(pictures.images, pictures.labels)

    def weigh(self, model: DiffusionModel, *, guidance: float, steps: int | None, seed: int) -> Drawn:
        """Draw a sample for each label with ``steps`` of DDIM, or with all of DDPM's for None, and weigh them."""
        start = time.perf_counter()
        samples = model.sample(len(self.labels), self.labels, steps=steps, guidance=guidance, seed=seed)
        seconds = time.perf_counter() - start
        found = features(self.judge.network, samples)  # (n, D)
        distance = sum(frechet(one, found) + frechet(other, found) for one, other in self.chosen) / (2 * SPLITS)
        right = float((predict(self.judge.network, samples) == self.labels).float().mean())
        variety = _spread(samples, self.labels) / self.spread
        return Drawn(guidance, steps or model.spec.timesteps, seconds, distance, right, variety)


def _spread(pictures: Tensor, labels: Tensor) -> float:
    """Standard deviation of a pixel within a class, mean over pixels and over classes of 2 pictures or more."""
    groups = [pictures[labels == label] for label in set(labels.tolist())]  # (n, C, H, W) each
    spreads = [float(group.std(dim=0).mean()) for group in groups if len(group) > 1]
    return sum(spreads) / len(spreads)


def of_each(digits: Sequence[str], count: int) -> Tensor:
    """``count`` labels of each class, one class after the other: (K * count,).

    >>> of_each("ab", 3).tolist()
    [0, 0, 0, 1, 1, 1]
    """
    return torch.arange(len(digits)).repeat_interleave(count)
