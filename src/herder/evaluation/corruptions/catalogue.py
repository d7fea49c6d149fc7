"""All corruptions by name, and the one function that applies them.

Notation: N boxes of one photo. What a corruption does follows from the photo, the severity and the generator alone;
who wants the same photo twice gives a generator of the same seed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from herder.boxes import FloatArray, as_boxes
from herder.errors import ConfigError
from herder.evaluation.corruptions import blur, digital, low_light, noise, occlusion, scale, weather
from herder.evaluation.corruptions.frost import FROST, frost
from herder.evaluation.corruptions.pixels import Photo

SEVERITIES = (1, 2, 3, 4, 5)
"""From hardly visible to hard for people; 0 is the photo as it is."""


class Group(Enum):
    """The families of corruptions, as ImageNet-C has them, and herder's own."""

    NOISE = "noise"
    BLUR = "blur"
    WEATHER = "weather"
    DIGITAL = "digital"
    OWN = "beside the published ones"


class Corrupted(NamedTuple):
    """A photo made worse, and what became of its boxes."""

    photo: Photo
    """(H, W, 3) uint8 RGB, of the size it had."""
    boxes: FloatArray
    """(N, 4) xyxy pixels: as many as there were, in their order."""
    kept: NDArray[np.bool_]
    """(N,) False where a box has left the photo or is too small to be found."""


Change = Callable[[Photo, int, np.random.Generator, FloatArray, NDArray[np.bool_]], Corrupted]


@dataclass(frozen=True)
class Corruption:
    """One way to make photos worse."""

    name: str
    group: Group
    quantity: str
    """What the severities change."""
    levels: tuple[str, ...]
    """That quantity at severities 1 to 5, in words for a table or an axis."""
    change: Change
    """Photo (H, W, 3), severity 1 to 5, generator, boxes (N, 4), ignore (N,) -> Corrupted."""

    @property
    def published(self) -> bool:
        """Whether it is one of the 15 of ImageNet-C and COCO-C."""
        return self.group is not Group.OWN

    @property
    def title(self) -> str:
        """The name for people."""
        return "JPEG compression" if self.name == "jpeg_compression" else self.name.replace("_", " ")


def corrupt(
    name: str,
    photo: Photo,
    severity: int,
    rng: np.random.Generator,
    boxes: object = (),
    ignore: NDArray[np.bool_] | None = None,
) -> Corrupted:
    """Make ``photo`` (H, W, 3) uint8 RGB worse by the corruption ``name``; severity 0 returns this very array.

    ``boxes`` (N, 4) xyxy pixels; ``ignore`` (N,) True for a box over a herd, which occlusion leaves alone. The photo
    given is not changed. Raises ConfigError for a name or severity that there is not, ValueError for arrays of another
    shape.

    >>> clean, rng = np.zeros((64, 80, 3), np.uint8), np.random.default_rng(0)
    >>> photo, boxes, kept = corrupt("scale", clean, 3, rng, [[0, 0, 80, 64]])
    >>> (boxes[:, 2:] - boxes[:, :2]).tolist(), kept.tolist()
    ([[40.0, 32.0]], [True])
    """
    if name not in CORRUPTIONS:
        raise ConfigError(f"corruption {name!r} is not known", hint=f"choose from {', '.join(CORRUPTIONS)}")
    if severity not in (0, *SEVERITIES):
        raise ConfigError(f"severity {severity} is not a whole number from 0 to 5", hint="0 is the photo as it is")
    if photo.ndim != 3 or photo.shape[2] != 3 or photo.dtype != np.uint8 or photo.size == 0:
        raise ValueError(f"photo: found shape {photo.shape} of {photo.dtype}, wanted (height, width, 3) of uint8")
    xyxy = as_boxes(boxes)
    marks = np.zeros(len(xyxy), np.bool_) if ignore is None else ignore
    if marks.shape != (len(xyxy),):
        raise ValueError(f"ignore: found shape {marks.shape}, wanted ({len(xyxy)},)")
    if severity == 0:
        return Corrupted(photo, xyxy, np.ones(len(xyxy), np.bool_))
    return CORRUPTIONS[name].change(photo, severity, rng, xyxy, marks)


def _pixels(change: Callable[[Photo, int, np.random.Generator], Photo]) -> Change:
    """A corruption that changes the photo and leaves the boxes where they are."""

    def whole(
        photo: Photo, severity: int, rng: np.random.Generator, boxes: FloatArray, ignore: NDArray[np.bool_]
    ) -> Corrupted:
        return Corrupted(change(photo, severity, rng), boxes, np.ones(len(boxes), np.bool_))

    return whole


def _occlusion(
    photo: Photo, severity: int, rng: np.random.Generator, boxes: FloatArray, ignore: NDArray[np.bool_]
) -> Corrupted:
    covered = occlusion.occlusion(photo, severity, rng, boxes, ignore)
    return Corrupted(covered, boxes, np.ones(len(boxes), np.bool_))


def _scale(
    photo: Photo, severity: int, rng: np.random.Generator, boxes: FloatArray, ignore: NDArray[np.bool_]
) -> Corrupted:
    return Corrupted(*scale.scale(photo, severity, rng, boxes, ignore))


def _words(values: tuple[float, ...], form: str = "{:g}") -> tuple[str, ...]:
    return tuple(form.format(value) for value in values)


_ALL = (
    Corruption(
        "gaussian_noise", Group.NOISE, "deviation, 1 is white", _words(noise.GAUSSIAN_DEVIATION),
        _pixels(noise.gaussian_noise),
    ),
    Corruption(
        "shot_noise", Group.NOISE, "photons that make white", _words(noise.SHOT_PHOTONS), _pixels(noise.shot_noise)
    ),
    Corruption(
        "impulse_noise", Group.NOISE, "values lost", _words(noise.IMPULSE_SHARE, "{:.0%}"),
        _pixels(noise.impulse_noise),
    ),
    Corruption(
        "defocus_blur", Group.BLUR, "radius, pixels", _words(tuple(c[0] for c in blur.DEFOCUS)),
        _pixels(blur.defocus_blur),
    ),
    Corruption(
        "glass_blur", Group.BLUR, "blur sigma, reach in pixels, rounds",
        tuple("{:g}, {}, {}".format(*c) for c in blur.GLASS), _pixels(blur.glass_blur),
    ),
    Corruption(
        "motion_blur", Group.BLUR, "radius and sigma of the trail, pixels",
        tuple("{}, {}".format(*c) for c in blur.MOTION), _pixels(blur.motion_blur),
    ),
    Corruption(
        "zoom_blur", Group.BLUR, "largest enlargement",
        tuple(f"{max(blur.zoom_factors(c)):.2f}" for c in (1, 2, 3, 4, 5)), _pixels(blur.zoom_blur),
    ),
    Corruption(
        "snow", Group.WEATHER, "share of the photo not whitened", _words(tuple(c[6] for c in weather.SNOW)),
        _pixels(weather.snow),
    ),
    Corruption(
        "frost", Group.WEATHER, "share of photo + share of ice", tuple("{:g} + {:g}".format(*c) for c in FROST),
        _pixels(frost),
    ),
    Corruption(
        "fog", Group.WEATHER, "brightness of the fog, 1 is white", _words(tuple(c[0] for c in weather.FOG)),
        _pixels(weather.fog),
    ),
    Corruption(
        "brightness", Group.WEATHER, "added value, 1 is white", _words(weather.BRIGHTNESS),
        _pixels(weather.brightness),
    ),
    Corruption(
        "contrast", Group.DIGITAL, "contrast left", _words(digital.CONTRAST, "{:.0%}"), _pixels(digital.contrast)
    ),
    Corruption(
        "elastic_transform", Group.DIGITAL, "factor of the shifts", _words(digital.ELASTIC),
        _pixels(digital.elastic_transform),
    ),
    Corruption(
        "pixelate", Group.DIGITAL, "sides by the old ones", _words(digital.PIXELATE), _pixels(digital.pixelate)
    ),
    Corruption(
        "jpeg_compression", Group.DIGITAL, "JPEG quality", _words(digital.JPEG_QUALITY),
        _pixels(digital.jpeg_compression),
    ),
    Corruption(
        "low_light", Group.OWN, "stops of light lost", _words(tuple(c[0] for c in low_light.LOW_LIGHT)),
        _pixels(low_light.low_light),
    ),
    Corruption(
        "occlusion", Group.OWN, "share of each box hidden", _words(occlusion.HIDDEN_SHARE, "{:.0%}"), _occlusion
    ),
    Corruption("scale", Group.OWN, "size by the old one", _words(scale.SCALE, "{:g} x"), _scale),
)  # fmt: skip

CORRUPTIONS: Mapping[str, Corruption] = MappingProxyType({corruption.name: corruption for corruption in _ALL})
"""Name -> corruption: the published ones in published order, then herder's own."""
