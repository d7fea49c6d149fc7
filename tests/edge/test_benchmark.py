import time

import numpy as np
import pytest

from herder.edge.benchmark import measure_speed
from herder.errors import ConfigError
from herder.inference import Detector
from herder.spec import example_spec


class Slow:
    """An engine that takes 5 ms, and 50 for the first picture of a shape."""

    needs_nms, fixed_size = True, None

    def __init__(self):
        self.spec = example_spec()
        self.known = set()

    def predict(self, canvases):
        time.sleep(0.005 if canvases.shape in self.known else 0.05)
        self.known.add(canvases.shape)
        return np.zeros((len(canvases), 1, 4), np.float32), np.zeros((len(canvases), 1, 1), np.float32)


def test_times_are_those_of_the_engine_without_its_first_call():
    photos = [np.zeros((240, 320, 3), np.uint8), np.zeros((320, 240, 3), np.uint8)]
    speed = measure_speed(Detector(Slow()), photos, repeats=5, warmup=0)
    assert 5 <= speed.network_ms_p50 <= speed.network_ms_p95
    assert 5 <= speed.photo_to_boxes_ms_p50 <= speed.photo_to_boxes_ms_p95
    assert speed.network_ms_p50 < 40
    assert 1000 / 50 < speed.frames_per_second < 1000 / 5
    assert speed.photos == 2
    assert set(speed.as_dict()) >= {"photo_to_boxes_ms_p50", "network_ms_p50", "frames_per_second"}
    assert "photos a second at 320 px" in str(speed)


def test_the_network_alone_is_a_part_of_the_whole():
    class Instant(Slow):
        def predict(self, canvases):
            return np.zeros((1, 1, 4), np.float32), np.zeros((1, 1, 1), np.float32)

    speed = measure_speed(Detector(Instant()), [np.zeros((900, 1200, 3), np.uint8)], repeats=5)
    assert speed.network_ms_p50 < speed.photo_to_boxes_ms_p50


@pytest.mark.parametrize(("photos", "repeats"), [([], 1), ([np.zeros((9, 9, 3), np.uint8)], 0)])
def test_nothing_to_measure(photos, repeats):
    with pytest.raises(ConfigError, match="nothing to measure"):
        measure_speed(Detector(Slow()), photos, repeats=repeats)


class Noting(Slow):
    """Instant, and remembers the shapes it saw."""

    def __init__(self):
        super().__init__()
        self.shapes = []

    def predict(self, canvases):
        self.shapes.append(canvases.shape)
        return np.zeros((len(canvases), 1, 4), np.float32), np.zeros((len(canvases), 1, 1), np.float32)


def test_batches_are_full_and_of_one_shape(tmp_path, make_photo):
    sizes = [(320, 240), (240, 320), (320, 240), (320, 240)]
    photos = [make_photo(tmp_path / f"{i}.jpg", size, seed=i) for i, size in enumerate(sizes)]
    engine = Noting()
    speed = measure_speed(Detector(engine), photos, batch=2, repeats=3, warmup=1)
    assert {shape[0] for shape in engine.shapes} == {2}
    # Landscape: three photos in two batches, three times, each timed as a whole and alone; portrait: one batch.
    assert engine.shapes.count((2, 256, 320, 3)) == 2 + 2 * 2 * 3
    assert engine.shapes.count((2, 320, 256, 3)) == 2 + 2 * 1 * 3
    assert (speed.photos, speed.batch, speed.timings) == (4, 2, 9)
    assert speed.photo_to_boxes_ms_p95 <= speed.photo_to_boxes_ms_p99
    assert speed.frames_per_second <= speed.network_frames_per_second


def test_a_batch_must_hold_something():
    with pytest.raises(ConfigError, match="batches of 0"):
        measure_speed(Detector(Slow()), [np.zeros((9, 9, 3), np.uint8)], batch=0)
