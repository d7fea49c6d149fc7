"""The command line: the only place that ties the rooms together.

Exit codes: 0 done; 2 unusable input or wrong use; 3 done, but some photos or labels were set aside.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.logging import RichHandler

from herder.cli.benchmark import benchmark_command
from herder.cli.calibrate import calibrate_command
from herder.cli.compare import compare_command
from herder.cli.crossval import crossval_command
from herder.cli.data import data_app
from herder.cli.demo import demo_command
from herder.cli.detect import detect_command
from herder.cli.distill import distill_command
from herder.cli.evaluate import evaluate_command
from herder.cli.export import export_command
from herder.cli.generate import generate_app
from herder.cli.grow import grow_command
from herder.cli.importing import import_command
from herder.cli.learn import learn_command
from herder.cli.models import models_app
from herder.cli.nas import nas_command
from herder.cli.optimize import optimize_command
from herder.cli.prune import prune_command
from herder.cli.quantize import quantize_command
from herder.cli.recipe import recipe_command
from herder.cli.report import report_command
from herder.cli.robustness import robustness_command
from herder.cli.search import search_command
from herder.cli.soup import soup_command
from herder.cli.train import train_command
from herder.errors import HerderError

app = typer.Typer(
    name="herder",
    help="Turn photos of animals into a detector you can trust, run anywhere and keep improving.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(data_app, name="data")
app.add_typer(generate_app, name="generate")
app.add_typer(models_app, name="models")
app.command("demo")(demo_command)
app.command("train")(train_command)
app.command("evaluate")(evaluate_command)
app.command("detect")(detect_command)
app.command("distill")(distill_command)
app.command("export")(export_command)
app.command("grow")(grow_command)
app.command("import")(import_command)
app.command("benchmark")(benchmark_command)
app.command("calibrate")(calibrate_command)
app.command("compare")(compare_command)
app.command("crossval")(crossval_command)
app.command("nas")(nas_command)
app.command("optimize")(optimize_command)
app.command("prune")(prune_command)
app.command("quantize")(quantize_command)
app.command("search")(search_command)
app.command("soup")(soup_command)
app.command("robustness")(robustness_command)
app.command("recipe")(recipe_command)
app.command("report")(report_command)
app.command("learn")(learn_command)


def _version(value: bool) -> None:
    if value:
        from herder import __version__

        typer.echo(f"herder {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[RichHandler(console=Console(stderr=True))])
    for noisy in ("torch", "onnxscript", "onnx_ir", "matplotlib", "alembic", "mlflow"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def main() -> None:
    """Run the command line; a HerderError becomes one message and exit code 2, Ctrl-C exit code 130."""
    try:
        app(prog_name="herder")
    except HerderError as error:
        Console(stderr=True, soft_wrap=True).print(f"herder: {error}", style="red", markup=False, highlight=False)
        sys.exit(2)
    except KeyboardInterrupt:
        Console(stderr=True).print("herder: stopped")
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output (head, less) went away: nothing is left to say, and stdout must not say so at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
