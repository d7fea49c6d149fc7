"""Which augmentations a training picture gets, and in which order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from herder.data.augmentation.colour import blur, grey, hsv
from herder.data.augmentation.geometry import affine, flip_horizontal, flip_vertical, mosaic
from herder.data.augmentation.mixing import copy_paste, cutout, mixup
from herder.data.augmentation.sample import Sample
from herder.data.augmentation.settings import AugmentationConfig

Draw = Callable[[], Sample]
"""Gives one more photo of the dataset, drawn at random."""

DrawDonor = Callable[[], tuple[Sample, float]]
"""Gives a photo with an animal to paste, and the share of the picture's side that the animal should take."""


def augment(
    rng: np.random.Generator,
    sample: Sample,
    draw: Draw,
    size: int,
    config: AugmentationConfig,
    *,
    mix: bool = True,
    donor: DrawDonor | None = None,
) -> Sample:
    """Turn a photo into a training picture of ``size`` × ``size`` pixels.

    ``mix`` False leaves out whatever joins photos (mosaic, mixup, copy-paste): for the last epochs, in which the
    network gets used to whole photos again (YOLOX, https://arxiv.org/abs/2107.08430). Copy-paste takes its animals from
    ``donor``, and from other photos of the dataset where there is none.
    """
    canvas = _place(rng, sample, draw, size, config, mix)
    if mix and _happens(rng, config.copy_paste):
        canvas = _paste(rng, canvas, draw, config, donor)
    if mix and _happens(rng, config.mixup):
        canvas = mixup(rng, canvas, _place(rng, draw(), draw, size, config, mix), config)
    if _happens(rng, config.blur):
        canvas = blur(rng, canvas)
    canvas = hsv(rng, canvas, config)
    if _happens(rng, config.grey):
        canvas = grey(canvas)
    if _happens(rng, config.flip_horizontal):
        canvas = flip_horizontal(canvas)
    if _happens(rng, config.flip_vertical):
        canvas = flip_vertical(canvas)
    return cutout(rng, canvas, config) if _happens(rng, config.cutout) else canvas


def _place(
    rng: np.random.Generator, sample: Sample, draw: Draw, size: int, config: AugmentationConfig, mix: bool
) -> Sample:
    if mix and _happens(rng, config.mosaic):
        return mosaic(rng, [sample, draw(), draw(), draw()], size, config)
    return affine(rng, sample, size, config)


def _paste(
    rng: np.random.Generator, canvas: Sample, draw: Draw, config: AugmentationConfig, donor: DrawDonor | None
) -> Sample:
    if donor is None:
        return copy_paste(rng, canvas, draw(), config)
    # A crop holds one animal, where a photo may hold a herd: as many are drawn as one photo could have given.
    for _ in range(int(rng.integers(1, config.paste_count + 1))):
        crop, share = donor()
        canvas = copy_paste(rng, canvas, crop, replace(config, paste_count=1), share=share)
    return canvas


def _happens(rng: np.random.Generator, probability: float) -> bool:
    return probability > 0 and bool(rng.random() < probability)
