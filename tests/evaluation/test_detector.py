from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from herder.data.records import Dataset, ImageRecord, Problem
from herder.errors import ConfigError, DataError
from herder.evaluation import evaluate_detector
from herder.evaluation.detector import class_mapping, score_floor
from herder.inference import Detector
from herder.spec import ModelSpec, example_spec


class BrightSpots:
    """An engine that finds the white rectangle in each canvas, as the last of its classes."""

    needs_nms = True
    fixed_size = None

    def __init__(self, class_names: tuple[str, ...] = ("alpaca",)) -> None:
        self.spec: ModelSpec = example_spec().replace(class_names=class_names, input_size=64)
        self.batches: list[int] = []

    def predict(self, canvases: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        self.batches.append(len(canvases))
        boxes = np.zeros((len(canvases), 1, 4), np.float32)
        scores = np.zeros((len(canvases), 1, len(self.spec.class_names)), np.float32)
        for i, canvas in enumerate(canvases):
            y, x = np.nonzero(canvas.min(axis=2) > 240)
            if len(x):
                boxes[i, 0] = x.min(), y.min(), x.max() + 1, y.max() + 1
                scores[i, 0, -1] = 0.9
        return boxes, scores


def photo(path: Path, box: tuple[int, int, int, int] | None = (8, 8, 40, 40), size: tuple[int, int] = (64, 64)) -> Path:
    picture = np.zeros((size[1], size[0], 3), np.uint8)
    if box:
        picture[box[1] : box[3], box[0] : box[2]] = 255
    Image.fromarray(picture).save(path)
    return path


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    records = [
        ImageRecord(photo(tmp_path / "a.png"), 64, 64, [[8, 8, 40, 40]], [0]),
        ImageRecord(photo(tmp_path / "b.png", None), 64, 64, [], []),
        ImageRecord(photo(tmp_path / "c.png", size=(128, 64)), 128, 64, [[8, 8, 40, 40]], [0]),
    ]
    return Dataset(tuple(records), ("alpaca",), tmp_path, "val")


def test_measures_and_reports_progress(dataset: Dataset) -> None:
    engine, seen = BrightSpots(), []
    metrics, detections = evaluate_detector(
        Detector(engine), dataset, batch=2, progress=lambda done, total: seen.append((done, total))
    )
    assert metrics.map50_95 == pytest.approx(1)
    assert [len(found) for found in detections] == [1, 0, 1]
    np.testing.assert_allclose(detections[2].boxes, [[8, 8, 40, 40]])
    assert engine.batches == [2, 1]
    assert seen[-1] == (3, 3)


def test_unreadable_photos_are_set_aside(dataset: Dataset) -> None:
    dataset[0].path.write_bytes(dataset[0].path.read_bytes()[:60])
    photo(dataset[1].path, size=(32, 64))
    problems: list[Problem] = []
    metrics, detections = evaluate_detector(Detector(BrightSpots()), dataset, on_problem=problems.append)
    assert [len(found) for found in detections] == [0, 0, 1]
    assert (metrics.photos, metrics.truths, metrics.map50) == (1, 1, pytest.approx(1))
    assert [p.path.name for p in problems] == ["a.png", "b.png"]
    assert problems[1].message == "32 x 64 pixels, but labelled as 64 x 64"


def test_what_is_set_aside_is_logged_by_default(dataset: Dataset, caplog: pytest.LogCaptureFixture) -> None:
    dataset[0].path.unlink()
    with caplog.at_level(logging.WARNING):
        evaluate_detector(Detector(BrightSpots()), dataset)
    assert "a.png: no such file" in caplog.text


def test_no_photo_that_can_be_read(dataset: Dataset) -> None:
    for record in dataset:
        record.path.unlink()
    with pytest.raises(DataError, match="none of the 3 photos can be read"):
        evaluate_detector(Detector(BrightSpots()), dataset, on_problem=lambda _: None)


def test_no_photos(dataset: Dataset) -> None:
    with pytest.raises(ConfigError, match="has no photos"):
        evaluate_detector(Detector(BrightSpots()), dataset.select([]))


def test_classes_are_matched_by_name(dataset: Dataset) -> None:
    metrics, detections = evaluate_detector(Detector(BrightSpots(("dog", "alpaca"))), dataset)
    assert metrics.map50 == pytest.approx(1)
    assert detections[0].names == ["alpaca"]
    # What the data do not know is left out, not a false alarm.
    other, detections = evaluate_detector(Detector(BrightSpots(("alpaca", "dog"))), dataset)
    assert (other.map50, len(detections[0])) == (0, 0)


def test_no_class_in_common(dataset: Dataset) -> None:
    with pytest.raises(ConfigError, match="the model knows dog, the dataset alpaca"):
        evaluate_detector(Detector(BrightSpots(("dog",))), dataset)
    with pytest.raises(ConfigError, match="a, b, c, d, e and 2 more"):
        class_mapping(tuple("abcdefg"), ("x",), {})


def test_other_classes_can_be_counted_as_one(dataset: Dataset) -> None:
    class Both(BrightSpots):
        """Finds everything twice: as a llama and, a little surer, as a sheep."""

        def predict(self, canvases: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
            boxes, scores = super().predict(canvases)
            scores[..., 0] = scores[..., 1] * 0.9
            return boxes, scores

    detector = Detector(Both(("llama", "sheep")))
    metrics, detections = evaluate_detector(detector, dataset, count_as={"llama": "alpaca", "sheep": "alpaca"})
    assert [len(found) for found in detections] == [1, 0, 1]  # the double is suppressed
    assert (metrics.map50, metrics.precision) == (pytest.approx(1), 1)
    with pytest.raises(ConfigError, match="the model knows no class goat"):
        evaluate_detector(detector, dataset, count_as={"goat": "alpaca"})
    with pytest.raises(ConfigError, match="the dataset knows no class goat"):
        evaluate_detector(detector, dataset, count_as={"sheep": "goat"})


def test_size_must_fit_the_stride(dataset: Dataset) -> None:
    with pytest.raises(ConfigError, match="multiple of 32"):
        evaluate_detector(Detector(BrightSpots()), dataset, size=50)


@pytest.mark.parametrize("temperature", [0.5, 0.9, 3.0])
def test_calibration_changes_no_detection_that_counts(dataset: Dataset, temperature: float) -> None:
    """Scores close to the floor stay in: mAP is that of the scores before calibration."""

    class Unsure(BrightSpots):
        def predict(self, canvases: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
            boxes, scores = super().predict(canvases)
            return boxes, scores / 75  # 0.012

    before, after = Unsure(), Unsure()
    after.spec = before.spec.tempered(temperature)
    plain, found = evaluate_detector(Detector(before), dataset)
    calibrated, same = evaluate_detector(Detector(after), dataset)
    assert calibrated.map50_95 == plain.map50_95 == pytest.approx(1)
    assert [len(each) for each in found] == [len(each) for each in same] == [1, 0, 1]
    assert score_floor(before.spec) == pytest.approx(0.01)
