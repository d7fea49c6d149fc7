"""The first step of ``herder demo``: the model that ships with herder, on drawn scenes and on the user's photos."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from herder.data.records import ImageRecord
from herder.errors import DataError

if TYPE_CHECKING:
    from rich.console import Console

    from herder.evaluation.report import Section
    from herder.inference import Detector

NAME = "alpaca"

SCENES, SCENE_SIZE = 8, 512
"""Drawn scenes, and their side in pixels."""

PHOTOS_DRAWN = 12
"""So many of the user's photos come into the picture."""


def show_shipped(
    picture: Path, photos: Sequence[Path], seed: int, console: Console, problem: Callable[[str], None]
) -> Section:
    """Let the shipped model look at drawn scenes and at ``photos``; write ``picture`` and return the report's section.

    A photo that cannot be read is told to ``problem`` and left out.
    """
    from herder import load
    from herder.data.pasture import PastureConfig, pasture_scene
    from herder.drawing import draw_detections, grid, save_picture
    from herder.evaluation.average_precision import evaluate_detections
    from herder.evaluation.report import Picture, Section
    from herder.images import read_image

    detector = load(NAME)
    scenes = [pasture_scene(PastureConfig(size=SCENE_SIZE, seed=seed), index) for index in range(SCENES)]
    all_found = detector.detect([scene.picture for scene in scenes], score=0.01)
    metrics = evaluate_detections(all_found, [_record(scene.boxes) for scene in scenes], detector.class_names)
    threshold = detector.spec.score_threshold
    cells = [
        draw_detections(scene.picture, detections.above(threshold), truth=scene.boxes)
        for scene, detections in zip(scenes, all_found, strict=True)
    ]
    animals = sum(len(scene.boxes) for scene in scenes)
    found = sum(len(f.above(threshold)) for f in all_found)
    milliseconds = _milliseconds(detector, [scene.picture for scene in scenes])
    console.print(f"{SCENES} drawn scenes with {animals} alpacas: {found} found, mAP@0.5 {metrics.map50:.3f}")
    console.print(f"{milliseconds:.1f} ms a scene on this machine, {1000 / milliseconds:.0f} a second")
    own: list[NDArray[np.uint8]] = []
    for path in photos:
        try:
            photo = read_image(path)
        except DataError as error:
            problem(error.message)
            continue
        detections = detector.detect(photo)
        console.print(f"{path}: {len(detections)} found", markup=False)
        if len(own) < PHOTOS_DRAWN:
            own.append(draw_detections(photo, detections))
    shown = grid(own + cells if own else cells, columns=4)
    save_picture(picture, shown)
    console.print(f"picture: {picture}", markup=False)
    return Section(
        "The model that ships with herder",
        f"`{NAME}` was trained on 300 real photos of alpacas and has never seen these. Green and dashed: where the "
        "drawn animals are; solid: what it found.",
        numbers=[("mAP50 on drawn scenes", metrics.map50), ("ms a scene", milliseconds)],
        pictures=[Picture.of(shown, "What the shipped model finds")],
    )


def _record(boxes: NDArray[np.float32]) -> ImageRecord:
    """A scene as a labelled photo; nothing reads it from a file."""
    return ImageRecord(Path("scene"), SCENE_SIZE, SCENE_SIZE, boxes, np.zeros(len(boxes), np.int64))


def _milliseconds(detector: Detector, pictures: Sequence[NDArray[np.uint8]]) -> float:
    """Median from a decoded photo to boxes, each picture alone."""
    times = []
    for picture in pictures:
        start = time.perf_counter()
        detector.detect(picture)
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1000
