"""The networks that a search looks at: a few choices for each of ten dimensions, around ``herder-n``.

Width and depth are multiples, as in EfficientNet's compound scaling (https://arxiv.org/abs/1905.11946); kernel size,
width and depth are what once-for-all (https://arxiv.org/abs/1908.09791) searches, and full against depthwise
convolutions what MnasNet does (https://arxiv.org/abs/1807.11626). ``kernel`` is the side of convolutions that keep a
map's sides; those of stride 2 stay 3 x 3.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from herder.errors import ConfigError
from herder.inference import STRIDE
from herder.model.families import BASE, make_spec
from herder.spec import CHOICES, ModelSpec

MULTIPLE = 8
"""Channels are multiples of this: processors work on groups of them."""

DEPTHWISE = ("none", "head", "all")
"""Where convolutions are depthwise separable."""


@dataclass(frozen=True)
class ArchitectureSpace:
    """The choices of each dimension; a single choice fixes it.

    Raises ConfigError for a dimension without a choice, a choice twice, or a value that no network can have.

    >>> space = ArchitectureSpace(width=(0.5, 1.0), input_size=(320,))
    >>> space.smallest("none")["width"]
    0.5
    """

    width: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
    """Multiple of herder-n's channels in backbone and neck."""
    depth: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0)
    """Multiple of herder-n's bottlenecks in backbone and neck; at least one stays."""
    kernel: tuple[int, ...] = (3, 5)
    activation: tuple[str, ...] = ("silu", "relu", "hardswish")
    depthwise: tuple[str, ...] = DEPTHWISE
    """``none``, in the ``head`` alone, or in ``all`` of the network."""
    neck: tuple[str, ...] = ("pan", "fpn")
    neck_width: tuple[int, ...] = (0, 32, 64, 96)
    """Channels of each neck level; 0 keeps each backbone level's own."""
    head_width: tuple[int, ...] = (32, 48, 64, 96)
    """Channels of the head's branches."""
    head_depth: tuple[int, ...] = (1, 2)
    """Convolutions in each branch of the head."""
    input_size: tuple[int, ...] = (224, 320, 416)
    """Longest side of the photo in pixels."""

    def __post_init__(self) -> None:
        for f in fields(self):
            check_choices(f.name, getattr(self, f.name))

    def count(self) -> int:
        """How many networks there are."""
        return math.prod(len(values) for values in vars(self).values())

    def spec(self, values: Mapping[str, Any], class_names: tuple[str, ...], name: str) -> ModelSpec:
        """The network with these values, one for each dimension, as the spec of a model of this name."""
        base = make_spec(BASE, class_names, input_size=values["input_size"])
        a, width, depth = base.architecture, values["width"], values["depth"]
        return base.replace(
            name=name,
            architecture=replace(
                a,
                widths=tuple(channels(c * width) for c in a.widths),
                depths=tuple(bottlenecks(d * depth) for d in a.depths),
                neck_depth=bottlenecks(a.neck_depth * depth),
                kernel=values["kernel"],
                activation=values["activation"],
                depthwise=values["depthwise"] == "all",
                head_depthwise=values["depthwise"] == "head",
                neck=values["neck"],
                neck_width=values["neck_width"],
                head_width=values["head_width"],
                head_depth=values["head_depth"],
            ),
        )

    def smallest(self, depthwise: str) -> dict[str, Any]:
        """The values of the smallest network with convolutions as ``depthwise`` says: what cannot keep a limit here
        will hardly keep it anywhere in the space."""
        values: dict[str, Any] = {f.name: min(getattr(self, f.name)) for f in fields(self)}
        quick = [name for name in ("relu", "hardswish", "silu") if name in self.activation]
        # Left at the backbone's own widths, the neck is as wide as the middle level on average.
        own = channels(make_spec(BASE, ("animal",)).architecture.widths[3] * values["width"])
        neck_width = min(self.neck_width, key=lambda width: width or own)
        return {
            **values,
            "activation": quick[0],
            "depthwise": depthwise,
            "neck": "fpn" if "fpn" in self.neck else "pan",
            "neck_width": neck_width,
        }


def channels(count: float) -> int:
    """The nearest multiple of 8 that is at least 8.

    >>> [channels(count) for count in (4, 12, 20, 32)]
    [8, 16, 24, 32]
    """
    return max(MULTIPLE, math.floor(count / MULTIPLE + 0.5) * MULTIPLE)


def bottlenecks(count: float) -> int:
    """The nearest whole number, halves up, that is at least 1.

    >>> [bottlenecks(count) for count in (0.5, 1.5, 3.0)]
    [1, 2, 3]
    """
    return max(1, math.floor(count + 0.5))


_WHOLE = {
    # dimension: least, most, step
    "neck_width": (0, 1024, MULTIPLE),
    "head_width": (MULTIPLE, 1024, MULTIPLE),
    "head_depth": (1, 8, 1),
    "input_size": (STRIDE, 4096, STRIDE),
}
_REAL = {"width": (0.125, 8.0), "depth": (0.25, 8.0)}
_ONE_OF: Mapping[str, tuple[Any, ...]] = {
    "kernel": CHOICES["kernel"],
    "activation": CHOICES["activation"],
    "neck": CHOICES["neck"],
    "depthwise": DEPTHWISE,
}


def check_choices(name: str, values: object) -> None:
    """Raise ConfigError, beginning with ``name``, where ``values`` are no choices of the dimension ``name``."""
    if not isinstance(values, tuple) or not values:
        raise ConfigError(f"{name}: found {values!r}, wanted at least one choice", hint=f"such as {_example(name)}")
    for value in values:
        if not _fits(name, value):
            raise ConfigError(f"{name}: found {value!r}, wanted {_wanted(name)}", hint=f"such as {_example(name)}")
    if len(set(values)) < len(values):
        raise ConfigError(f"{name}: {list(values)} has a value twice", hint="name each once")


def _fits(name: str, value: object) -> bool:
    if isinstance(value, bool):  # Python counts True as 1
        return False
    if name in _ONE_OF:
        return isinstance(value, (int, str)) and value in _ONE_OF[name]
    if name in _REAL:
        low, high = _REAL[name]
        return isinstance(value, (int, float)) and low <= value <= high
    least, most, step = _WHOLE[name]
    return isinstance(value, int) and least <= value <= most and value % step == 0


def _wanted(name: str) -> str:
    if name in _ONE_OF:
        return "one of " + ", ".join(map(str, _ONE_OF[name]))
    if name in _REAL:
        return "a number from {:g} to {:g}".format(*_REAL[name])
    least, most, step = _WHOLE[name]
    return f"a whole number from {least} to {most}" + (f" that {step} divides" if step > 1 else "")


def _example(name: str) -> str:
    return str(list(getattr(ArchitectureSpace, name)))
