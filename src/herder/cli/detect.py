"""``herder detect``: find the animals on new photos."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from herder.cli.augmentation_option import Tta, TtaMerge, augmented
from herder.cli.detect_outputs import (
    CocoOutput,
    JsonOutput,
    Output,
    PictureOutput,
    Shot,
    TableOutput,
    YoloOutput,
    refuse_overwriting,
)
from herder.cli.model_argument import RunModel
from herder.cli.photo_paths import find_photos, short_names
from herder.detections import Detections
from herder.edge.engine_choice import faster_engine
from herder.errors import DataError
from herder.images import read_image
from herder.inference import Detector

COCO_SCORE = 0.01
"""--save-coco goes down to this score, so that whole precision-recall curves can be drawn from the file."""

WORTH_A_TRIAL = 2000
"""From so many photos on the faster engine is looked for: the trial takes two seconds or more, a photo gains one or two
milliseconds."""

SET_ASIDE = 3
"""Exit code when all went well but for photos that could not be read."""


def detect_command(
    model: RunModel,
    photos: Annotated[list[str], typer.Argument(help="Photos, folders of photos, or patterns such as 'cam*/*.jpg'.")],
    score: Annotated[
        float | None, typer.Option(min=0, max=1, help="Leave out what scores lower; the model's own if not given.")
    ] = None,
    iou: Annotated[
        float | None, typer.Option(min=0, max=1, help="Overlap above which one of two boxes goes; the model's own.")
    ] = None,
    size: Annotated[int | None, typer.Option(help="Longest side in pixels; the model's own if not given.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Photos at a time.")] = 1,
    tta: Tta = None,
    tta_merge: TtaMerge = None,
    engine: Annotated[str, typer.Option(help="auto, torch, onnx or openvino.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; all physical cores if not given.")] = None,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Look into folders of folders too.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write pictures with the boxes drawn into this folder.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON, and nothing else, to standard output.")] = False,
    save_yolo: Annotated[Path | None, typer.Option(help="Write YOLO label files into this folder.")] = None,
    save_coco: Annotated[
        Path | None, typer.Option(help=f"Write all detections down to score {COCO_SCORE} to this JSON file.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Let --out and --save-yolo replace files.")] = False,
) -> None:
    """Find the animals on PHOTOS with MODEL.

    Many photos run in the engine that is faster here, by a short trial that is remembered, unless --engine names one.
    Prints a table unless --json is given. Photos that cannot be read are set aside and named, and the rest goes on:
    exit code 3 then, and 2 where no photo is left. The photos themselves are never changed.
    """
    from herder.api import load  # here, since it may load torch

    aside = _Aside()
    detector = augmented(load(model, engine=engine, threads=threads), tta, tta_merge)
    paths = find_photos(photos, recursive=recursive, problem=aside.add)
    if not paths:
        raise DataError("no photos found", hint="name photos, folders of photos or patterns")
    wanted = detector.wanted(score=score, iou=iou, size=size)
    if engine == "auto" and model.suffix == ".onnx" and len(paths) >= WORTH_A_TRIAL:
        fit = detector.fit(4, 3, wanted.size)  # the shape of most photos
        faster = faster_engine(model, threads, canvas=(fit.canvas_height, fit.canvas_width), photos=len(paths))
        if faster != "onnx":
            detector = augmented(load(model, engine=faster, threads=threads), tta, tta_merge)
    names = short_names(paths)
    head = {"model": str(model), "score": wanted.score, "size": wanted.size, **({"tta": tta} if tta else {})}
    shown: list[Output] = [JsonOutput(head, aside.photos) if as_json else TableOutput()]
    if out:
        shown.append(pictures := PictureOutput(out, names))
        refuse_overwriting(pictures.targets, paths, overwrite=overwrite)
    if save_yolo:
        shown.append(labels := YoloOutput(save_yolo, names, detector.class_names))
        refuse_overwriting(labels.targets, paths, overwrite=overwrite)
    coco = CocoOutput(save_coco) if save_coco else None
    if save_coco:
        refuse_overwriting([save_coco], [*paths, model], overwrite=True)
    lowest = min(wanted.score, COCO_SCORE) if coco else wanted.score
    with ExitStack() as stack:
        advance = stack.enter_context(_progress(len(paths)))
        for output in (*shown, *([coco] if coco else [])):
            stack.enter_context(output)
        shots = _readable(paths, names, aside, batch, advance)
        for shot, detections in _detect(detector, shots, lowest, iou, size, batch):
            if coco:
                coco.add(shot, detections.above(COCO_SCORE))
            for output in shown:
                output.add(shot, detections.above(wanted.score))
        if not aside.read:
            raise DataError("no photo could be read", hint="check the paths; the messages above say what is wrong")
    if aside.photos:
        raise typer.Exit(SET_ASIDE)


class _Aside:
    """What could not be used, told on standard error at once, and how many photos could."""

    def __init__(self) -> None:
        self.photos: list[tuple[str, str]] = []
        self.read = 0
        self._console = Console(stderr=True, soft_wrap=True)

    def add(self, name: str, reason: str) -> None:
        """Set one photo or pattern aside."""
        self.photos.append((name, reason))
        text = reason if reason.startswith(name) else f"{name}: {reason}"
        self._console.print(f"set aside: {text}", markup=False, highlight=False)


def _readable(
    paths: Sequence[Path], names: Sequence[PurePosixPath], aside: _Aside, batch: int, advance: Callable[[], None]
) -> Iterator[Shot]:
    """The photos that can be read, decoded a few ahead of the network; memory does not grow with their number."""
    pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="herder-read")
    coming = zip(paths, names, strict=True)
    waiting: deque[tuple[Path, PurePosixPath, Future[NDArray[np.uint8]]]] = deque()

    def read_next() -> None:
        for path, name in islice(coming, 1):
            waiting.append((path, name, pool.submit(read_image, path)))

    try:
        for _ in range(batch + 2):
            read_next()
        while waiting:
            path, name, pixels = waiting.popleft()
            try:
                shot = Shot(path, name, pixels.result())
            except DataError as error:
                aside.add(str(path), error.message)
            else:
                aside.read += 1
                yield shot
            read_next()
            advance()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _detect(
    detector: Detector, shots: Iterator[Shot], score: float, iou: float | None, size: int | None, batch: int
) -> Iterator[tuple[Shot, Detections]]:
    """Each photo with what was found on it, in order."""
    pending: deque[Shot] = deque()

    def pixels() -> Iterator[NDArray[np.uint8]]:
        for shot in shots:
            pending.append(shot)
            yield shot.pixels

    for found in detector.stream(pixels(), score=score, iou=iou, size=size, batch=batch):
        yield pending.popleft(), found


@contextmanager
def _progress(total: int) -> Iterator[Callable[[], None]]:
    """A progress bar on a terminal's standard error, which leaves nothing behind; nothing elsewhere."""
    console = Console(stderr=True)
    columns = TextColumn("detecting"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal or total < 2) as bar:
        task = bar.add_task("detecting", total=total)
        yield lambda: bar.advance(task)
