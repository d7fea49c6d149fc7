"""Is mAP right, how fast is it, and how long does a bootstrap over photos take?

    python benchmarks/evaluation.py [--quick] [--json FILE]

Compares mAP with pycocotools on 200 random datasets with crowds, equal scores and empty photos; takes the time of both,
reading of their inputs included, on 5,000 photos with 36,000 boxes; and draws those photos 2,000 times. Prints a table
and writes benchmarks/results/evaluation.json.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from herder.evaluation import coco_engines
from herder.evaluation.average_precision import evaluate_tables
from herder.evaluation.coco_engines import ALL, coco_arrays
from herder.evaluation.photo_matches import PhotoMatches
from herder.evaluation.resampled_precision import resample
from herder.evaluation.tables import DetectionTable, TruthTable

RESULTS = Path(__file__).parent / "results" / "evaluation.json"

PHOTOS, BOXES, DETECTIONS, CLASSES = 5_000, 36_000, 100_000, 10

Scene = tuple[TruthTable, DetectionTable, int, int]


def scene(rng: np.random.Generator, photos: int, boxes: int, detections: int, classes: int, *, ties: bool) -> Scene:
    """Boxes in photos at random, so that some are empty; three in five detections are near one, a tenth are crowds."""
    at = np.sort(rng.integers(0, photos, boxes))
    sides = np.exp(rng.normal(3.8, 0.8, (boxes, 2)))
    where = np.concatenate([rng.uniform(0, 500, (boxes, 2)), sides], axis=1)
    kinds = rng.integers(0, classes, boxes)
    truth = TruthTable(at, kinds, where, rng.random(boxes) < 0.1, sides.prod(axis=1))
    near = rng.random(detections) < (0.6 if boxes else 0)
    pick = rng.integers(0, max(boxes, 1), detections)
    seen = np.concatenate([rng.uniform(0, 500, (detections, 2)), np.exp(rng.normal(3.8, 0.8, (detections, 2)))], axis=1)
    photo, label = rng.integers(0, photos, detections), rng.integers(0, classes, detections)
    if boxes:
        moved = where[pick] + rng.normal(0, 0.12, (detections, 4)) * np.tile(sides[pick], 2)
        seen, photo = np.where(near[:, None], moved, seen), np.where(near, at[pick], photo)
        label = np.where(near & (rng.random(detections) < 0.9), kinds[pick], label)
    seen[:, 2:] = np.maximum(seen[:, 2:], 1)
    scores = rng.integers(1, 20, detections) / 20 if ties else rng.random(detections) * np.where(near, 1, 0.6)
    order = np.argsort(photo, kind="stable")
    return truth, DetectionTable(photo[order], label[order], seen[order], scores[order]), photos, classes


def rows_of(data: Scene) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Labels and detections as the objects that pycocotools takes."""
    both: list[list[dict[str, Any]]] = []
    for table in data[:2]:
        assert isinstance(table, TruthTable | DetectionTable)
        rows = [
            {"id": i, "image_id": photo + 1, "category_id": kind, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
            for i, (photo, kind, box) in enumerate(
                zip(table.photos.tolist(), table.classes.tolist(), table.boxes.tolist(), strict=True), 1
            )
        ]
        if isinstance(table, TruthTable):
            extra = {"iscrowd": table.ignore.astype(int).tolist(), "area": table.areas.tolist()}
        else:
            extra = {"score": table.scores.tolist()}
        for name, values in extra.items():
            for row, value in zip(rows, values, strict=True):
                row[name] = value
        both.append(rows)
    return both[0], both[1]


def pycocotools_map(data: Scene, rows: tuple[list[dict[str, Any]], list[dict[str, Any]]]) -> tuple[float, float]:
    """mAP50 and mAP50-95 by the reference, -1 where nothing is labelled."""
    with contextlib.redirect_stdout(io.StringIO()):
        apis = []
        for annotations in rows:
            api = COCO()
            images, categories = [{"id": i} for i in range(1, data[2] + 1)], [{"id": k} for k in range(data[3])]
            api.dataset = {"images": images, "categories": categories, "annotations": annotations}
            api.createIndex()
            apis.append(api)
        evaluation = COCOeval(*apis, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    average = evaluation.eval["precision"][:, :, :, ALL, -1]
    return mean_of(average[0]), mean_of(average)


def mean_of(values: Any) -> float:
    """The mean of what is defined, -1 where nothing is."""
    return float(values[values > -1].mean()) if (values > -1).any() else -1.0


def engine_map(data: Scene) -> tuple[float, float]:
    """The same by the engine behind herder's mAP."""
    average = coco_arrays(*data).precision[..., ALL]
    return mean_of(average[0]), mean_of(average)


def core_map(data: Scene) -> tuple[float, float]:
    """The same by the matching core."""
    found = PhotoMatches.of(*data).map()
    return (-1.0, -1.0) if np.isnan(found[0]) else found


def installed_engines() -> list[str]:
    """The engines that can be imported, the preferred one first."""
    return [name for name in coco_engines.ENGINES if importlib.util.find_spec(name)]


@contextlib.contextmanager
def only(engine: str) -> Any:
    """Run with this engine alone."""
    every = coco_engines.ENGINES
    coco_engines.ENGINES = {engine: every[engine]}
    try:
        yield
    finally:
        coco_engines.ENGINES = every


def equality(datasets: int) -> dict[str, Any]:
    """The largest difference from pycocotools over random datasets, for each way to mAP."""
    worst = dict.fromkeys([*installed_engines(), "matching core"], 0.0)
    crowds = empty = 0
    for seed in range(datasets):
        rng = np.random.default_rng(seed)
        photos = int(rng.integers(1, 40))
        boxes = int(rng.integers(0, 6 * photos))
        data = scene(rng, photos, boxes, int(rng.integers(0, 20 * photos)), int(rng.integers(1, 6)), ties=seed % 2 == 0)
        crowds += int(data[0].ignore.sum())
        empty += photos - len(np.unique(data[0].photos))
        expected = np.array(pycocotools_map(data, rows_of(data)))
        for name in worst:
            if name == "matching core":
                found = core_map(data)
            else:
                with only(name):
                    found = engine_map(data)
            worst[name] = max(worst[name], float(np.abs(expected - found).max()))
    return {"datasets": datasets, "crowds": crowds, "empty_photos": empty, "largest_difference": worst}


def seconds(work: Callable[[], object], repeats: int) -> float:
    """The median of some runs."""
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def main() -> None:
    """Compare, take times, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few and small datasets: does it run at all?")
    parser.add_argument("--json", type=Path, help="file to write, benchmarks/results/evaluation.json by default")
    options = parser.parse_args()
    small = 20 if options.quick else 1
    equal = equality(200 // small)
    for name, difference in equal["largest_difference"].items():
        print(f"{name}: at most {difference:.1e} from pycocotools on {equal['datasets']} datasets")
    rng = np.random.default_rng(0)
    data = scene(rng, PHOTOS // small, BOXES // small, DETECTIONS // small, CLASSES, ties=False)
    rows = rows_of(data)
    speed: dict[str, float] = {"pycocotools": seconds(lambda: pycocotools_map(data, rows), 3)}
    for name in installed_engines():
        with only(name):
            speed[name] = seconds(lambda: engine_map(data), 5)
    speed["matching core"] = seconds(lambda: core_map(data), 5)
    names = [str(kind) for kind in range(data[3])]
    speed["all of herder's metrics"] = seconds(lambda: evaluate_tables(*data[:3], names), 5)
    for name, value in speed.items():
        print(f"{name}: {value:.3f} s, {speed['pycocotools'] / value:.1f} times as fast as pycocotools")
    matches = PhotoMatches.of(*data)
    draws = 2_000 // small
    bootstrap = {}
    for workers in (1, 2):
        start = time.perf_counter()
        values = resample([matches], draws, seed=0, workers=workers)
        bootstrap[f"{workers} workers"] = time.perf_counter() - start
        print(f"{draws:,} draws with {workers} workers: {bootstrap[f'{workers} workers']:.1f} s")
    deviation = values[:, 0].std(axis=0, ddof=1)
    print(f"standard deviation of mAP50 {deviation[0]:.4f}, of mAP50-95 {deviation[1]:.4f}")
    if options.quick and options.json is None:
        return
    result = {
        "equality": equal,
        "photos": data[2],
        "boxes": len(data[0]),
        "detections": len(data[1]),
        "classes": data[3],
        "seconds": {name: round(value, 4) for name, value in speed.items()},
        "times_faster": {name: round(speed["pycocotools"] / value, 1) for name, value in speed.items()},
        "bootstrap": {"draws": draws, "seconds": {name: round(value, 2) for name, value in bootstrap.items()}},
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": {name: version(name.replace("_", "-")) for name in ("numpy", "pycocotools", *installed_engines())},
    }
    target = options.json or RESULTS
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
