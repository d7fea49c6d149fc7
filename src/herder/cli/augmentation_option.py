"""``--tta`` and ``--tta-merge`` of the commands that detect."""

from __future__ import annotations

from typing import Annotated

import typer

from herder.augmented_inference import AugmentedDetector, Merge
from herder.errors import ConfigError
from herder.inference import Detector

Tta = Annotated[
    str | None,
    typer.Option(
        "--tta",
        metavar="VIEWS",
        help="Look at each photo more often and merge: flip, sizes in pixels, or both: flip,480,512.",
        show_default="one look",
    ),
]

TtaMerge = Annotated[
    Merge | None,
    typer.Option(
        "--tta-merge", help="Average the boxes of an animal, or keep its best one.", show_default=Merge.WBF.value
    ),
]


def augmented(detector: Detector, tta: str | None, merge: Merge | None) -> Detector:
    """The detector as these options want it. Raises ConfigError for views that it cannot give."""
    if tta is None:
        if merge is not None:
            raise ConfigError("--tta-merge: there is only one look at each photo", hint="add --tta flip, say")
        return detector
    return AugmentedDetector(detector.engine, tta, merge or Merge.WBF)
