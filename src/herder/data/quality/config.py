"""What counts as a good photo and a good box; every limit can be changed, and 0 switches most of them off."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from herder.errors import ConfigError
from herder.images import MAX_PIXELS


@dataclass(frozen=True)
class QualityConfig:
    """Limits of the checks. Brightness counts from 0 to 255. Raises ConfigError for limits that make no sense."""

    max_pixels: int = MAX_PIXELS
    """Photos of more pixels are not decoded: a bomb of a few bytes can ask for gigabytes."""
    min_side: int = 32
    """Photos with a shorter side of fewer pixels are set aside: that is a thumbnail, one cell of the coarsest grid."""
    black_level: float = 16.0
    """A photo is nearly black where 99 % of its pixels are darker; 16 is the black of video (ITU-R BT.601)."""
    blank_spread: float = 2.0
    """A photo is blank where its brightness and each of its colours spread (standard deviation) by less."""
    grey_share: float = 0.01
    """A JPEG is broken where so much of it (and 8 rows at least) is the one grey that a decoder puts for lost data."""
    min_box_side: float = 3.0
    """A box with a side of fewer pixels holds nothing to learn from, and is often a slip of the mouse."""
    max_aspect: float = 20.0
    """A box so many times longer than wide, or wider than long, is no animal but a slip."""
    whole_photo: float = 0.95
    """A box over more of the photo than this says little about where the animal is."""
    twin_iou: float = 0.95
    """Two boxes of a class that overlap more than this (IoU) are probably one animal."""
    max_imbalance: float = 100.0
    """A class with so many times fewer boxes than the most frequent one is hardly learned."""
    near_radius: int = 8
    """Photos are near-duplicates where at most so many of 64 bits of both hashes differ; -1 looks for none.

    Saving again, half the size or other light change 0 to 4 bits, two per cent cut from each border about 5 (10 at
    most); among 80,000 pairs of different photos of alpacas not one came below 14 and 12.
    """

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if not math.isfinite(value) or (value < 0 and f.name != "near_radius"):
                raise ConfigError(f"{f.name} is {value}, wanted 0 or more", hint="leave it out for the usual limit")
        if self.max_pixels < 1:
            raise ConfigError("max_pixels is 0: no photo has fewer", hint="leave it out for the usual limit")
        if not -1 <= self.near_radius <= 20:
            raise ConfigError(
                f"near_radius is {self.near_radius}, wanted -1 to 20",
                hint="of 64 bits about 32 differ between any two photos: more than 20 would join strangers",
            )
        for name in ("whole_photo", "twin_iou", "grey_share"):
            if getattr(self, name) > 1:
                raise ConfigError(f"{name} is {getattr(self, name):g}, wanted a share up to 1", hint="such as 0.95")
