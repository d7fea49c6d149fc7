"""``herder train``: from a folder of labelled photos to a detector."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from herder.cli.model_argument import InitModel
from herder.errors import ConfigError

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""

SET_ASIDE = 3
"""Exit code when the run is done but something was set aside on the way."""


def train_command(
    data: Annotated[
        Path | None, typer.Argument(help="Labelled photos: a YOLO, COCO or VOC folder or file. Not needed to resume.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="herder-n/s/m, yolox-nano/tiny/s/m/l/x, or an architecture file.",
            show_default="of --init, or herder-n",
        ),
    ] = None,
    init: InitModel = None,
    out: Annotated[Path | None, typer.Option(help="Run folder.", show_default="runs/train, runs/train-2, ...")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out, or the latest one.")] = False,
    epochs: Annotated[int | None, typer.Option(help="Passes over all training photos.")] = None,
    imgsz: Annotated[int | None, typer.Option(help="Side of the canvas in pixels, a multiple of 32.")] = None,
    batch: Annotated[int | None, typer.Option(help="Photos a step.")] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate; of neck and head with --lr-backbone.")] = None,
    lr_backbone: Annotated[float | None, typer.Option(help="Peak learning rate of the backbone.")] = None,
    freeze: Annotated[int | None, typer.Option(help="First epochs in which the backbone stays as it is.")] = None,
    patience: Annotated[int | None, typer.Option(help="Stop after so many evaluations without a better mAP.")] = None,
    augment: Annotated[str | None, typer.Option(help="full, light or none.")] = None,
    paste_from: Annotated[
        Path | None, typer.Option(help="Dataset whose animals copy-paste takes, as `herder data synthesize` writes.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Same seed, same machine: same weights.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that prepare photos; 0 uses a thread.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML or YAML file of settings; flags go before it.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any setting, such as --set ema_decay=0.999; see the docs."),
    ] = None,
    mlflow: Annotated[bool, typer.Option("--mlflow", help="Track in MLflow, in RUN/mlflow.db.")] = False,
    tracking_uri: Annotated[str, typer.Option(help="Track in MLflow on this server.")] = "",
) -> None:
    """Train a detector on DATA and keep the best and the last in a run folder.

    Ctrl-C stops after the step; the same command with --resume ends as if it had never stopped.
    Exit code 3 when photos or labels had to be set aside, 130 after Ctrl-C.
    """
    # Here, since torch takes seconds to load: `herder --help` should not wait for it.
    from herder.api.run_photos import read_photos, taught_photos
    from herder.api.training_run import base_config, run_training
    from herder.training.config import load_config
    from herder.training.distributed import Ranks
    from herder.training.interfaces import Ending
    from herder.training.run import find_run, read_run_settings
    from herder.training.terminal import TerminalTracker, duration
    from herder.training.tracking import Tracker

    flags = {
        "epochs": epochs,
        "image_size": imgsz,
        "batch_size": batch,
        "lr_head": lr,
        "lr_backbone": lr if lr_backbone is None else lr_backbone,
        "freeze_backbone_epochs": freeze,
        "patience": patience,
        "augmentation": augment,
        "paste_from": None if paste_from is None else str(paste_from),
        "seed": seed,
        "workers": workers,
        "device": device,
    }
    overrides = {name: value for name, value in flags.items() if value is not None} | assignments(settings or [])
    base = None
    run = find_run(out) if resume else None
    if run is not None:
        out, begun = run, read_run_settings(run)
        data, model = data or Path(begun.data), model or begun.model
        init = init or (Path(begun.init) if begun.init else None)
        base = begun.config
    if data is None:
        where = f"{out or 'runs'} holds no run to go on with" if resume else "no photos given"
        raise ConfigError(f"train: {where}", hint="herder train DATA; `herder data pasture` makes some to try")
    resolved = load_config(config, overrides, base=base or base_config(init, model))
    ranks = Ranks.from_environment()
    first = ranks.first
    trackers: list[Tracker] = [TerminalTracker(Console(soft_wrap=True))] if first else []
    if (mlflow or tracking_uri) and first:
        from herder.training.mlflow_tracking import MlflowTracker

        trackers.append(MlflowTracker(tracking_uri))
    photos = taught_photos(read_photos(data), resolved, ranks.pick_device(resolved.device))
    result = run_training(photos, model, init, resolved, out, resume=resume, trackers=trackers)
    if not first:
        return
    console = Console(soft_wrap=True)

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False)

    if result.ending is Ending.INTERRUPTED:
        say(f"stopped; go on with: herder train --resume --out {result.folder}")
        raise typer.Exit(INTERRUPTED)
    shown = (name for name in ("mAP50", "mAP50_95") if name in result.metrics)
    metrics = ", ".join(f"{name} {result.metrics[name]:.3f}" for name in shown)
    say(f"best model: {result.best} (epoch {result.best_epoch}: {metrics}), after {duration(result.seconds)}")
    say(f"next: herder evaluate {result.best} {data}")
    say(f"      herder detect {result.best} PHOTOS")
    say(f"      herder export {result.best} --format onnx")
    if photos.set_aside:
        raise typer.Exit(SET_ASIDE)


def assignments(texts: list[str]) -> dict[str, Any]:
    """``name=value`` texts as a dict. Raises ConfigError for one without ``=``.

    >>> assignments(["ema_decay=0.999", "loss.box=3"])
    {'ema_decay': '0.999', 'loss.box': '3'}
    """
    values = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise ConfigError(f"--set {text}: wanted name=value", hint="such as --set ema_decay=0.999")
        values[name.strip()] = value.strip()
    return values
