"""``herder models``: the models that ship with herder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from herder.catalogue import ROLES, WEIGHTS, find_model, read_catalogue, shipped_folder
from herder.cli.evaluation_output import chosen_split, progress_bars
from herder.cli.model_argument import WeightsModel
from herder.errors import ConfigError, DataError, ModelFileError

models_app = typer.Typer(name="models", help="The models that ship with herder.", no_args_is_help=True)

Folder = Annotated[
    Path | None, typer.Option(help="Folder with a catalogue.json.", show_default="the installed package's")
]


@models_app.command("list")
def list_command(
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON, and nothing else, to standard output.")] = False,
    folder: Folder = None,
) -> None:
    """Name the models that ship with herder: each name works wherever a command takes a model."""
    models = read_catalogue(folder)
    if as_json:
        typer.echo(json.dumps([model.as_dict() for model in models], indent=2, ensure_ascii=False))
        return
    console = Console(soft_wrap=True, highlight=False)
    if not models:
        console.print("no model ships with this herder")
        return
    table = Table("name", "version", "finds", "file", "MB", "SHA-256", "licence", box=None, pad_edge=False)
    for model in models:
        for index, file in enumerate(model.files):
            whose = (model.name, model.version, ", ".join(model.class_names)) if index == 0 else ("", "", "")
            licence = model.licence if index == 0 else ""
            row = (*whose, file.role, f"{file.bytes / 1e6:.2f}", file.sha256[:12], licence)
            table.add_row(*map(escape, row))
    console.print(table)
    for model in models:
        console.print(f"{model.name} began as: {model.origin}", markup=False)
        console.print(f"{model.name} card: {(folder or shipped_folder()) / model.card}", markup=False)


@models_app.command("path")
def path_command(
    name: Annotated[str, typer.Argument(help="A shipped model's name.")],
    file: Annotated[str, typer.Option(help=f"Which file: {', '.join(ROLES)} or card.")] = WEIGHTS,
) -> None:
    """Print where a file of a shipped model lies: for programs that open it themselves."""
    model = find_model(name)
    typer.echo(str(shipped_folder() / (model.card if file == "card" else model.file(file).name)))


@models_app.command("verify")
def verify_command(
    name: Annotated[str | None, typer.Argument(help="A shipped model's name; all of them if not given.")] = None,
    folder: Folder = None,
) -> None:
    """Check that files, catalogue and model card agree: bytes, SHA-256, specs, versions. Exit code 2 where not."""
    from herder.api.model_check import check_model  # here, since it reads model files

    if folder is not None and not (folder / "catalogue.json").is_file():
        raise DataError(f"{folder}: holds no catalogue.json", hint="name the folder that `herder models pack` wrote")
    models = [find_model(name, folder)] if name else read_catalogue(folder)
    problems = []
    for model in models:
        found = check_model(model, folder)
        problems += [f"{model.name}: {problem}" for problem in found]
        if not found:
            roles = ", ".join(file.role for file in model.files)
            typer.echo(f"{model.name} {model.version}: {roles} and card agree with the catalogue")
    if problems:
        raise ModelFileError("\n".join(problems), hint="install herder again, or `herder models pack` the model again")


@models_app.command("register")
def register_command(
    name: Annotated[str, typer.Argument(help="A shipped model's name.")],
    registry: Annotated[str, typer.Option(help="MLflow registry: sqlite:///models.db, or a server's address.")],
    called: Annotated[str | None, typer.Option("--as", help="Name in the registry.", show_default="the same")] = None,
    folder: Folder = None,
) -> None:
    """Add a shipped model to an MLflow model registry: files, card, SHA-256, figures. Twice is once."""
    from herder.api.model_registry import register_model  # here, since MLflow takes a second to load

    made = register_model(find_model(name, folder), registry, name=called, folder=folder)
    typer.echo(f"{made.name}: {'' if made.new else 'already there as '}version {made.version} in {registry}")
    typer.echo(f"files: {made.source}")


@models_app.command("pack")
def pack_command(
    model: WeightsModel,
    name: Annotated[str, typer.Option(help="What the model is called from now on: letters, digits, - and _.")],
    version: Annotated[str, typer.Option(help="Such as 1.0; raise it with every change of the weights.")],
    out: Annotated[Path, typer.Option(help="Folder with the catalogue; other models in it stay.")],
    card: Annotated[
        Path | None, typer.Option(help="Model card in Markdown; its block of facts is written anew.")
    ] = None,
    int8: Annotated[Path | None, typer.Option(help="The model as int8 .onnx, to ship beside it.")] = None,
    licence: Annotated[str, typer.Option(help="Licence of the weights.")] = "Apache-2.0",
    data: Annotated[
        Path | None, typer.Option(help="Labelled photos to measure the float16 model on, for the spec.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Split of --data.", show_default="val")] = None,
    max_mb: Annotated[float, typer.Option(help="Megabytes of all files together, at most.")] = 8.0,
) -> None:
    """Turn MODEL into a shipped model: float16 weights, checked ONNX file, card and catalogue entry with SHA-256.

    For those who build herder, with --out src/herder/weights; and for a catalogue of one's own.
    """
    from herder.api.model_packing import Packing, pack_model  # here, since it loads torch
    from herder.data.formats import read_dataset

    if model.suffix != ".safetensors":
        raise ConfigError(f"{model}: only .safetensors models can be packed", hint="train or import one first")
    dataset = None if data is None else read_dataset(data, split=chosen_split(data, split))
    packing = Packing(name, version, licence, card, int8, max_mb)
    with progress_bars(quiet=False) as advance:
        packed = pack_model(
            model,
            packing,
            out,
            data=dataset,
            progress=None if advance is None else lambda done, total: advance("measuring", done, total),
        )
    for file in packed.model.files:
        typer.echo(f"{out / file.name}: {file.bytes / 1e6:.2f} MB, sha256 {file.sha256}")
    typer.echo(str(packed.parity))
    typer.echo(f"{name} {version} is in {out / 'catalogue.json'}; its card is {out / packed.model.card}")
