"""``herder prune``: take channels out of a model that it hardly needs, and train it again."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from herder.cli.model_argument import WeightsModel
from herder.cli.train import SET_ASIDE, assignments
from herder.errors import ConfigError

if TYPE_CHECKING:
    from herder.api.prune import PruneResult


class ScopeChoice(Enum):
    """Where the least important channels are sought."""

    GLOBAL = "global"
    LAYER = "layer"


class ImportanceChoice(Enum):
    """What a channel's importance is measured by."""

    L1 = "l1"
    L2 = "l2"
    BN = "bn"
    TAYLOR = "taylor"


def prune_command(
    model: WeightsModel,
    data: Annotated[Path, typer.Argument(help="Labelled photos: a YOLO, COCO or VOC folder or file.")],
    ratio: Annotated[float, typer.Option(help="Share of channels (with --unstructured: of weights) that go.")] = 0.3,
    steps: Annotated[int, typer.Option(help="Rounds of pruning and fine-tuning.")] = 3,
    scope: Annotated[
        ScopeChoice, typer.Option(help="Least important channels of the whole network, or of each layer.")
    ] = ScopeChoice.GLOBAL,
    importance: Annotated[
        ImportanceChoice,
        typer.Option(help="Norm of a channel's weights, scale of its batch norm, or what the loss tells."),
    ] = ImportanceChoice.TAYLOR,
    multiple: Annotated[int, typer.Option(help="Channels left are multiples of this.")] = 4,
    unstructured: Annotated[
        bool, typer.Option("--unstructured", help="Zero single weights: the file compresses better, no faster.")
    ] = False,
    fine_tune: Annotated[bool, typer.Option(help="Train after each step.")] = True,
    teacher: Annotated[
        list[str] | None,
        typer.Option(help="Model file to learn from in the fine-tuning; self is MODEL as it is. May be given again."),
    ] = None,
    out: Annotated[Path, typer.Option(help="New folder for runs, pruned.safetensors and pruned.onnx.")] = Path(
        "runs/prune"
    ),
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out that was stopped.")] = False,
    epochs: Annotated[int | None, typer.Option(help="Passes over all training photos, in each step.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML or YAML file of settings for the fine-tuning.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Any setting of the fine-tuning, such as --set batch_size=8.")
    ] = None,
) -> None:
    """Take the least important channels out of MODEL in steps, fine-tune on DATA after each, and compare.

    The result is an ordinary model file. Exit code 3 when photos or labels had to be set aside, 130 after Ctrl-C: the
    same command with --resume goes on.
    """
    if not fine_tune and (epochs is not None or teacher or steps > 1):
        given = "--epochs" if epochs is not None else "--teacher" if teacher else "--steps"
        raise ConfigError(f"{given}: --no-fine-tune does not train", hint="leave out --no-fine-tune, or use --steps 1")
    # Here, since torch takes seconds to load: `herder --help` should not wait for it.
    from herder.api.prune import run_pruning, teacher_settings
    from herder.api.prune_settings import PruneSettings
    from herder.api.run_photos import read_photos
    from herder.api.training_run import base_config
    from herder.model.pruning import Importance, Scope
    from herder.training.config import load_config
    from herder.training.terminal import TerminalTracker

    if model.suffix != ".safetensors":
        raise ConfigError(f"{model}: only .safetensors models can be pruned", hint="prune before you export")
    flags = {"epochs": epochs, "device": device}
    changes = {name: value for name, value in flags.items() if value is not None} | assignments(settings or [])
    changes |= teacher_settings(model, teacher or [])
    resolved = load_config(config, changes, base=base_config(model))
    measure = Importance(importance.value)
    wanted = PruneSettings(ratio, steps, Scope(scope.value), measure, multiple, unstructured, fine_tune)
    console = Console(soft_wrap=True)

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False)

    photos = read_photos(data)
    trackers = [TerminalTracker(console)]
    result = run_pruning(model, photos, out, wanted, resolved, resume=resume, trackers=trackers, say=say)
    console.print(_table(result))
    if unstructured:
        say("zeros make the file compress better; shapes stay, so engines do the same work and run no faster")
    say(f"pruned model: {result.path}; all numbers: {out / 'prune.json'}")
    if photos.set_aside:
        raise typer.Exit(SET_ASIDE)


def _table(result: PruneResult) -> Table:
    """Both models side by side; the times' ratio is of paired runs, with its interval."""
    a, b = result.before, result.after
    table = Table("", "before", "after", "after / before")
    for name, x, y, form in (
        ("parameters", a.parameters, b.parameters, ",.0f"),
        ("weights that are zero", a.sparsity, b.sparsity, ".1%"),
        ("GFLOPs", a.flops / 1e9, b.flops / 1e9, ".3f"),
        ("mAP50", a.map50, b.map50, ".3f"),
        ("mAP50_95", a.map50_95, b.map50_95, ".3f"),
        ("file MB", a.file_bytes / 1e6, b.file_bytes / 1e6, ".3f"),
        ("file MB, zipped", a.zipped_bytes / 1e6, b.zipped_bytes / 1e6, ".3f"),
    ):
        table.add_row(name, format(x, form), format(y, form), f"{y / x:.2f}" if x else "-")
    for speed in result.speeds:
        name = f"ms, {speed.engine}, network alone"
        table.add_row(name, f"{speed.before_ms:.2f}", f"{speed.after_ms:.2f}", str(speed.ratio))
    return table
