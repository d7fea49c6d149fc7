"""``herder distill``: a small detector that learns from larger ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from herder.cli.model_argument import TeacherModel
from herder.cli.train import INTERRUPTED, SET_ASIDE, assignments
from herder.errors import ConfigError


def distill_command(
    teacher: TeacherModel,
    data: Annotated[Path, typer.Argument(help="Labelled photos: a YOLO, COCO or VOC folder or file.")],
    student: Annotated[
        str, typer.Option(help="Model file to start from, or a name: herder-n/s/m, yolox-nano/tiny/s/m/l/x.")
    ] = "herder-n",
    more: Annotated[
        list[Path] | None, typer.Option("--teacher", help="One more teacher; may be given again: an ensemble.")
    ] = None,
    unlabelled: Annotated[
        Path | None, typer.Option(help="Folder of photos without labels, which the teachers label.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder.", show_default="runs/train, runs/train-2, ...")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out, or the latest one.")] = False,
    epochs: Annotated[int | None, typer.Option(help="Passes over all training photos.")] = None,
    imgsz: Annotated[int | None, typer.Option(help="Side of the canvas in pixels, a multiple of 32.")] = None,
    batch: Annotated[int | None, typer.Option(help="Photos a step.")] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    augment: Annotated[str | None, typer.Option(help="full, light or none.")] = None,
    seed: Annotated[int | None, typer.Option(help="Same seed, same machine: same weights.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that prepare photos; 0 uses a thread.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML or YAML file of settings; flags go before it.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Any setting, such as --set distillation.features=0.")
    ] = None,
) -> None:
    """Train a student on DATA that learns from the labels and from TEACHER: scores, boxes and feature maps.

    The result is an ordinary run folder and model file; `herder train --resume` goes on with it, too.
    Exit code 3 when photos or labels had to be set aside, 130 after Ctrl-C.
    """
    # Here, since torch takes seconds to load: `herder --help` should not wait for it.
    from herder.api.distill import distillation_config, measure_teachers, student_start
    from herder.api.run_photos import read_photos, taught_photos
    from herder.api.training_run import run_training
    from herder.training.distributed import Ranks
    from herder.training.interfaces import Ending
    from herder.training.run import check_free, find_run, read_run_settings
    from herder.training.terminal import TerminalTracker, duration

    flags = {
        "epochs": epochs,
        "image_size": imgsz,
        "batch_size": batch,
        "lr_head": lr,
        "lr_backbone": lr,
        "augmentation": augment,
        "seed": seed,
        "workers": workers,
        "device": device,
    }
    changes = {name: value for name, value in flags.items() if value is not None} | assignments(settings or [])
    model, init = student_start(student)
    base = None
    run = find_run(out) if resume else None
    if run is not None:
        out, begun = run, read_run_settings(run)
        if not begun.config.distillation.teachers:
            raise ConfigError(f"{run}: this run has no teacher", hint=f"herder train --resume --out {run}")
        model, init, base = begun.model, Path(begun.init) if begun.init else None, begun.config
    teachers = [teacher, *(more or [])]
    resolved = distillation_config(teachers, student, unlabelled=unlabelled, file=config, settings=changes, base=base)
    ranks = Ranks.from_environment()
    device_used = ranks.pick_device(resolved.device)
    if out is not None and run is None and ranks.first:
        check_free(out)  # labelling takes long
    photos = taught_photos(read_photos(data), resolved, device_used)
    trackers = [TerminalTracker(Console(soft_wrap=True))] if ranks.first else []
    result = run_training(photos, model, init, resolved, out, resume=resume, trackers=trackers)
    if not ranks.first:
        return
    console = Console(soft_wrap=True)

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False)

    if result.ending is Ending.INTERRUPTED:
        say(f"stopped; go on with: herder train --resume --out {result.folder}")
        raise typer.Exit(INTERRUPTED)
    taught = measure_teachers(resolved, photos, device=device_used).as_dict()
    for who, numbers in ((f"teacher{'s' if more else ''}", taught), ("student", result.metrics)):
        shown = ", ".join(f"{name} {numbers[name]:.3f}" for name in ("mAP50", "mAP50_95") if name in numbers)
        say(f"{who}: {shown} on the validation photos")
    say(f"best model: {result.best} (epoch {result.best_epoch}), after {duration(result.seconds)}")
    say(f"next: herder train {data}  (the same student without a teacher, to see what it gained)")
    if photos.set_aside:
        raise typer.Exit(SET_ASIDE)
