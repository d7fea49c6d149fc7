"""How fast is a detector on this machine: from photo to boxes, and the network alone."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from herder.boxes import Letterbox
from herder.errors import ConfigError
from herder.inference import STRIDE, Detector, Photo, as_rgb


@dataclass(frozen=True)
class Speed:
    """Milliseconds for one photo at a time, and photos a second."""

    photos: int
    size: int
    """Longest side in pixels that the network saw."""
    photo_to_boxes_ms_p50: float
    """Decoded photo to detections (letterbox, network, suppression): half the photos were faster."""
    photo_to_boxes_ms_p95: float
    """95 of 100 photos were faster."""
    network_ms_p50: float
    """The engine alone on a letterboxed photo."""
    network_ms_p95: float
    frames_per_second: float
    """One after the other, from the mean of photo to boxes."""

    def as_dict(self) -> dict[str, float]:
        """The same numbers by name."""
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"{self.photo_to_boxes_ms_p50:.1f} ms photo to boxes (p95 {self.photo_to_boxes_ms_p95:.1f}), "
            f"network {self.network_ms_p50:.1f} ms, {self.frames_per_second:.1f} photos a second at {self.size} px"
        )


def measure_speed(
    detector: Detector, photos: Sequence[Photo], *, size: int | None = None, repeats: int = 3, warmup: int = 3
) -> Speed:
    """Time ``detector`` on each photo, ``repeats`` times over, after ``warmup`` photos and one of each canvas shape.

    Photos are decoded before the clock starts: reading a file takes the same time with every detector.
    Raises ConfigError when there is no photo or ``repeats`` is not positive, DataError for one that cannot be read.
    """
    if not len(photos) or repeats < 1:
        raise ConfigError(
            f"speed: {len(photos)} photos, {repeats} repeats: nothing to measure", hint="give some photos"
        )
    arrays = [as_rgb(photo) for photo in photos]
    fixed = detector.engine.fixed_size
    side = size or fixed or detector.spec.input_size
    fits = [Letterbox.fit(a.shape[1], a.shape[0], side, None if fixed else STRIDE) for a in arrays]
    shapes = {(fit.canvas_height, fit.canvas_width): i for i, fit in enumerate(fits)}
    for i in (*shapes.values(), *(k % len(arrays) for k in range(warmup))):
        detector.detect(arrays[i], size=size)  # compiling for a shape and filling caches is not the daily speed
    whole, network = [], []
    for _ in range(repeats):
        for array, fit in zip(arrays, fits, strict=True):
            canvas = fit.apply(array)[None]
            start = time.perf_counter()
            detector.detect(array, size=size)
            middle = time.perf_counter()
            detector.engine.predict(canvas)
            whole.append(1000 * (middle - start))
            network.append(1000 * (time.perf_counter() - middle))
    return Speed(
        photos=len(arrays),
        size=side,
        photo_to_boxes_ms_p50=float(np.percentile(whole, 50)),
        photo_to_boxes_ms_p95=float(np.percentile(whole, 95)),
        network_ms_p50=float(np.percentile(network, 50)),
        network_ms_p95=float(np.percentile(network, 95)),
        frames_per_second=1000.0 / float(np.mean(whole)),
    )
