"""The settings of the augmentations, with their units, their ranges and what they mean."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from herder.errors import ConfigError

_PROBABILITIES = (
    "mosaic", "mixup", "copy_paste", "flip_horizontal", "flip_vertical", "cutout", "grey", "blur",
)  # fmt: skip

_RANGES: dict[str, tuple[float, float]] = {
    **dict.fromkeys(_PROBABILITIES, (0.0, 1.0)),
    "degrees": (0.0, 180.0),
    "scale": (0.0, 0.9),
    "translate": (0.0, 0.9),
    "shear": (0.0, 45.0),
    "perspective": (0.0, 0.15),
    "hue": (0.0, 0.5),
    "saturation": (0.0, 1.0),
    "value": (0.0, 1.0),
    "mixup_beta": (0.01, 1000.0),
    "paste_overlap": (0.0, 1.0),
    "paste_count": (1, 20),
    "cutout_holes": (1, 100),
    "cutout_side": (0.01, 1.0),
    "cutout_covered": (0.01, 1.0),
    "min_visible": (0.0, 1.0),
    "min_side": (0.0, 100.0),
    "max_aspect": (1.0, 10_000.0),
}


@dataclass(frozen=True)
class AugmentationConfig:
    """How training pictures are varied; the defaults are for training from scratch on a few hundred photos.

    Raises ConfigError naming the field when a value is out of its range.

    >>> AugmentationConfig(mosaic=0.5).scale
    0.5
    >>> AugmentationConfig(hue=3)
    Traceback (most recent call last):
    herder.errors.ConfigError: augmentation.hue: 3 is out of range
      what to do: choose a number from 0.0 to 0.5
    """

    mosaic: float = 1.0
    """Probability that four photos share the picture, meeting at a random point."""
    mixup: float = 0.0
    """Probability that a second picture shines through; helps large networks, seldom small ones."""
    copy_paste: float = 0.0
    """Probability that animals of another photo are pasted into free places."""

    degrees: float = 0.0
    """Rotation by up to this angle either way, in degrees; boxes grow with it, so keep it small."""
    scale: float = 0.5
    """Photos are scaled by a factor from 1 - scale to 1 + scale."""
    translate: float = 0.1
    """Shift by up to this share of the picture's side in each direction."""
    shear: float = 0.0
    """Shear by up to this angle in each direction, in degrees."""
    perspective: float = 0.0
    """Change of depth across the picture, as a share: 0.1 shows one side up to 10 % nearer than the other."""

    flip_horizontal: float = 0.5
    """Probability of swapping left and right."""
    flip_vertical: float = 0.0
    """Probability of swapping top and bottom; sensible for photos from straight above."""

    hue: float = 0.015
    """Hue moves by up to this share of the colour circle."""
    saturation: float = 0.7
    """Saturation is multiplied by a factor from 1 - saturation to 1 + saturation."""
    value: float = 0.4
    """Brightness is multiplied by a factor from 1 - value to 1 + value."""
    grey: float = 0.0
    """Probability of losing all colour, as in pictures of a night camera."""
    blur: float = 0.0
    """Probability of a Gaussian blur with a sigma of 0.3 to 1.5 pixels."""

    cutout: float = 0.0
    """Probability that grey squares hide parts of the picture."""
    cutout_holes: int = 4
    """At most so many squares."""
    cutout_side: float = 0.25
    """Side of a square, at most, as a share of the picture's side."""
    cutout_covered: float = 0.7
    """A box of whose area the squares hide this share or more is dropped."""

    mixup_beta: float = 8.0
    """The share of the second picture is drawn from Beta(b, b); 8 keeps it mostly between 0.3 and 0.7."""
    paste_overlap: float = 0.2
    """A pasted animal may cover at most this share of any animal that is there already."""
    paste_count: int = 3
    """At most so many animals are pasted into one picture."""

    min_visible: float = 0.15
    """After cropping, a box stays when at least this share of its area is inside the picture."""
    min_side: float = 2.0
    """After cropping, a box stays when both its sides have at least this many pixels."""
    max_aspect: float = 20.0
    """After cropping, a box stays when its longer side is at most this many times the shorter one."""

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            whole = isinstance(low, int)
            if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
                wanted = "a whole number" if whole else "a number"
                raise ConfigError(f"augmentation.{name}: found {value!r}", hint=f"give {wanted} from {low} to {high}")
            if not (math.isfinite(value) and low <= value <= high):
                raise ConfigError(
                    f"augmentation.{name}: {value} is out of range", hint=f"choose a number from {low} to {high}"
                )

    @classmethod
    def light(cls) -> AugmentationConfig:
        """Gentle variation for fine-tuning a small network that has already seen many photos."""
        return cls(mosaic=0.3, scale=0.25, translate=0.1, saturation=0.5, value=0.3)

    @classmethod
    def none(cls) -> AugmentationConfig:
        """Return settings under which every photo comes just letterboxed, as at inference."""
        nothing = dict.fromkeys((*_PROBABILITIES, "scale", "translate", "hue", "saturation", "value"), 0.0)
        return cls(**nothing)  # type: ignore[arg-type]

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> AugmentationConfig:
        """Build from a mapping such as a part of a TOML file; what is not named keeps its default.

        Raises ConfigError naming the field for an unknown name or a value out of range.

        >>> AugmentationConfig.from_mapping({"mosaik": 1})
        Traceback (most recent call last):
        herder.errors.ConfigError: augmentation.mosaik: no such setting
          what to do: did you mean mosaic?
        """
        known = [field.name for field in fields(cls)]
        for name in values:
            if name not in known:
                near = difflib.get_close_matches(str(name), known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"known settings are {', '.join(known)}"
                raise ConfigError(f"augmentation.{name}: no such setting", hint=hint)
        return replace(cls(), **values)
