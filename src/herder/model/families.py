"""Named architectures: ``herder-n/s/m`` (ours) and ``yolox-nano/tiny/s/m/l/x`` (which take the published weights).

A path that ends in ``.toml`` or ``.json`` stands for the architecture that the file holds.
"""

from __future__ import annotations

import difflib
from dataclasses import replace
from pathlib import Path

from herder.errors import ConfigError
from herder.model.architecture_files import is_architecture_file, read_architecture
from herder.spec import Architecture, ModelSpec

_HERDER = {
    # name: (width multiple, depth multiple)
    "herder-n": (1.0, 1.0),
    "herder-s": (2.0, 1.0),
    "herder-m": (3.0, 2.0),
}
_YOLOX = {
    # name: (width multiple, depth multiple, depthwise), from the YOLOX paper's Table 3 and its published configs
    "yolox-nano": (0.25, 0.33, True),
    "yolox-tiny": (0.375, 0.33, False),
    "yolox-s": (0.5, 0.33, False),
    "yolox-m": (0.75, 0.67, False),
    "yolox-l": (1.0, 1.0, False),
    "yolox-x": (1.25, 1.33, False),
}

FAMILIES = (*_HERDER, *_YOLOX)
"""Every model name that ``make_spec`` knows."""

BASE = "herder-n"
"""What an architecture file leaves out is as in this model."""


def make_spec(name: str, class_names: tuple[str, ...], *, input_size: int = 640) -> ModelSpec:
    """Return the spec of a named model for these classes; of an architecture file where ``name`` is its path.

    Raises ConfigError for an unknown name, a file that holds no architecture, or no class.

    >>> make_spec("yolox-nano", ("alpaca",)).architecture.widths
    (16, 32, 64, 128, 256)
    """
    if not class_names:
        raise ConfigError("class_names: no class given", hint="name at least one class")
    if name in _HERDER:
        return ModelSpec(name, _herder(*_HERDER[name]), class_names, input_size)
    if name in _YOLOX:
        return ModelSpec(name, _yolox(*_YOLOX[name]), class_names, input_size, channel_order="bgr")
    if is_architecture_file(name):
        path = Path(name)
        return ModelSpec(path.stem, read_architecture(path, _herder(*_HERDER[BASE])), class_names, input_size)
    near = difflib.get_close_matches(name, FAMILIES, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(FAMILIES)}"
    raise ConfigError(f"model {name!r} is not known", hint=hint)


def _herder(width: float, depth: float) -> Architecture:
    base = Architecture(
        family="herder",
        stem="conv",
        widths=(16, 32, 64, 128, 256),
        depths=(1, 2, 2, 1),
        neck_depth=1,
        head_width=64,
        head_depth=2,
        reg_max=16,
    )
    return replace(
        base,
        widths=tuple(round(w * width) for w in base.widths),
        depths=tuple(round(d * depth) for d in base.depths),
        neck_depth=round(base.neck_depth * depth),
        head_width=round(base.head_width * width),
    )


def _yolox(width: float, depth: float, depthwise: bool) -> Architecture:
    unit = max(round(depth * 3), 1)
    return Architecture(
        family="yolox",
        stem="focus",
        widths=tuple(int(c * width) for c in (64, 128, 256, 512, 1024)),
        depths=(unit, unit * 3, unit * 3, unit),
        neck_depth=unit,
        head_width=int(256 * width),
        head_depth=2,
        depthwise=depthwise,
        reg_max=0,
        objectness=True,
    )
