import threading
import time

import numpy as np
import pytest

from herder.edge.stream_speed import measure_streams
from herder.errors import ConfigError
from herder.inference import Detector
from herder.spec import example_spec


class Slow:
    """An engine that takes 20 ms, however many call it."""

    needs_nms, fixed_size = True, None

    def __init__(self):
        self.spec = example_spec()
        self.now, self.most = 0, 0
        self.lock = threading.Lock()

    def predict(self, canvases):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(0.02)
        with self.lock:
            self.now -= 1
        return np.zeros((len(canvases), 1, 4), np.float32), np.zeros((len(canvases), 1, 1), np.float32)


def test_streams_share_the_time():
    engine = Slow()
    photos = [np.zeros((240, 320, 3), np.uint8)] * 4
    speed = measure_streams(Detector(engine), photos, 4, repeats=4, warmup=0)
    assert engine.most == 4
    assert (speed.photos, speed.timings, speed.size, speed.batch) == (4, 16, 320, 1)
    assert speed.network_ms_p50 >= 20
    assert 60 < speed.network_frames_per_second <= 4 / 0.02
    assert speed.frames_per_second <= 4 / 0.02


def test_batches_and_shapes():
    photos = [np.zeros(shape, np.uint8) for shape in ((240, 320, 3), (320, 240, 3), (240, 320, 3))]
    speed = measure_streams(Detector(Slow()), photos, 2, repeats=2, warmup=0, batch=2)
    assert (speed.photos, speed.timings, speed.batch) == (3, 4, 2)


def test_nothing_to_measure():
    with pytest.raises(ConfigError, match="0 photos"):
        measure_streams(Detector(Slow()), [], 2)
    with pytest.raises(ConfigError, match="0 streams"):
        measure_streams(Detector(Slow()), [np.zeros((9, 9, 3), np.uint8)], 0)
