"""``herder generate``: teach a network to draw, from photos of your own, and let it draw."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from herder.errors import ConfigError
from herder.files import writing

if TYPE_CHECKING:
    from herder.api.generation import GenerationResult
    from herder.generative.pictures import SetAside

SET_ASIDE, INTERRUPTED = 3, 130
"""Exit codes when some photos could not be used, and after Ctrl-C."""

PLAIN_SECONDS = 30.0
"""At most so often a line where the output is no terminal."""

SHOWN = 5
"""Photos set aside that are named one by one."""

generate_app = typer.Typer(help="Teach a GAN or a diffusion model to draw, and let it draw.", no_args_is_help=True)

PhotosOption = Annotated[Path | None, typer.Option("--photos", help="Folder of photos; their middle squares are used.")]
DigitsOption = Annotated[bool, typer.Option("--digits", help="The handwritten digits that scikit-learn carries.")]
DataOption = Annotated[Path | None, typer.Option("--data", help="Labelled dataset to cut animals out of.")]
ClassOption = Annotated[
    list[str] | None,
    typer.Option("--class", help="Class of --data to cut out; may be given again.", show_default="all"),
]
SizeOption = Annotated[int | None, typer.Option(help="Side of a picture in pixels.", show_default="32; digits 8")]
OutOption = Annotated[Path | None, typer.Option(help="Run folder.", show_default="first free of runs/KIND-N")]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Go on with the run in --out, or the latest one.")]
StepsOption = Annotated[int | None, typer.Option(min=1, help="Training steps.")]
BatchOption = Annotated[int | None, typer.Option(min=1, help="Pictures a step.")]
SeedOption = Annotated[int | None, typer.Option(min=0, help="Same seed, same machine: same network.")]
DeviceOption = Annotated[str | None, typer.Option(help="cpu, cuda or cuda:N.", show_default="cuda where there is one")]
JudgedOption = Annotated[int, typer.Option("--judge", min=0, help="Samples to measure quality with; 0 measures none.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="Any setting of the network's config, such as --set dim=48.")
]


@generate_app.command()
def diffusion(
    photos: PhotosOption = None,
    digits: DigitsOption = False,
    data: DataOption = None,
    classes: ClassOption = None,
    size: SizeOption = None,
    out: OutOption = None,
    resume: ResumeOption = False,
    steps: StepsOption = None,
    batch: BatchOption = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    seed: SeedOption = None,
    precision: Annotated[str | None, typer.Option(help="float32, bf16 or fp16.")] = None,
    device: DeviceOption = None,
    judge: JudgedOption = 512,
    settings: SetOption = None,
) -> None:
    """Train a diffusion model; with classes (--digits, several --class) it can be asked for one.

    Ctrl-C loses at most the steps since the last checkpoint; --resume goes on and ends as if never stopped.
    Exit code 3 when photos had to be set aside, 130 after Ctrl-C.
    """
    flags = {
        "steps": steps,
        "batch_size": batch,
        "learning_rate": lr,
        "seed": seed,
        "number_format": precision,
        "device": device,
    }
    _generate("diffusion", (photos, digits, data, classes, size), out, resume, flags, settings, judge)


@generate_app.command()
def gan(
    photos: PhotosOption = None,
    digits: DigitsOption = False,
    data: DataOption = None,
    classes: ClassOption = None,
    size: SizeOption = None,
    out: OutOption = None,
    resume: ResumeOption = False,
    steps: StepsOption = None,
    batch: BatchOption = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate of both networks.")] = None,
    seed: SeedOption = None,
    device: DeviceOption = None,
    judge: JudgedOption = 512,
    settings: SetOption = None,
) -> None:
    """Train a GAN: a generator that draws, against a discriminator that tells its pictures from real ones.

    Sides must be a multiple of 4. Ctrl-C, --resume and exit codes as for diffusion.
    """
    rates = {"learning_rate_generator": lr, "learning_rate_discriminator": lr}
    flags = {"steps": steps, "batch_size": batch, "seed": seed, "device": device, **rates}
    _generate("gan", (photos, digits, data, classes, size), out, resume, flags, settings, judge)


@generate_app.command()
def samples(
    model: Annotated[Path, typer.Argument(help="Run folder or model file of herder generate.")],
    out: Annotated[Path, typer.Option(help="New folder for single pictures, or a grid's file, .png or .jpg.")],
    number: Annotated[int, typer.Option(min=1, max=100_000, help="Pictures to draw.")] = 64,
    label: Annotated[
        list[str] | None, typer.Option(help="Class to draw, where the model knows classes; may be given again.")
    ] = None,
    guidance: Annotated[float, typer.Option(help="1: as learned. 2 to 4: clearer, with less variety.")] = 1.0,
    steps: Annotated[int | None, typer.Option(help="Denoising steps.", show_default="50")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same pictures.")] = 0,
) -> None:
    """Draw pictures with a trained network."""
    from herder.api.drawers import class_ids, open_drawer, save_grid
    from herder.data.formats.write import staged
    from herder.drawing import FORMATS, save_picture
    from herder.generative.pictures import to_photo

    drawer = open_drawer(model)
    labels = None
    if label:
        import torch

        ids = class_ids(drawer, tuple(label))
        labels = torch.tensor([ids[i % len(ids)] for i in range(number)])
    as_grid = out.suffix.lower() in FORMATS
    if not as_grid and out.suffix:
        raise ConfigError(
            f"{out}: unknown ending {out.suffix!r} for a picture", hint="a folder, or a .png or .jpg file"
        )
    if not as_grid and out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise ConfigError(f"{out}: is there already", hint="give a new folder: nothing is ever written over")
    with GenerationProgress() as watcher:
        drawn = drawer.draw(
            number,
            labels=labels,
            steps=steps,
            guidance=guidance,
            seed=seed,
            progress=lambda done, total: watcher.at("drawing", done, total),
        )
    if as_grid:
        save_grid(out, drawn)
        typer.echo(f"{out}: {number} pictures in one")
        return
    digits = len(str(number - 1))
    with staged(out) as folder, writing(out):
        for i, picture in enumerate(drawn):
            name = "" if labels is None else f"{drawer.class_names[int(labels[i])]}-"
            save_picture(folder / f"{name}{i:0{digits}d}.png", to_photo(picture))
    typer.echo(f"{out}: {number} pictures of {drawn.shape[-1]} pixels")


def _generate(
    kind: str,
    pictures: tuple[Path | None, bool, Path | None, list[str] | None, int | None],
    out: Path | None,
    resume: bool,
    flags: dict[str, Any],
    settings: list[str] | None,
    judged: int,
) -> None:
    """Train, and say what was written and how good it is."""
    from herder.api.drawing_settings import Kind, parse_changes
    from herder.api.generation import SAMPLES, generate
    from herder.api.picture_source import PictureSource

    photos, digits, data, classes, size = pictures
    source = None
    if photos or digits or data or classes or size or not resume:
        source = PictureSource(str(photos or ""), digits, str(data or ""), tuple(classes or ()), size)
    changes = parse_changes(Kind(kind), settings or []) | {k: v for k, v in flags.items() if v is not None}
    with GenerationProgress() as watcher, interruptible(watcher, f"herder generate {kind} --resume", out):
        result = generate(Kind(kind), source, out, changes, resume=resume, judged=judged, watcher=watcher)
    typer.echo(f"{result.folder}: the model, and samples in {result.folder / SAMPLES}")
    tell_quality(result)
    typer.echo(f"next: herder generate samples {result.folder} --number 64 --out grid.png")
    if report_set_aside(result.pictures.set_aside):
        raise typer.Exit(SET_ASIDE)


def tell_quality(result: GenerationResult) -> None:
    """The measured quality, where it was measured."""
    if result.quality is not None:
        typer.echo(str(result.quality))


def report_set_aside(set_aside: tuple[SetAside, ...]) -> bool:
    """Say on standard error which photos could not be used; True when there are any."""
    for problem in set_aside[:SHOWN]:
        typer.echo(f"set aside: {problem}", err=True)
    if len(set_aside) > SHOWN:
        typer.echo(f"... and {len(set_aside) - SHOWN} more", err=True)
    return bool(set_aside)


class GenerationProgress:
    """A bar for what is under way on standard error; where nobody watches, a line each half minute."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, soft_wrap=True)
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        note = TextColumn("{task.fields[note]}", markup=False)
        self._bar = Progress(*columns, note, console=self._console, transient=True, disable=not sys.stderr.isatty())
        self._tasks: dict[str, TaskID] = {}
        self._said = time.monotonic()

    def __enter__(self) -> GenerationProgress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def at(self, what: str, done: int, total: int, note: str = "") -> None:
        """``done`` of ``total`` steps of ``what`` are done."""
        if what not in self._tasks:
            self._tasks[what] = self._bar.add_task(what, total=total, note=note)
        self._bar.update(self._tasks[what], completed=done, total=total, note=note)
        if done >= total:
            self._bar.remove_task(self._tasks.pop(what))
        if self._bar.disable and time.monotonic() - self._said > PLAIN_SECONDS:
            self._said = time.monotonic()
            self.say(f"{what} {done}/{total}  {note}".rstrip())

    def say(self, text: str) -> None:
        """A sentence for the user, above the bars."""
        self._console.print(text, markup=False, highlight=False)


@contextmanager
def interruptible(watcher: GenerationProgress, command: str, out: Path | None) -> Iterator[None]:
    """Turn Ctrl-C into a sentence on how to go on, and exit code 130."""
    try:
        yield
    except KeyboardInterrupt:
        where = "" if out is None else f" --out {out}"
        watcher.say(f"stopped; go on from the last checkpoint with: {command}{where}")
        raise typer.Exit(INTERRUPTED) from None
