from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from herder.augmented_inference import AugmentedDetector, Merge
from herder.data.records import Dataset, ImageRecord, Problem
from herder.detections import Detections
from herder.errors import ConfigError, ModelFileError, ResourceError
from herder.evaluation import evaluate_detector
from herder.evaluation.prediction_store import (
    PredictionKey,
    PredictionStore,
    file_sha256,
    photos_sha256,
    predictions_of,
)
from herder.inference import Detector
from herder.spec import example_spec

KEY = PredictionKey("model", "photos", 64, 0.01, 0.6, 300)


class BrightSpots:
    """An engine that finds the white rectangle in each canvas and counts its calls."""

    needs_nms = True
    fixed_size = None
    spec = example_spec().replace(input_size=64)

    def __init__(self) -> None:
        self.calls = 0

    def predict(self, canvases: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        self.calls += 1
        boxes, scores = np.zeros((len(canvases), 1, 4), np.float32), np.zeros((len(canvases), 1, 1), np.float32)
        for i, canvas in enumerate(canvases):
            y, x = np.nonzero(canvas.min(axis=2) > 240)
            if len(x):
                boxes[i, 0] = x.min(), y.min(), x.max() + 1, y.max() + 1
                scores[i, 0, 0] = 0.9
        return boxes, scores


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    records = []
    for name, left in (("a", 8), ("b", 16), ("c", 24)):
        picture = np.zeros((64, 64, 3), np.uint8)
        picture[8:40, left : left + 32] = 255
        Image.fromarray(picture).save(tmp_path / f"{name}.png")
        records.append(ImageRecord(tmp_path / f"{name}.png", 64, 64, [[8, 8, 40, 40]], [0]))
    return Dataset(tuple(records), ("alpaca",), tmp_path, "val")


def same(a: list[Detections], b: list[Detections]) -> bool:
    return len(a) == len(b) and all(
        np.array_equal(x.boxes, y.boxes)
        and np.array_equal(x.scores, y.scores)
        and np.array_equal(x.classes, y.classes)
        and x.class_names == y.class_names
        for x, y in zip(a, b, strict=True)
    )


@pytest.mark.parametrize(
    "found",
    [
        [],
        [Detections.empty(("alpaca",))],
        [Detections([[1, 2, 3, 4.5]], [0.1], [0], ("a", "b"))],
        [
            Detections([[1, 2, 3, 4], [0, 0, 9, 9]], [0.9, 0.5], [1, 0], ("ä", "b")),
            Detections.empty(("ä", "b")),
            Detections([[5, 5, 6, 6]], [1 / 3], [1], ("ä", "b")),
        ],
    ],
)
def test_what_is_put_comes_back(tmp_path: Path, found: list[Detections]) -> None:
    store = PredictionStore(tmp_path / "store")
    assert store.get(KEY) is None
    store.put(KEY, found)
    back = store.get(KEY)
    assert back is not None
    assert same(found, back)
    for name, value in (("model_sha256", "x"), ("photos_sha256", "x"), ("size", 32), ("score", 0.02), ("iou", 0.5)):
        assert store.get(replace(KEY, **{name: value})) is None
    assert store.get(replace(KEY, limit=100)) is None
    assert store.get(replace(KEY, engine="OnnxEngine")) is None


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "other"])
def test_a_damaged_file_is_no_answer_and_is_said(tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    store = PredictionStore(tmp_path)
    store.put(KEY, [Detections([[1, 2, 3, 4]], [0.9], [0], ("a",))])
    path = store.path(KEY)
    data = bytearray(path.read_bytes())
    data[-3] ^= 64
    path.write_bytes({"cut": bytes(data[:-9]), "flipped": bytes(data), "empty": b"", "other": b"no tensors"}[damage])
    with caplog.at_level(logging.WARNING):
        assert store.get(KEY) is None
    assert f"{path}: damaged" in caplog.text
    store.put(KEY, [])
    assert store.get(KEY) == []


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="cannot be written"):
        PredictionStore(tmp_path / "file" / "store").put(KEY, [])


def test_the_network_runs_once(dataset: Dataset, tmp_path: Path) -> None:
    store, engine, steps = PredictionStore(tmp_path / "store"), BrightSpots(), []
    metrics, found = predictions_of(Detector(engine), dataset, store, "abc")
    calls = engine.calls
    expected, plain = evaluate_detector(Detector(BrightSpots()), dataset)
    again, kept = predictions_of(
        Detector(engine), dataset, store, "abc", progress=lambda done, total: steps.append((done, total))
    )
    assert calls
    assert engine.calls == calls
    assert metrics.as_dict() == pytest.approx(expected.as_dict(), nan_ok=True)
    assert again.as_dict() == pytest.approx(expected.as_dict(), nan_ok=True)
    assert same(found, plain)
    assert same(kept, plain)
    assert steps == [(3, 3)]
    predictions_of(Detector(engine), dataset, store, "abd")  # another model
    predictions_of(Detector(engine), dataset, store, "abc", size=96)  # another setting
    assert engine.calls == 3 * calls


def test_unreadable_photos_are_told_each_time(dataset: Dataset, tmp_path: Path) -> None:
    dataset[1].path.write_bytes(b"no photo")
    store, told = PredictionStore(tmp_path / "store"), []
    results = [
        predictions_of(Detector(BrightSpots()), dataset, store, "abc", on_problem=told.append)[0] for _ in range(2)
    ]
    assert [metrics.photos for metrics in results] == [2, 2]
    assert [problem.path.name for problem in told] == ["b.png", "b.png"]
    assert isinstance(told[0], Problem)
    assert told[0] == told[1]


def test_photos_digest(dataset: Dataset) -> None:
    digest = photos_sha256(dataset)
    assert photos_sha256(replace(dataset, split="x")) == digest
    assert photos_sha256(dataset.select([1, 0, 2])) != digest
    assert photos_sha256(replace(dataset, class_names=("llama",))) != digest
    data = dataset[0].path.read_bytes()
    dataset[0].path.unlink()
    assert photos_sha256(dataset) != digest
    dataset[0].path.write_bytes(data)
    assert photos_sha256(dataset) == digest


def test_what_cannot_be_used(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no photos"):
        predictions_of(Detector(BrightSpots()), dataset.select([]), PredictionStore(tmp_path), "abc")
    with pytest.raises(ModelFileError, match="no such file"):
        file_sha256(tmp_path / "no.onnx")
    with pytest.raises(ModelFileError, match="cannot be read"):
        file_sha256(tmp_path)


def test_further_looks_at_the_photos_are_another_run(dataset: Dataset, tmp_path: Path) -> None:
    store, engine = PredictionStore(tmp_path / "store"), BrightSpots()
    detectors = [
        Detector(engine),
        AugmentedDetector(engine, "flip"),
        AugmentedDetector(engine, "flip", Merge.NMS),
        AugmentedDetector(engine, "flip,96"),
    ]
    for detector in detectors:
        predictions_of(detector, dataset, store, "digest")
    assert len(list(store.folder.iterdir())) == len(detectors)
    calls = engine.calls
    predictions_of(AugmentedDetector(engine, "flip"), dataset, store, "digest")
    assert engine.calls == calls
