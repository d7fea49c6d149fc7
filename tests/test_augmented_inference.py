"""Test-time augmentation with an engine that finds white rectangles: it knows the truth at every size and mirrored."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray

from herder.augmented_inference import Augmentation, AugmentedDetector, Merge, View, unmirrored
from herder.boxes import FloatArray
from herder.detections import Detections
from herder.errors import ConfigError
from herder.inference import Detector
from herder.spec import example_spec


class WhiteFinder:
    """Boxes each canvas's white pixels; sees what is left of the middle more surely, so that mirrored views differ."""

    def __init__(self, *, fixed_size: int | None = None, temperature: float = 1.0) -> None:
        self.spec = example_spec().replace(input_size=96, score_threshold=0.3, temperature=temperature)
        self.needs_nms, self.fixed_size = True, fixed_size
        self.shapes: list[tuple[int, ...]] = []

    def predict(self, canvases: NDArray[np.uint8]) -> tuple[FloatArray, FloatArray]:
        self.shapes.append(canvases.shape)
        boxes, scores = [], []
        for canvas in canvases:
            y, x = np.nonzero(canvas.min(axis=2) > 200)
            box = (x.min(), y.min(), x.max() + 1, y.max() + 1) if len(x) else (0, 0, 0, 0)
            sure = 0.0 if not len(x) else 0.9 if x.mean() < canvas.shape[1] / 2 else 0.5
            boxes.append([box, (0, 0, 8, 8)])
            scores.append([[sure], [0.2]])
        return np.array(boxes, np.float32), np.array(scores, np.float32)


def photo(left: int = 12, top: int = 6, width: int = 96, height: int = 64) -> NDArray[np.uint8]:
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[top : top + 24, left : left + 30] = 255
    return pixels


def test_mirrored_views_come_back_to_the_same_place() -> None:
    found = AugmentedDetector(WhiteFinder(), "flip").detect(photo())
    np.testing.assert_allclose(found.boxes, [[12, 6, 42, 30]], atol=1e-4)
    np.testing.assert_allclose(found.scores, [(0.9 + 0.5) / 2], rtol=1e-6)  # sure on the left, less when mirrored
    assert found.class_names == ("alpaca",)


def test_suppression_keeps_the_best_look_instead() -> None:
    found = AugmentedDetector(WhiteFinder(), "flip", Merge.NMS).detect(photo())
    np.testing.assert_allclose(found.boxes, [[12, 6, 42, 30]], atol=1e-4)
    np.testing.assert_allclose(found.scores, [0.9], rtol=1e-6)


def test_other_sizes_are_looked_at_and_come_back_to_photo_pixels() -> None:
    engine = WhiteFinder()
    found = AugmentedDetector(engine, "flip,192,64").detect(photo())
    assert [shape[1:3] for shape in engine.shapes] == [(64, 96)] * 2 + [(128, 192)] * 2 + [(64, 64)] * 2
    assert len(found) == 1
    np.testing.assert_allclose(found.boxes, [[12, 6, 42, 30]], atol=1.0)


def test_a_batch_changes_nothing_and_photos_keep_their_order() -> None:
    photos = [photo(left, width=side) for left, side in ((10, 96), (20, 64), (30, 128), (5, 96), (40, 128))]
    detector = AugmentedDetector(WhiteFinder(), "flip,64")
    alone = [detector.detect(one) for one in photos]
    for batch in (2, 8):
        for one, other in zip(alone, detector.detect(photos, batch=batch), strict=True):
            np.testing.assert_allclose(one.boxes, other.boxes, rtol=1e-6)
            np.testing.assert_allclose(one.scores, other.scores, rtol=1e-6)
    assert detector.detect([]) == []


def test_a_higher_threshold_only_leaves_boxes_out() -> None:
    detector = AugmentedDetector(WhiteFinder(), "flip")
    low, high = detector.detect(photo(), score=0.05), detector.detect(photo(), score=0.5)
    assert len(low) == 3  # the faint box of each view, where only that view sees it
    np.testing.assert_array_equal(high.boxes, low.above(0.5).boxes)
    np.testing.assert_array_equal(high.scores, low.above(0.5).scores)
    assert len(detector.detect(photo(), score=0.05, limit=1)) == 1


def test_nothing_found() -> None:
    assert len(AugmentedDetector(WhiteFinder(), "flip").detect(np.zeros((64, 96, 3), np.uint8))) == 0


def test_calibrated_scores_are_merged() -> None:
    plain = Detector(WhiteFinder(temperature=2.0)).detect([photo(), photo()[:, ::-1].copy()], score=0.2)
    found = AugmentedDetector(WhiteFinder(temperature=2.0), "flip").detect(photo(), score=0.3)
    np.testing.assert_allclose(found.scores[0], (plain[0].scores[0] + plain[1].scores[0]) / 2, rtol=1e-6)


def test_no_further_view_finds_what_a_plain_detector_finds() -> None:
    augmented, plain = AugmentedDetector(WhiteFinder(), "192"), Detector(WhiteFinder())
    assert augmented.augmentation.views(96) == (View(96, False), View(192, False))
    np.testing.assert_allclose(augmented.detect(photo()).boxes, plain.detect(photo()).boxes, atol=0.6)


@pytest.mark.parametrize("text", ["", "flip,", "mirror", "flip,4.5", "-32", "flip flip", "٤١٦"])
def test_words_that_are_no_views(text: str) -> None:
    with pytest.raises(ConfigError, match="is neither 'flip' nor a size"):
        Augmentation.read(text)


def test_views_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match="comes twice"):
        Augmentation.read("flip,480,480")
    with pytest.raises(ConfigError, match="not a multiple of 32"):
        AugmentedDetector(WhiteFinder(), "flip,100")
    with pytest.raises(ConfigError, match="exported for 96 pixels only"):
        AugmentedDetector(WhiteFinder(fixed_size=96), "flip,128")
    detector = AugmentedDetector(WhiteFinder(), "flip,128")
    with pytest.raises(ConfigError, match="looked at anyway"):
        detector.wanted(size=128)
    with pytest.raises(ConfigError, match="batch 0"):
        detector.stream([photo()], batch=0)
    assert len(AugmentedDetector(WhiteFinder(fixed_size=96), "flip").detect(photo())) == 1


def test_unmirrored_twice_is_as_before() -> None:
    found = Detections([[1, 2, 5, 9]], [0.5], [0], ("alpaca",))
    np.testing.assert_array_equal(unmirrored(unmirrored(found, 20), 20).boxes, found.boxes)
    assert len(unmirrored(Detections.empty(), 20)) == 0


def test_no_torch_is_loaded() -> None:
    code = "import sys, herder.augmented_inference; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
