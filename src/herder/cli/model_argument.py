"""MODEL as commands take it: a model file, or the name of a model that ships with herder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from herder.catalogue import Use, resolve


def _to_run(text: str) -> Path:
    return resolve(text, Use.RUN)


def _with_weights(text: str) -> Path:
    return resolve(text, Use.WEIGHTS)


RUNS_HELP = "Model file (.safetensors, .onnx or .xml), or a shipped model's name: alpaca."
WEIGHTS_HELP = "Model file (.safetensors), or a shipped model's name: alpaca."

RunModel = Annotated[Path, typer.Argument(parser=_to_run, metavar="MODEL", help=RUNS_HELP)]
"""A model that detects: of a shipped one the ONNX file where ONNX Runtime is installed."""

RunModelOrNone = Annotated[Path | None, typer.Argument(parser=_to_run, metavar="[MODEL]", help=RUNS_HELP)]

WeightsModel = Annotated[Path, typer.Argument(parser=_with_weights, metavar="MODEL", help=WEIGHTS_HELP)]
"""A model whose weights are used or changed: of a shipped one the safetensors file."""

FloatModel = Annotated[
    Path,
    typer.Argument(
        parser=_with_weights,
        metavar="MODEL",
        help="Float model file: .safetensors, or .onnx without suppression; or a shipped model's name.",
    ),
]

TeacherModel = Annotated[
    Path,
    typer.Argument(
        parser=_with_weights,
        metavar="TEACHER",
        help="Model file to learn from, or a name; it knows the photos' classes.",
    ),
]

InitModel = Annotated[
    Path | None,
    typer.Option(
        parser=_with_weights,
        metavar="MODEL",
        help="Start from this model's weights, whatever its classes; file or name.",
    ),
]
"""``--init`` of everything that trains."""

TeacherOption = Annotated[
    Path | None,
    typer.Option(
        parser=_with_weights,
        metavar="MODEL",
        help="A larger model, file or name, that MODEL learns from, in place of --student.",
    ),
]
