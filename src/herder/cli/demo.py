"""``herder demo``: the whole path on generated scenes, from photos to a report, in a few minutes."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console

from herder.cli.demo_shipped import show_shipped
from herder.cli.photo_paths import find_photos
from herder.cli.train import SET_ASIDE
from herder.errors import ConfigError

if TYPE_CHECKING:
    from herder.data.records import Dataset
    from herder.detections import Detections
    from herder.evaluation.report import Section

MARK = ".herder-demo"
"""Lies in a folder that an earlier demo made, and may therefore be made anew."""

FOLDERS, FILES = ("pasture", "run"), ("shipped.jpg", "trained.onnx", "detections.jpg", "report.html")
"""What the demo writes; all else in its folder is somebody else's."""

GRID_PHOTOS = 12
"""Scenes in the picture grid."""


def demo_command(
    out: Annotated[Path, typer.Option(help="Folder for scenes, model and report.")] = Path("herder-demo"),
    scenes: Annotated[
        int, typer.Option(min=20, max=10_000, help="Scenes to train on; a quarter as many to test.")
    ] = 240,
    epochs: Annotated[int, typer.Option(min=1, max=1000, help="Passes over the scenes.")] = 16,
    size: Annotated[int, typer.Option(min=64, max=1024, help="Side of the scenes in pixels, a multiple of 32.")] = 192,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same scenes, same model.")] = 0,
    photos: Annotated[
        list[str] | None,
        typer.Option(help="Photos, folders or patterns that the shipped model looks at, too; may be given again."),
    ] = None,
) -> None:
    """Show herder at work: let the shipped model look, draw pastures, train a detector on them, test, export, report.

    Needs no photos, no network and, on 2 cores, under 5 minutes. Exit code 3 when one of --photos cannot be read.
    """
    from herder import load
    from herder.api.training_run import run_training
    from herder.data.pasture import PastureConfig, write_pasture
    from herder.edge.benchmark import measure_speed
    from herder.edge.export import export_onnx
    from herder.evaluation import evaluate_detector
    from herder.inference import Detector
    from herder.model.engine import TorchEngine
    from herder.model.files import load_model
    from herder.training.config import TrainConfig

    console = Console(soft_wrap=True, highlight=False)
    start = time.monotonic()
    settings = TrainConfig(
        epochs=epochs,
        image_size=size,
        batch_size=8,
        seed=seed,
        warmup_epochs=min(2.0, epochs / 4),
        mosaic_off_epochs=max(1, epochs // 3),
        evaluate_every=max(1, epochs // 8),
    )
    settings = replace(settings, augmentation=replace(settings.augmentation, mosaic=0.5, scale=0.3))
    aside: list[str] = []
    named = find_photos(photos or [], recursive=False, problem=lambda what, why: aside.append(f"{what}: {why}"))
    make_folder(out)

    _title(console, 1, "The model that ships with herder")
    shipped = show_shipped(out / "shipped.jpg", named, seed, console, aside.append)

    _title(console, 2, "Scenes")
    config = PastureConfig(size=size, seed=seed)
    training, validation = write_pasture(out / "pasture", train=scenes, val=max(10, scenes // 4), config=config)
    console.print(
        f"{len(training)} scenes to train on and {len(validation)} to test, "
        f"with {sum(map(len, training)) + sum(map(len, validation))} alpacas: {out / 'pasture'}"
    )

    _title(console, 3, "Training")
    result = run_training(out / "pasture", "herder-n", None, settings, out / "run")

    _title(console, 4, "Test on scenes it has not seen")
    network = load_model(result.best)
    metrics, detections = evaluate_detector(Detector(TorchEngine(network)), validation)
    console.print(
        f"mAP@0.5 {metrics.map50:.3f}, mAP@0.5:0.95 {metrics.map50_95:.3f}, "
        f"precision {metrics.precision:.3f}, recall {metrics.recall:.3f} at a score of {metrics.threshold:.2f}"
    )

    _title(console, 5, "Export, with a check that nothing changed")
    model = out / "trained.onnx"
    some = [record.path for record in validation.records[:GRID_PHOTOS]]
    exported = export_onnx(network, network.spec, model, photos=some)
    console.print(str(exported), markup=False)

    _title(console, 6, "Speed on this machine")
    speed = measure_speed(load(model), some)
    console.print(str(speed), markup=False)

    _title(console, 7, "Pictures and report")
    picture = draw_grid(validation, detections, metrics.threshold)
    from herder.drawing import save_picture
    from herder.evaluation.report import Picture, Section, Table, write_report

    save_picture(out / "detections.jpg", picture)
    sections = [
        shipped,
        Section(
            "A detector trained just now",
            "A detector that was trained from nothing on drawn scenes, on this machine, just now. The scenes below "
            "were kept away from training. Green and dashed: where the animals are; solid: what the detector found.",
            numbers=[
                ("mAP50", metrics.map50),
                ("mAP50-95", metrics.map50_95),
                ("photos a second", speed.frames_per_second),
            ],
            pictures=[Picture.of(picture, "Generated scenes with detections")],
        ),
        *evaluation_sections(validation, detections),
        Section(
            "Model and speed",
            tables=[
                Table(
                    ("", "Value"),
                    [
                        ("Training, seconds", round(result.seconds)),
                        ("Parameters", sum(p.numel() for p in network.parameters())),
                        ("Exported file, MB", exported.size_bytes / 1e6),
                        ("Largest difference of a box after export, pixels", exported.parity.box_px),
                        ("Largest difference of a score after export", exported.parity.score),
                        ("Photo to boxes, ms", speed.photo_to_boxes_ms_p50),
                        ("Network alone, ms", speed.network_ms_p50),
                    ],
                )
            ],
        ),
    ]
    report = out / "report.html"
    write_report(report, "herder demo", sections, "From photos to a detector, on generated scenes")
    console.print(f"report: {report}\npictures: {out / 'detections.jpg'}")
    console.print(f"\nDone in {time.monotonic() - start:.0f} s. With your own labelled photos (YOLO, COCO or VOC):")
    console.print("  herder data check PHOTOS        what is wrong with them")
    console.print("  herder train PHOTOS             a detector from them")
    console.print(
        f"  herder detect alpaca A.jpg      what the shipped model sees in a photo; {model} is the trained one"
    )
    for line in aside:
        console.print(f"set aside: {line}", markup=False)
    if aside:
        raise typer.Exit(SET_ASIDE)


def make_folder(out: Path) -> None:
    """Make the demo's folder, or clear away what an earlier demo left there, and nothing else.

    Raises ConfigError where a folder stands that no demo made.
    """
    if out.exists() and not (out / MARK).exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out}: is there already and was not made by herder demo", hint="name another with --out")
    out.mkdir(parents=True, exist_ok=True)
    for name in FOLDERS:
        shutil.rmtree(out / name, ignore_errors=True)
    for name in FILES:
        (out / name).unlink(missing_ok=True)
    (out / MARK).write_text("made by herder demo, which makes its own files in here anew each time\n")


def draw_grid(data: Dataset, detections: list[Detections], threshold: float) -> NDArray[np.uint8]:
    """The first scenes with their truth and what was found, side by side: (H, W, 3)."""
    from herder.drawing import draw_detections, grid
    from herder.images import read_image

    pictures = [
        draw_detections(read_image(record.path), found.above(threshold), truth=record.boxes)
        for record, found in zip(data.records[:GRID_PHOTOS], detections, strict=False)
    ]
    return grid(pictures, columns=4)


def evaluation_sections(data: Dataset, detections: list[Detections]) -> list[Section]:
    """The report's sections on accuracy."""
    from herder.evaluation.average_precision import evaluate_tables
    from herder.evaluation.sections import metric_sections, worst_section
    from herder.evaluation.tables import detection_table, truth_table

    truth, found = truth_table(data.records), detection_table(detections)
    metrics = evaluate_tables(truth, found, len(data), data.class_names)
    return [
        *metric_sections(metrics, truth, found, data.class_names),
        worst_section(data, detections, metrics.threshold),
    ]


def _title(console: Console, number: int, text: str) -> None:
    console.print(f"\n[bold]{number}. {text}[/bold]")
