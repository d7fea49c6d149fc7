"""How fast is a detector on this machine: from photo to boxes, and the network alone."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from herder.boxes import Letterbox
from herder.errors import ConfigError
from herder.inference import STRIDE, Detector, Photo, as_rgb


@dataclass(frozen=True)
class Speed:
    """Milliseconds for a batch of photos, and photos a second. Percentiles are interpolated between the times taken."""

    photos: int
    size: int
    """Longest side in pixels that the network saw."""
    batch: int
    """Photos at a time; of one canvas shape, so that the network sees them together."""
    timings: int
    """Batches that were timed."""
    photo_to_boxes_ms_p50: float
    """Decoded photos to detections (letterbox, network, suppression): half the batches were faster."""
    photo_to_boxes_ms_p95: float
    """95 of 100 batches were faster."""
    photo_to_boxes_ms_p99: float
    network_ms_p50: float
    """The engine alone on letterboxed photos."""
    network_ms_p95: float
    network_ms_p99: float
    frames_per_second: float
    """Photos a second, batch after batch, from the mean of photo to boxes."""
    network_frames_per_second: float
    """The same for the engine alone."""

    def as_dict(self) -> dict[str, float]:
        """The same numbers by name."""
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"{self.photo_to_boxes_ms_p50:.1f} ms photo to boxes (p95 {self.photo_to_boxes_ms_p95:.1f}), "
            f"network {self.network_ms_p50:.1f} ms, {self.frames_per_second:.1f} photos a second at {self.size} px"
        )


def measure_speed(
    detector: Detector,
    photos: Sequence[Photo],
    *,
    size: int | None = None,
    repeats: int = 3,
    warmup: int = 3,
    batch: int = 1,
) -> Speed:
    """Time ``detector`` on all photos, ``repeats`` times over, canvas shape by canvas shape; of each, one batch and
    ``warmup`` more come before the clock runs.

    Photos are decoded beside the clock: reading a file takes the same time with every detector. Of files only one batch
    is held at a time, so that the process's memory is the detector's. The last batch of a shape is filled up with its
    first photos.
    Raises ConfigError when there is no photo or ``repeats`` or ``batch`` is not positive, DataError for a photo that
    cannot be read.
    """
    if not len(photos) or repeats < 1 or batch < 1:
        raise ConfigError(
            f"speed: {len(photos)} photos, {repeats} repeats, batches of {batch}: nothing to measure",
            hint="give some photos",
        )
    fixed = detector.engine.fixed_size
    side = size or fixed or detector.spec.input_size
    stride = None if fixed else STRIDE

    def fit(photo: NDArray[np.uint8]) -> Letterbox:
        return Letterbox.fit(photo.shape[1], photo.shape[0], side, stride)

    by_shape: dict[tuple[int, int], list[Photo]] = {}
    for photo in photos:
        shape = fit(as_rgb(photo))
        by_shape.setdefault((shape.canvas_height, shape.canvas_width), []).append(photo)
    whole, network = [], []
    for same in by_shape.values():
        batches = [[same[(i + k) % len(same)] for k in range(batch)] for i in range(0, len(same), batch)]
        for group in (batches[k % len(batches)] for k in range(1 + warmup)):
            # Compiling for a shape and filling caches is not the daily speed.
            detector.detect([as_rgb(photo) for photo in group], size=size, batch=batch)
        for group in batches * repeats:
            arrays = [as_rgb(photo) for photo in group]
            canvases = np.stack([fit(array).apply(array) for array in arrays])  # (B, H, W, 3)
            start = time.perf_counter()
            detector.detect(arrays, size=size, batch=batch)
            middle = time.perf_counter()
            detector.engine.predict(canvases)
            whole.append(1000 * (middle - start))
            network.append(1000 * (time.perf_counter() - middle))
    p50, p95, p99 = np.percentile(whole, (50, 95, 99)).tolist()
    network_p50, network_p95, network_p99 = np.percentile(network, (50, 95, 99)).tolist()
    return Speed(
        photos=len(photos),
        size=side,
        batch=batch,
        timings=len(whole),
        photo_to_boxes_ms_p50=p50,
        photo_to_boxes_ms_p95=p95,
        photo_to_boxes_ms_p99=p99,
        network_ms_p50=network_p50,
        network_ms_p95=network_p95,
        network_ms_p99=network_p99,
        frames_per_second=1000.0 * batch / float(np.mean(whole)),
        network_frames_per_second=1000.0 * batch / float(np.mean(network)),
    )
