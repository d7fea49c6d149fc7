"""``herder grow``: a wider model that begins where a narrower one is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from herder.cli.model_argument import WeightsModel


def grow_command(
    model: WeightsModel,
    out: Annotated[Path, typer.Option(help="The model file to write.")],
    width: Annotated[float, typer.Option(help="Times the channels, above 1; rounded to multiples of 8.")] = 1.5,
    noise: Annotated[
        float, typer.Option(help="How much copies of a channel are read apart, so that they learn different things.")
    ] = 0.1,
    seed: Annotated[int, typer.Option(min=0, help="Decides which channels are copied.")] = 0,
) -> None:
    """Widen MODEL without changing what it detects: `herder train DATA --init OUT` goes on from there.

    Pruned and quantized models are refused.
    """
    from herder.api.grow import grow_model  # here, since torch takes seconds to load

    result = grow_model(model, out, width, noise=noise, seed=seed)
    table = Table("", "before", "after", "after / before")
    before, after = result.work
    for name, a, b, form in (
        ("parameters", before.parameters, after.parameters, ",.0f"),
        ("GFLOPs", before.flops / 1e9, after.flops / 1e9, ".3f"),
    ):
        table.add_row(name, format(a, form), format(b, form), f"{b / a:.2f}")
    console = Console(soft_wrap=True)
    console.print(table)
    console.print(f"largest difference of a score or a box's relative side: {result.difference:.1e}", highlight=False)
    console.print(
        f"{out}: {result.after.name}, widths {result.after.architecture.widths}", markup=False, highlight=False
    )
