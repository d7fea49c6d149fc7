"""``herder data synthesize``: draw animals of a rare class, for copy-paste."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from herder.cli.generate import SET_ASIDE, GenerationProgress, interruptible, report_set_aside


def synthesize_command(
    data: Annotated[Path, typer.Argument(help="Labelled photos: a YOLO, COCO or VOC folder or file.")],
    out: Annotated[Path, typer.Option(help="New folder for the dataset of drawn animals.")],
    classes: Annotated[list[str], typer.Option("--class", help="Class to draw; may be given again.")],
    number: Annotated[int, typer.Option(min=1, max=100_000, help="Animals to draw of each class.")] = 200,
    size: Annotated[int, typer.Option(help="Side in pixels that animals are learned at.")] = 64,
    split: Annotated[
        str | None, typer.Option(help="Split to learn from.", show_default="train where there is one, else all")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Training steps.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Crops a step.")] = None,
    guidance: Annotated[float, typer.Option(min=0, help="1: as learned. 2 to 4: clearer, with less variety.")] = 1.5,
    run: Annotated[Path | None, typer.Option(help="Folder of the training.", show_default="OUT-run")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the training in --run.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same machine: same animals.")] = 0,
    precision: Annotated[str | None, typer.Option(help="float32, bf16 or fp16.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or cuda:N.")] = None,
    judge: Annotated[int, typer.Option("--judge", min=0, help="Animals to measure quality with; 0: none.")] = 512,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Any setting of the network's config, such as --set dim=32.")
    ] = None,
) -> None:
    """Learn to draw the animals of a class and write crops of them, for `herder train --paste-from OUT`.

    Only the training split is learned from, so that a detector can still be judged on the others. Whether drawn animals
    help a detector has to be measured; docs/data.md says what was found. Exit code 3 when photos had to be set aside,
    130 after Ctrl-C.
    """
    from herder.api.drawing_settings import Kind, parse_changes
    from herder.api.generation import SAMPLES
    from herder.api.synthesis import synthesize
    from herder.data.formats import available_splits, read_dataset

    flags = {"steps": steps, "batch_size": batch, "number_format": precision, "device": device}
    changes = parse_changes(Kind.DIFFUSION, settings or []) | {k: v for k, v in flags.items() if v is not None}
    if split is None and "train" in available_splits(data):
        split = "train"
    dataset = read_dataset(data, split=split)
    command = (
        f"herder data synthesize {data} --class {' --class '.join(classes)} --number {number} --size {size} --resume"
    )
    with GenerationProgress() as watcher, interruptible(watcher, command, out):
        made = synthesize(
            dataset,
            classes,
            number,
            size,
            out,
            run=run,
            resume=resume,
            changes=changes,
            guidance=guidance,
            judged=judge,
            seed=seed,
            watcher=watcher,
        )
    typer.echo(f"{made.out}: {made.written} animals drawn; some of them in {made.run / SAMPLES}")
    if made.quality is not None:
        typer.echo(str(made.quality))
    typer.echo(f"next: herder train {data} --paste-from {made.out}")
    if report_set_aside(made.crops.pictures.set_aside):
        raise typer.Exit(SET_ASIDE)
