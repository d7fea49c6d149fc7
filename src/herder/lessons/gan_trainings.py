"""The trainings of the GAN lesson: one as it should be, three with a mistake, all watched by a judge."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from herder.generative.gan_config import GanConfig
from herder.generative.gan_networks import Generator
from herder.generative.gan_training import GanResult, train_gan
from herder.generative.pictures import Pictures
from herder.generative.quality import Judge, Quality, sample_quality
from herder.lessons.lesson import Cell

SAMPLES = 1000
"""Pictures that are judged at each moment."""

RECENT = 100
"""Beliefs and losses are means of so many steps."""


@dataclass(frozen=True)
class Mistake:
    """A setting that spoils the training, and why."""

    name: str
    changes: dict[str, Any]
    """Of the GanConfig."""
    why: str


MISTAKES = (
    Mistake(
        "too slow a discriminator",
        {"learning_rate_discriminator": 2e-5},
        "with a 25th of the learning rate it never learns what a digit looks like, so nobody can tell the generator; "
        "beliefs near 0.5 are no success by themselves",
    ),
    Mistake(
        "too long strides",
        {"learning_rate_discriminator": 5e-3, "learning_rate_generator": 5e-3, "beta1": 0.9},
        "with ten times the learning rates and Adam's usual memory (beta1 = 0.9) each overshoots, and once the "
        "discriminator is sure of everything its gradient no longer says what to do better",
    ),
    Mistake(
        "noise of a single number",
        {"noise_dim": 1},
        "the pictures then lie along one line, which cannot pass near all the ways to write ten digits",
    ),
)


@dataclass(frozen=True)
class Trained:
    """A training, and how good its samples were on the way."""

    result: GanResult
    seen: dict[int, Quality]
    """By the steps done when the samples were drawn."""
    samples: dict[int, Tensor]
    """Some samples (64, 1, 8, 8) from the same noise each time, by the same steps."""

    def beliefs(self, step: int) -> tuple[float, float]:
        """D(x) and D(G(z)), means up to ``step``."""
        rows = self.result.history[max(step - RECENT, 0) : step]
        return float(np.mean([row.real_score for row in rows])), float(np.mean([row.fake_score for row in rows]))

    def generator_loss(self, step: int) -> float:
        """The generator's loss, the mean up to ``step``."""
        rows = self.result.history[max(step - RECENT, 0) : step]
        return float(np.mean([row.generator_loss for row in rows]))

    def row(self, step: int) -> tuple[Cell, ...]:
        """Distance, digits drawn, beliefs and loss, for a table."""
        quality = self.seen[step]
        return quality.frechet, quality.classes_covered, *self.beliefs(step), self.generator_loss(step)


def train_watched(pictures: Pictures, judge: Judge, config: GanConfig, moments: Sequence[int]) -> Trained:
    """Train for as many steps as the last of ``moments``, and have samples judged at each of them."""
    seen: dict[int, Quality] = {}
    samples: dict[int, Tensor] = {}

    def look(step: int, generator: Generator) -> None:
        if step in moments:
            # Not the seed of the training: the samples come from noise that the generator may never have met.
            drawn = generator.sample(SAMPLES, seed=config.seed + 1)  # (SAMPLES, 1, 8, 8)
            seen[step] = sample_quality(pictures, drawn, judge)
            samples[step] = drawn[:64]

    every = int(np.gcd.reduce(list(moments)))
    result = train_gan(
        pictures.images, dataclasses.replace(config, steps=max(moments), snapshot_every=every), snapshot=look
    )
    return Trained(result, seen, samples)
