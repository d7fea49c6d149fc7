"""How fast is a detector on this machine: from photo to boxes, and the network alone."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from herder.errors import ConfigError
from herder.inference import Detector, Photo, as_rgb


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

    @classmethod
    def of(
        cls,
        photos: int,
        size: int,
        batch: int,
        whole: Sequence[float],
        network: Sequence[float],
        seconds: float,
        network_seconds: float,
    ) -> Self:
        """From the milliseconds of each batch, photo to boxes and the network alone, and the seconds that each of the
        two took for all batches."""
        p50, p95, p99 = np.percentile(whole, (50, 95, 99)).tolist()
        network_p50, network_p95, network_p99 = np.percentile(network, (50, 95, 99)).tolist()
        return cls(
            photos=photos,
            size=size,
            batch=batch,
            timings=len(whole),
            photo_to_boxes_ms_p50=p50,
            photo_to_boxes_ms_p95=p95,
            photo_to_boxes_ms_p99=p99,
            network_ms_p50=network_p50,
            network_ms_p95=network_p95,
            network_ms_p99=network_p99,
            frames_per_second=batch * len(whole) / seconds,
            network_frames_per_second=batch * len(network) / network_seconds,
        )

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
    side = detector.wanted(size=size).size
    whole, network = [], []
    for same in same_canvases(detector, photos, side):
        batches = [[same[(i + k) % len(same)] for k in range(batch)] for i in range(0, len(same), batch)]
        for group in (batches[k % len(batches)] for k in range(1 + warmup)):
            # Compiling for a shape and filling caches is not the daily speed.
            detector.detect([as_rgb(photo) for photo in group], size=size, batch=batch)
        for group in batches * repeats:
            arrays = [as_rgb(photo) for photo in group]
            canvases = canvas_batch(detector, arrays, side)  # (B, H, W, 3)
            start = time.perf_counter()
            detector.detect(arrays, size=size, batch=batch)
            middle = time.perf_counter()
            detector.engine.predict(canvases)
            whole.append(1000 * (middle - start))
            network.append(1000 * (time.perf_counter() - middle))
    return Speed.of(len(photos), side, batch, whole, network, sum(whole) / 1000, sum(network) / 1000)


def same_canvases(detector: Detector, photos: Sequence[Photo], size: int) -> list[list[Photo]]:
    """The photos by the shape of their canvases, in the order in which the shapes come."""
    by_shape: dict[tuple[int, int], list[Photo]] = {}
    for photo in photos:
        height, width = as_rgb(photo).shape[:2]
        fit = detector.fit(width, height, size)
        by_shape.setdefault((fit.canvas_height, fit.canvas_width), []).append(photo)
    return list(by_shape.values())


def canvas_batch(detector: Detector, photos: Sequence[NDArray[np.uint8]], size: int) -> NDArray[np.uint8]:
    """Photos that share a canvas shape as canvases (B, H, W, 3)."""
    return np.stack([detector.fit(photo.shape[1], photo.shape[0], size).apply(photo) for photo in photos])
