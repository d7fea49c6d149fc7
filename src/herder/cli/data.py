"""``herder data``: look at a dataset, convert it, split it, compare it, or make one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from herder.cli.clean import clean_command
from herder.cli.dataset_diff import diff_command
from herder.cli.dataset_output import SET_ASIDE, DataArgument, progress_bar, report_problems, written
from herder.cli.dataset_report import report_command
from herder.cli.dataset_split import split_command
from herder.cli.fetch import fetch_app
from herder.cli.suspects import suspects_command
from herder.cli.synthesize import synthesize_command
from herder.data.formats import Format, read_dataset, read_splits, write_splits
from herder.data.pasture.config import Light, PastureConfig
from herder.data.records import Dataset, Problem
from herder.data.statistics import DatasetStatistics, dataset_statistics
from herder.data.validation import SHOWN, check_dataset
from herder.errors import ConfigError
from herder.images import read_image

data_app = typer.Typer(help="Look at, convert, split, compare or make labelled photos.", no_args_is_help=True)

data_app.command("split")(split_command)
data_app.command("clean")(clean_command)
data_app.command("diff")(diff_command)
data_app.command("report")(report_command)
data_app.command("suspects")(suspects_command)
data_app.command("synthesize")(synthesize_command)
data_app.add_typer(fetch_app, name="fetch")

SplitOption = Annotated[str | None, typer.Option(help="One split of the dataset, such as val.", show_default="all")]


@data_app.command()
def check(
    data: DataArgument,
    split: SplitOption = None,
    decode: Annotated[bool, typer.Option(help="Decode every photo in full.")] = True,
    workers: Annotated[int | None, typer.Option(min=1, help="Threads.", show_default="one a core")] = None,
    shown: Annotated[int, typer.Option(min=1, help="Findings of one kind to write out.")] = SHOWN,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON to standard output.")] = False,
) -> None:
    """Decode every photo and check every label; nothing is changed.

    Exit code 0: clean. 3: some photos or labels were set aside. 2: nothing can be used.
    """
    dataset = read_dataset(data, split=split)
    with progress_bar("checking", len(dataset)) as progress:
        report = check_dataset(
            dataset,
            decode=decode,
            workers=workers,
            progress=lambda done: progress.update(progress.task_ids[0], completed=done),
        )
    if as_json:
        found = [_as_json(problem) for problem in report.problems]
        summary = {"photos": len(report.usable), "boxes": sum(map(len, report.usable)), "counts": report.counts()}
        typer.echo(json.dumps({**summary, "clean": report.clean, "problems": found}, indent=2))
    else:
        typer.echo(report.render(shown))
    if not report.clean:
        raise typer.Exit(SET_ASIDE)


@data_app.command()
def stats(
    data: DataArgument,
    split: SplitOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON to standard output.")] = False,
) -> None:
    """Count photos, boxes and classes, and describe their sizes."""
    dataset = read_dataset(data, split=split)
    statistics = dataset_statistics(dataset)
    if as_json:
        typer.echo(json.dumps(statistics.as_dict(), indent=2))
    else:
        for table in _tables(statistics):
            Console().print(table)
    report_problems(dataset.problems)


@data_app.command()
def convert(
    data: DataArgument,
    out: Annotated[Path, typer.Option(help="New folder to write.")],
    to: Annotated[Format, typer.Option(help="Format to write.", case_sensitive=False)],
    link: Annotated[bool, typer.Option(help="Hard links in place of copies of the photos.")] = False,
) -> None:
    """Write the dataset in another format, with all its splits, into a new folder. Exit code 3 as for check."""
    datasets = read_splits(data)
    write_splits(datasets, out, to, link=link)
    written(out, datasets, to)


@data_app.command()
def pasture(
    out: Annotated[Path, typer.Argument(help="New folder to write.")],
    train: Annotated[int, typer.Option(min=1, help="Scenes for training.")] = 200,
    val: Annotated[int, typer.Option(min=0, help="Scenes for validation.")] = 50,
    size: Annotated[int, typer.Option(help="Side of a scene in pixels.")] = PastureConfig.size,
    seed: Annotated[int, typer.Option(help="The same seed gives the same scenes.")] = PastureConfig.seed,
    herd: Annotated[tuple[int, int], typer.Option(help="Fewest and most animals in a scene.")] = PastureConfig.herd,
    occlusion: Annotated[float, typer.Option(help="How much stands before the animals, 0 to 1.")] = (
        PastureConfig.occlusion
    ),
    light: Annotated[Light | None, typer.Option(help="One light for all.", show_default="a mix")] = None,
) -> None:
    """Draw scenes with alpaca-like animals and exact boxes, as a YOLO folder."""
    from herder.data.pasture import write_pasture

    config = PastureConfig(size=size, seed=seed, herd=herd, occlusion=occlusion, light=light)
    written(out, write_pasture(out, train=train, val=val, config=config), Format.YOLO)


@data_app.command()
def show(
    data: DataArgument,
    out: Annotated[Path, typer.Option(help="Picture to write, .png or .jpg.")],
    split: SplitOption = None,
    count: Annotated[int, typer.Option(min=1, max=400, help="Photos in the grid.")] = 16,
    augmented: Annotated[bool, typer.Option(help="As training sees them, with mosaic and all.")] = False,
    size: Annotated[int, typer.Option(min=32, help="Side of a cell in pixels.")] = 320,
    seed: Annotated[int, typer.Option(min=0, help="Which photos, and which augmentation.")] = 0,
) -> None:
    """Write a grid of photos with their boxes, to see with one's own eyes what the detector will learn."""
    from herder.drawing import grid, save_picture

    dataset = read_dataset(data, split=split)
    count = min(count, len(dataset))
    pictures = _augmented(dataset, count, size, seed) if augmented else _plain(dataset, count, seed)
    save_picture(out, grid(list(pictures), cell=size))
    typer.echo(f"{out}: {count} of {len(dataset)} photos")
    report_problems(dataset.problems)


def _plain(dataset: Dataset, count: int, seed: int) -> Iterator[NDArray[np.uint8]]:
    from herder.drawing import draw_boxes

    for i in sorted(np.random.default_rng(seed).permutation(len(dataset))[:count].tolist()):
        record = dataset[i]
        labels = _labels(record.classes.tolist(), record.ignore.tolist(), dataset.class_names)
        yield draw_boxes(read_image(record.path), record.boxes, labels)


def _augmented(dataset: Dataset, count: int, size: int, seed: int) -> Iterator[NDArray[np.uint8]]:
    from herder.data.augmentation import AugmentationConfig
    from herder.data.pipeline import TrainingPipeline
    from herder.drawing import draw_boxes

    if size % 32:
        raise ConfigError(f"size {size} is not a multiple of 32", hint=f"use {max(32, round(size / 32) * 32)}")
    pipeline = TrainingPipeline(dataset, size=size, batch_size=count, augmentation=AugmentationConfig(), seed=seed)
    for batch in pipeline.epoch(0):
        for i in range(len(batch.images)):
            valid = batch.valid[i]
            labels = _labels(batch.classes[i][valid].tolist(), batch.ignore[i][valid].tolist(), dataset.class_names)
            photo = np.ascontiguousarray(batch.images[i].permute(1, 2, 0).numpy())  # (H, W, 3)
            yield draw_boxes(photo, batch.boxes[i][valid].numpy(), labels)
        return


def _labels(classes: Sequence[int], ignore: Sequence[bool], class_names: Sequence[str]) -> list[str]:
    return [class_names[c] + (" (ignored)" if flag else "") for c, flag in zip(classes, ignore, strict=True)]


def _tables(statistics: DatasetStatistics) -> Iterator[Table]:
    counts = Table(title="Dataset", show_header=False)
    counts.add_row("photos", f"{statistics.photos:,}")
    counts.add_row("without a box", f"{statistics.backgrounds:,}")
    counts.add_row("groups", f"{statistics.groups:,}")
    counts.add_row("boxes", f"{statistics.boxes:,}")
    counts.add_row("small / medium / large", f"{statistics.small:,} / {statistics.medium:,} / {statistics.large:,}")
    counts.add_row("most to least frequent class", f"{statistics.imbalance:.3g}")
    yield counts
    classes = Table("class", "boxes", "photos", "ignored", title="Classes")
    for entry in statistics.classes:
        classes.add_row(entry.name, f"{entry.boxes:,}", f"{entry.photos:,}", f"{entry.ignored:,}")
    yield classes
    spread = Table("", "least", "5 %", "25 %", "median", "75 %", "95 %", "most", title="Distributions")
    for name, values in (
        ("boxes a photo", statistics.boxes_per_photo),
        ("photo width, pixels", statistics.photo_width),
        ("photo height, pixels", statistics.photo_height),
        ("box side / photo side", statistics.relative_size),
        ("box width / height", statistics.aspect_ratio),
    ):
        spread.add_row(name, *(f"{value:.3g}" if value < 1000 else f"{value:.0f}" for value in values.values()))
    yield spread


def _as_json(problem: Problem) -> dict[str, str]:
    return {
        "path": str(problem.path),
        "reason": problem.reason,
        "severity": problem.severity.value,
        "message": problem.message,
        "hint": problem.hint,
    }
