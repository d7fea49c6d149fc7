"""``herder prune``: take channels out of a model that it hardly needs, and train it again."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from herder.cli.train import INTERRUPTED, SET_ASIDE, assignments
from herder.errors import ConfigError


class ScopeChoice(Enum):
    """Where the least important channels are sought."""

    GLOBAL = "global"
    LAYER = "layer"


class ImportanceChoice(Enum):
    """What a channel's importance is measured by."""

    L1 = "l1"
    L2 = "l2"
    BN = "bn"


def prune_command(
    model: Annotated[Path, typer.Argument(help="Model file: .safetensors.")],
    data: Annotated[Path, typer.Argument(help="Labelled photos: a YOLO, COCO or VOC folder or file.")],
    ratio: Annotated[float, typer.Option(help="Share of channels (with --unstructured: of weights) that go.")] = 0.3,
    steps: Annotated[int, typer.Option(help="Rounds of pruning and fine-tuning.")] = 3,
    scope: Annotated[
        ScopeChoice, typer.Option(help="Least important channels of the whole network, or of each layer.")
    ] = ScopeChoice.GLOBAL,
    importance: Annotated[
        ImportanceChoice, typer.Option(help="Norm of a channel's weights, or scale of its batch norm.")
    ] = ImportanceChoice.L2,
    multiple: Annotated[int, typer.Option(help="Channels left are multiples of this.")] = 4,
    unstructured: Annotated[
        bool, typer.Option("--unstructured", help="Zero single weights: the file compresses better, no faster.")
    ] = False,
    out: Annotated[Path, typer.Option(help="New folder for runs and pruned.safetensors.")] = Path("runs/prune"),
    epochs: Annotated[int | None, typer.Option(help="Passes over all training photos, in each step.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML or YAML file of settings for the fine-tuning.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Any setting of the fine-tuning, such as --set batch_size=8.")
    ] = None,
) -> None:
    """Take the least important channels out of MODEL in steps, fine-tune on DATA after each, and compare.

    The result is an ordinary model file. Exit code 3 when photos or labels had to be set aside, 130 after Ctrl-C.
    """
    if unstructured and epochs is not None:
        raise ConfigError("--epochs: unstructured pruning does not train", hint="leave out --epochs")
    # Here, since torch takes seconds to load: `herder --help` should not wait for it.
    from herder.api.prune import PruneSettings, run_pruning
    from herder.api.run_photos import read_photos
    from herder.api.training_run import base_config
    from herder.model.pruning import Importance, Scope
    from herder.training.config import load_config
    from herder.training.terminal import TerminalTracker

    if model.suffix != ".safetensors":
        raise ConfigError(f"{model}: only .safetensors models can be pruned", hint="prune before you export")
    flags = {"epochs": epochs, "device": device}
    changes = {name: value for name, value in flags.items() if value is not None} | assignments(settings or [])
    resolved = load_config(config, changes, base=base_config(model))
    wanted = PruneSettings(
        ratio, steps, Scope(scope.value), Importance(importance.value), multiple, unstructured=unstructured
    )
    console = Console(soft_wrap=True)

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False)

    photos = read_photos(data)
    result = run_pruning(model, photos, out, wanted, resolved, trackers=[TerminalTracker(console)], say=say)
    before, after = result.before, result.after
    table = Table("", "before", "after", "ratio")
    for name, a, b, form in (
        ("parameters", before.parameters, after.parameters, ",.0f"),
        ("GFLOPs", before.flops / 1e9, after.flops / 1e9, ".3f"),
        ("ms (torch, CPU, network alone)", before.milliseconds, after.milliseconds, ".2f"),
        ("mAP50", before.map50, after.map50, ".3f"),
        ("mAP50_95", before.map50_95, after.map50_95, ".3f"),
        ("file MB", before.file_bytes / 1e6, after.file_bytes / 1e6, ".3f"),
        ("file MB, zipped", before.zipped_bytes / 1e6, after.zipped_bytes / 1e6, ".3f"),
    ):
        table.add_row(name, format(a, form), format(b, form), f"{b / a:.2f}" if a else "-")
    console.print(table)
    if unstructured:
        say("zeros make the file compress better; shapes stay, so engines do the same work and run no faster")
    say(f"pruned model: {result.path}")
    if result.interrupted:
        say("stopped before the last step was done; the file is what was reached")
        raise typer.Exit(INTERRUPTED)
    if photos.set_aside:
        raise typer.Exit(SET_ASIDE)
