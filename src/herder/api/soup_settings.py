"""How a soup is made: which models, and what its spec says of score threshold and suppression."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from herder.errors import ConfigError


class Method(Enum):
    """How the models of a soup are chosen."""

    UNIFORM = "uniform"
    """All of them."""
    GREEDY = "greedy"
    """From the best on, each that does not make the average worse on labelled photos."""


@dataclass(frozen=True)
class SoupSettings:
    """How a soup is made."""

    method: Method = Method.UNIFORM
    size: int | None = None
    """Longest side in pixels that the network sees; None: the first model's own."""
    batch: int = 8
    threshold: float | None = None
    """Score threshold of the soup, of ``threshold_from``; None: the best on labelled photos, else the models' mean."""
    iou: float | None = None
    """Overlap above which the lower of two boxes is dropped; None: the first model's own."""

    def __post_init__(self) -> None:
        for name, value in (("threshold", self.threshold), ("iou", self.iou)):
            if value is not None and not 0 < value < 1:
                raise ConfigError(f"soup: {name} {value} is not between 0 and 1", hint="0.65 is common for iou")


def threshold_from(path: Path) -> float:
    """The score threshold with the best F1 over all folds of a cross-validation: a folder or its ``crossval.json``.

    A threshold chosen so has seen no photo of a validation split. Of several strategies or repeats it is the first's.
    Raises ConfigError for a file that is no cross-validation, or holds none.
    """
    file = path / "crossval.json" if path.is_dir() else path
    try:
        found = json.loads(file.read_text(encoding="utf-8"))["pooled"][0]["threshold"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ConfigError(
            f"{file}: no cross-validation ({error})", hint="name the folder of `herder crossval`"
        ) from None
    if not isinstance(found, float) or not 0 < found < 1:
        raise ConfigError(f"{file}: pooled[0].threshold is {found!r}, wanted a number from 0 to 1", hint="run it again")
    return found
