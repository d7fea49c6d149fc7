"""faster-coco-eval behind herder against pycocotools, the reference."""

from __future__ import annotations

import contextlib
import io
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from herder.data.records import ImageRecord
from herder.detections import Detections
from herder.evaluation import Metrics, evaluate_detections

pycocotools = pytest.importorskip("pycocotools.coco")
cocoeval = pytest.importorskip("pycocotools.cocoeval")

NAMES = ("alpaca", "llama", "sheep")
ORDER = ("mAP50_95", "mAP50", "mAP75", "AP_small", "AP_medium", "AP_large", "AR_1", "AR_10", "AR_100")


def record(boxes: Any = (), classes: Any = None, ignore: Any = None) -> ImageRecord:
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    zeros = np.zeros(len(boxes), np.int64)
    return ImageRecord(
        Path("photo.jpg"), 640, 480, boxes, zeros if classes is None else classes, zeros if ignore is None else ignore
    )


def found(boxes: Any = (), scores: Any = (), classes: Any = None) -> Detections:
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    return Detections(boxes, scores, np.zeros(len(boxes), np.int64) if classes is None else classes)


def reference(detections: list[Detections], records: list[ImageRecord], classes: int) -> dict[str, float]:
    """The nine numbers by pycocotools; -1 becomes NaN."""
    truth_rows, found_rows = [], []
    for image, (photo, seen) in enumerate(zip(records, detections, strict=True), start=1):
        for box, name, crowd in zip(photo.boxes.astype(float), photo.classes, photo.ignore, strict=True):
            x, y, w, h = box[0], box[1], box[2] - box[0], box[3] - box[1]
            row = {"image_id": image, "category_id": int(name), "bbox": [x, y, w, h], "area": w * h}
            truth_rows.append({**row, "iscrowd": int(crowd), "id": len(truth_rows) + 1})
        for box, score, name in zip(seen.boxes.astype(float), seen.scores, seen.classes, strict=True):
            x, y, w, h = box[0], box[1], box[2] - box[0], box[3] - box[1]
            row = {"image_id": image, "category_id": int(name), "bbox": [x, y, w, h], "area": w * h}
            found_rows.append({**row, "score": float(score), "id": len(found_rows) + 1, "iscrowd": 0})
    with contextlib.redirect_stdout(io.StringIO()):
        both = []
        for rows in (truth_rows, found_rows):
            api = pycocotools.COCO()
            api.dataset = {
                "images": [{"id": i} for i in range(1, len(records) + 1)],
                "categories": [{"id": i} for i in range(classes)],
                "annotations": rows,
            }
            api.createIndex()
            both.append(api)
        evaluation = cocoeval.COCOeval(*both, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    values = {name: float(v) for name, v in zip(ORDER, evaluation.stats[:9], strict=True)}
    precision = evaluation.eval["precision"][:, :, :, 0, 2]
    for k in range(classes):
        values[f"class {k} 50"] = float(precision[0, :, k].mean())
        values[f"class {k}"] = float(precision[:, :, k].mean())
    return {name: math.nan if v == -1 else v for name, v in values.items()}


def ours(metrics: Metrics) -> dict[str, float]:
    values = {name: value for name, value in metrics.as_dict().items() if name in ORDER}
    for k, of_class in enumerate(metrics.per_class):
        values[f"class {k} 50"] = of_class.map50
        values[f"class {k}"] = of_class.map50_95
    return values


def assert_agrees(detections: list[Detections], records: list[ImageRecord], names: tuple[str, ...] = NAMES) -> Metrics:
    metrics = evaluate_detections(detections, records, names)
    assert ours(metrics) == pytest.approx(reference(detections, records, len(names)), abs=1e-6, nan_ok=True)
    return metrics


def random_scene(rng: np.random.Generator, photos: int, most: int, names: int = 3, jitter: float = 8) -> Any:
    """Photos whose detections are jittered truth plus noise, with coarse scores so that ties are common."""
    records, detections = [], []
    for _ in range(photos):
        n = int(rng.integers(0, 8))
        corner = rng.uniform(0, 400, (n, 2))
        boxes = np.concatenate([corner, corner + rng.uniform(4, 200, (n, 2))], axis=1)
        classes = rng.integers(0, names, n)
        records.append(record(boxes, classes, rng.random(n) < 0.2))
        m = int(rng.integers(0, most))
        if n:
            pick = rng.integers(0, n, m)
            seen = boxes[pick] + rng.normal(0, jitter, (m, 4))
            seen_classes = np.where(rng.random(m) < 0.8, classes[pick], rng.integers(0, names, m))
        else:
            corner = rng.uniform(0, 400, (m, 2))
            seen, seen_classes = np.concatenate([corner, corner + 50], axis=1), rng.integers(0, names, m)
        seen[:, 2:] = np.maximum(seen[:, 2:], seen[:, :2] + 1)
        detections.append(found(seen, rng.integers(1, 20, m) / 20, seen_classes))
    return detections, records


@pytest.mark.parametrize("seed", range(8))
def test_agrees_with_pycocotools_on_random_scenes(seed: int) -> None:
    assert_agrees(*random_scene(np.random.default_rng(seed), photos=30, most=25))


def test_more_than_100_detections_in_a_photo() -> None:
    assert_agrees(*random_scene(np.random.default_rng(3), photos=4, most=400, jitter=20))
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 400, (150, 2))
    boxes = np.concatenate([corner, corner + 40], axis=1)
    # 150 right ones with one score: only the first 100 of the tie count.
    metrics = assert_agrees([found(boxes, np.full(150, 0.5))], [record(boxes)], ("alpaca",))
    assert metrics.ar_100 == pytest.approx(100 / 150)
    assert (metrics.precision, metrics.recall) == (1.0, pytest.approx(100 / 150))


BOX = [10, 10, 60, 60]
FAR = [300, 300, 360, 380]
CASES: dict[str, tuple[list[Detections], list[ImageRecord]]] = {
    "one of each": ([found([BOX], [0.9])], [record([BOX])]),
    "no detections": ([found(), found()], [record([BOX]), record([FAR])]),
    "no truth": ([found([BOX], [0.9])], [record()]),
    "nothing at all": ([found()], [record()]),
    "an empty photo among others": ([found(), found([BOX], [0.5])], [record(), record([BOX])]),
    "false alarm on an empty photo": ([found([FAR], [0.9]), found([BOX], [0.5])], [record(), record([BOX])]),
    "only crowd": ([found([BOX], [0.9])], [record([BOX], ignore=[True])]),
    "crowd takes many": (
        [found([[0, 0, 20, 20], [30, 30, 50, 50], FAR], [0.9, 0.8, 0.7])],
        [record([[0, 0, 100, 100], FAR], ignore=[True, False])],
    ),
    "a box that counts comes before a crowd": (
        [found([[10, 10, 60, 50]], [0.9])],
        [record([[0, 0, 100, 100], BOX], ignore=[True, False])],
    ),
    "ties across photos": (
        [found([BOX, FAR], [0.5, 0.5]), found([FAR, BOX], [0.5, 0.5])],
        [record([BOX]), record([BOX])],
    ),
    "duplicates of one box": ([found([BOX, BOX, BOX], [0.5, 0.5, 0.9])], [record([BOX])]),
    "a class without truth": ([found([BOX, FAR], [0.9, 0.8], [0, 1])], [record([BOX], [0])]),
    "the wrong class": ([found([BOX], [0.9], [2])], [record([BOX], [1])]),
    "exactly half overlap": ([found([[10, 10, 60, 35]], [0.9])], [record([BOX])]),
    "areas on the borders": (
        [found([[0, 0, 32, 32], [100, 100, 196, 196]], [0.9, 0.8])],
        [record([[0, 0, 32, 32], [100, 100, 196, 196]])],
    ),
    "equal overlaps": ([found([BOX, BOX], [0.9, 0.8])], [record([BOX, BOX])]),
}


@pytest.mark.parametrize("case", CASES)
def test_agrees_with_pycocotools_on_edge_cases(case: str) -> None:
    assert_agrees(*CASES[case])


def test_no_photos_at_all() -> None:
    metrics = evaluate_detections([], [], NAMES)
    assert math.isnan(metrics.map50)
    assert math.isnan(metrics.recall)
    assert metrics.truths == metrics.photos == 0
    assert metrics.threshold == 0.25


coordinate = st.integers(0, 60)
box = st.tuples(coordinate, coordinate, st.integers(1, 50), st.integers(1, 50)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)


@st.composite
def scenes(draw: st.DrawFn) -> tuple[list[Detections], list[ImageRecord]]:
    """Small whole numbers: overlaps and scores tie as often as they can."""
    detections, records = [], []
    for _ in range(draw(st.integers(1, 3))):
        truth = draw(st.lists(st.tuples(box, st.integers(0, 1), st.booleans()), max_size=5))
        seen = draw(st.lists(st.tuples(box, st.integers(0, 1), st.sampled_from([0.25, 0.5, 0.75])), max_size=8))
        copies = draw(st.lists(st.sampled_from(truth), max_size=4)) if truth else []
        seen += [(b, c, 0.5) for b, c, _ in copies]
        records.append(record([t[0] for t in truth], [t[1] for t in truth], [t[2] for t in truth]))
        detections.append(found([s[0] for s in seen], [s[2] for s in seen], [s[1] for s in seen]))
    return detections, records


@settings(max_examples=150, deadline=None)
@given(scenes())
def test_agrees_with_pycocotools_on_anything(scene: tuple[list[Detections], list[ImageRecord]]) -> None:
    assert_agrees(*scene, NAMES[:2])


@pytest.mark.parametrize("broken", [[np.nan, 0, 5, 5], [np.inf, 0, np.inf, 5], [60, 60, 10, 10], [5, 5, 5, 5]])
def test_a_broken_box_is_a_false_alarm(broken: list[float]) -> None:
    metrics = evaluate_detections([found([broken, BOX], [0.9, 0.8])], [record([BOX])], ("alpaca",))
    assert metrics.map50 == pytest.approx(0.5)
    assert (metrics.precision, metrics.recall) == (0.5, 1.0)


def test_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    evaluate_detections(*CASES["one of each"], NAMES)
    assert capfd.readouterr() == ("", "")


def test_input_is_left_as_it_was() -> None:
    detections, records = random_scene(np.random.default_rng(5), photos=5, most=10)
    before = [(d.boxes.copy(), d.scores.copy()) for d in detections]
    first = evaluate_detections(detections, records, NAMES)
    assert evaluate_detections(detections, records, NAMES).as_dict() == first.as_dict()
    for (boxes, scores), after in zip(before, detections, strict=True):
        np.testing.assert_array_equal(boxes, after.boxes)
        np.testing.assert_array_equal(scores, after.scores)


def test_lengths_and_classes_are_checked() -> None:
    with pytest.raises(ValueError, match="2 photos do not match 1 records"):
        evaluate_detections([found(), found()], [record()], NAMES)
    with pytest.raises(ValueError, match="out of range for 3 names"):
        evaluate_detections([found([BOX], [0.5], [3])], [record()], NAMES)


def test_100_photos_of_300_detections_take_well_under_a_second() -> None:
    rng = np.random.default_rng(1)
    detections, records = [], []
    for _ in range(100):
        corner = rng.uniform(0, 500, (8, 2))
        boxes = np.concatenate([corner, corner + rng.uniform(10, 150, (8, 2))], axis=1)
        seen = np.repeat(boxes, 38, axis=0)[:300] + rng.normal(0, 10, (300, 4))
        records.append(record(boxes, rng.integers(0, 3, 8)))
        detections.append(found(seen, rng.random(300), rng.integers(0, 3, 300)))
    took = []
    for _ in range(3):
        start = time.process_time()
        evaluate_detections(detections, records, NAMES)
        took.append(time.process_time() - start)
    assert min(took) < 0.5
