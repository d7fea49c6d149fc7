"""How long the training loader takes: each augmentation alone, whole training pictures, and whole epochs.

    python benchmarks/loader.py                          # made-up photos of 640 x 480 pixels
    python benchmarks/loader.py --data FOLDER --json loader.json

Augmentations and pictures run in one thread with cached photos; each is timed on its own, in milliseconds a picture.
Epochs run through the pipeline as training does, with nothing to compute in between, in pictures a second.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from herder.data.augmentation import (
    AugmentationConfig,
    affine,
    blur,
    copy_paste,
    cutout,
    flip_horizontal,
    grey,
    hsv,
    letterbox,
    mixup,
    mosaic,
)
from herder.data.dataset import TrainingDataset
from herder.data.formats import read_dataset
from herder.data.photo_cache import PhotoCache
from herder.data.pipeline import TrainingPipeline, collate
from herder.data.records import Dataset, ImageRecord
from herder.files import write_atomic

PHOTOS = 100
"""Photos that are made up where none are given."""


def made_up_photos(folder: Path) -> Dataset:
    """Write JPEGs of clouds of colour, with three boxes each: as costly to decode as real photos."""
    rng = np.random.default_rng(0)
    records = []
    for i in range(PHOTOS):
        picture = cv2.resize(
            rng.integers(0, 256, (30, 40, 3), dtype=np.uint8), (640, 480), interpolation=cv2.INTER_CUBIC
        )
        path = folder / f"{i:03}.jpg"
        path.write_bytes(cv2.imencode(".jpg", picture)[1].tobytes())
        corners = rng.uniform(0, [400, 300], (3, 2))
        records.append(
            ImageRecord(path, 640, 480, np.hstack([corners, corners + rng.uniform(20, 180, (3, 2))]), [0] * 3)
        )
    return Dataset(tuple(records), ("alpaca",), folder)


def milliseconds(job: Callable[[], object], seconds: float) -> float:
    """Median time of ``job`` over as many calls as fit into ``seconds``, after a warm-up."""
    for _ in range(5):
        job()
    times = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 10:
        start = time.perf_counter()
        job()
        times.append(time.perf_counter() - start)
    return float(np.median(times)) * 1e3


def time_augmentations(dataset: Dataset, size: int, seconds: float) -> dict[str, float]:
    """Milliseconds of each augmentation on a picture of ``size`` pixels, and of whole training pictures."""
    rng = np.random.default_rng(0)
    config = AugmentationConfig()
    turned = AugmentationConfig(degrees=10, shear=5)
    deep = AugmentationConfig(perspective=0.1)
    items = TrainingDataset(dataset, size, config, seed=0)
    items.cache.fill(threads=1)
    photos = [items.photo(i) for i in range(len(dataset))]
    canvases = [mosaic(rng, [photos[i % len(photos)] for i in range(k, k + 4)], size, config) for k in range(16)]

    def photo() -> int:
        return int(rng.integers(len(photos)))

    def canvas() -> int:
        return int(rng.integers(len(canvases)))

    def four() -> list:
        return [photos[photo()] for _ in range(4)]

    jobs: dict[str, Callable[[], object]] = {
        "letterbox": lambda: letterbox(photos[photo()], size),
        "affine": lambda: affine(rng, photos[photo()], size, config),
        "mosaic": lambda: mosaic(rng, four(), size, config),
        "mosaic, turned and sheared": lambda: mosaic(rng, four(), size, turned),
        "mosaic, perspective": lambda: mosaic(rng, four(), size, deep),
        "mixup": lambda: mixup(rng, canvases[canvas()], canvases[canvas()], config),
        "copy-paste": lambda: copy_paste(rng, canvases[canvas()], photos[photo()], config),
        "cutout": lambda: cutout(rng, canvases[canvas()], config),
        "hsv": lambda: hsv(rng, canvases[canvas()], config),
        "grey": lambda: grey(canvases[canvas()]),
        "blur": lambda: blur(rng, canvases[canvas()]),
        "flip": lambda: flip_horizontal(canvases[canvas()]),
        "collate, a picture": lambda: collate([canvases[canvas()]]),
    }
    plans = {"default": config, "light": AugmentationConfig.light(), "none": AugmentationConfig.none()}
    for name, plan in plans.items():
        whole = TrainingDataset(dataset, size, plan, seed=0)
        whole.cache = items.cache
        jobs[f"whole picture, {name}"] = lambda whole=whole: whole.item(0, int(rng.integers(len(whole))))
    return {name: milliseconds(job, seconds) for name, job in jobs.items()}


def time_epochs(dataset: Dataset, size: int, batch: int, workers: int) -> dict[str, float]:
    """Pictures a second of a first epoch, which decodes the photos, and of the next ones."""
    options = {"size": size, "batch_size": batch, "augmentation": AugmentationConfig(), "seed": 0, "workers": workers}
    with TrainingPipeline(dataset, **options) as pipeline:
        speeds = []
        for epoch in range(4):
            start = time.perf_counter()
            pictures = sum(len(made) for made in pipeline.epoch(epoch))
            speeds.append(pictures / (time.perf_counter() - start))
    return {"first": speeds[0], "next": float(np.median(speeds[1:]))}


def time_decoding(dataset: Dataset, size: int) -> float:
    """Milliseconds to decode and reduce a photo."""
    cache = PhotoCache(dataset.records, size, budget=0)
    indices = range(min(50, len(dataset)))
    start = time.perf_counter()
    for i in indices:
        cache.photo(i)
    return (time.perf_counter() - start) / len(indices) * 1e3


def main() -> None:
    """Measure, print a table, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder of labelled photos; made-up ones without it")
    parser.add_argument("--split", default="train")
    parser.add_argument("--size", type=int, default=320, help="side of a training picture in pixels")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--workers", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--seconds", type=float, default=1.0, help="time for each augmentation")
    parser.add_argument("--json", type=Path, help="write the numbers here too")
    args = parser.parse_args()
    threads = cv2.getNumThreads()
    with tempfile.TemporaryDirectory() as folder:
        dataset = read_dataset(args.data, split=args.split) if args.data else made_up_photos(Path(folder))
        cv2.setNumThreads(0)
        decoding = time_decoding(dataset, args.size)
        steps = time_augmentations(dataset, args.size, args.seconds)
        cv2.setNumThreads(threads)
        epochs = {workers: time_epochs(dataset, args.size, args.batch, workers) for workers in args.workers}
    print(f"{len(dataset)} photos, pictures of {args.size} pixels, batches of {args.batch}; one thread\n")
    print(f"{'step':<30}{'ms':>8}{'a second':>12}")
    for name, ms in {"decode a photo": decoding, **steps}.items():
        print(f"{name:<30}{ms:>8.2f}{1e3 / ms:>12,.0f}")
    print(f"\n{'epoch':<30}{'first':>8}{'next':>12}   pictures a second")
    for workers, speed in epochs.items():
        name = f"{workers} workers" if workers else "a thread (workers=0)"
        print(f"{name:<30}{speed['first']:>8.0f}{speed['next']:>12.0f}")
    if args.json:
        numbers = {
            "machine": platform.processor() or platform.machine(),
            "photos": len(dataset),
            "size": args.size,
            "batch": args.batch,
            "milliseconds": {"decode": decoding, **steps},
            "pictures_per_second": {str(workers): speed for workers, speed in epochs.items()},
        }
        write_atomic(args.json, json.dumps(numbers, indent=2).encode())


if __name__ == "__main__":
    main()
