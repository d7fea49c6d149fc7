"""``herder recipe``: run all commands of a recipe file, from photos to a finished model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from herder.api.recipe import SET_ASIDE, STOPPED, check_inputs, run_recipe
from herder.api.recipe_file import read_recipe
from herder.errors import ConfigError


def recipe_command(
    recipe: Annotated[Path, typer.Argument(help="Recipe file (.toml).")],
    inputs: Annotated[
        list[str] | None, typer.Option("--input", help="File or folder that goes in: NAME=PATH, for each input.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder that everything is made in.")] = Path("runs/recipe"),
    show: Annotated[bool, typer.Option("--show", help="Print inputs and steps, and run nothing.")] = False,
    digests: Annotated[
        bool, typer.Option("--digests", help="Print the digests of the inputs named, and run nothing.")
    ] = False,
) -> None:
    """Run the commands of RECIPE one after the other; each is printed before it runs.

    The same command goes on where it was stopped; what is done already is not done again. Exit code 3 when a step set
    items aside, 130 after Ctrl-C.
    """
    console = Console(stderr=True, soft_wrap=True)
    read = read_recipe(recipe)
    named = dict(_named(text) for text in inputs or [])
    if show:
        table = Table("step", "command", "makes", title=read.title)
        for step in read.steps:
            table.add_row(step.name, "herder " + " ".join(step.run), "\n".join(step.makes))
        Console().print(*(f"input {name}: {each.about}" for name, each in read.inputs.items()), sep="\n", markup=False)
        Console().print(table)
        return
    if digests:
        for name, digest in check_inputs(read, named).items():
            typer.echo(f"{name} {digest}")
        return
    run = run_recipe(read, named, out, say=lambda line: console.print(line, style="bold", markup=False))
    table = Table("step", "seconds", "made")
    for done in run.done:
        table.add_row(done.name, f"{done.seconds:.0f}", "\n".join(str(out / name) for name in done.made))
    Console().print(table)
    if run.stopped:
        console.print("stopped; the same command goes on here", markup=False)
        sys.exit(STOPPED)
    if any(done.set_aside for done in run.done):
        sys.exit(SET_ASIDE)


def _named(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise ConfigError(f"--input {text}: wanted NAME=PATH", hint="such as --input photos=farm")
    return name, Path(path)
