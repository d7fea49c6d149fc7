"""``herder import``: a published YOLOX file becomes a herder model file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from herder.errors import ConfigError


def import_command(
    weights: Annotated[Path, typer.Argument(help="A published YOLOX file: .onnx, or .pth with --allow-pickle.")],
    out: Annotated[Path, typer.Option("--out", help="The model file to write, ending in .safetensors.")],
    model: Annotated[
        str | None, typer.Option(help="yolox-nano/tiny/s/m/l/x; found by the file's shapes if not given.")
    ] = None,
    allow_pickle: Annotated[
        bool,
        typer.Option("--allow-pickle", help="Open a .pth file. A pickle can run programs: only from a trusted source."),
    ] = False,
) -> None:
    """Turn published YOLOX weights (Apache-2.0) into a herder model file."""
    from herder.model.files import save_model
    from herder.model.pretrained import import_weights

    if out.suffix != ".safetensors":
        raise ConfigError(f"--out {out}: unknown ending {out.suffix!r}", hint="end it in .safetensors")
    network = import_weights(weights, model=model, allow_pickle=allow_pickle)
    save_model(network, network.spec, out)
    count = sum(p.numel() for p in network.parameters())
    typer.echo(f"{network.spec.name}: {count:,} parameters, {len(network.spec.class_names)} classes, written to {out}")
    typer.echo(f"next: herder train DATA --model {network.spec.name} --init {out}")
