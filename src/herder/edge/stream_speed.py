"""How many photos a second an engine gives when several are on their way at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from herder.edge.benchmark import Speed, canvas_batch, same_canvases
from herder.errors import ConfigError
from herder.inference import Detector, Photo, as_rgb

HELD = 4
"""Batches of each canvas shape that are decoded and then used again and again, so that memory stays the detector's."""

Task = TypeVar("Task")


def measure_streams(
    detector: Detector,
    photos: Sequence[Photo],
    streams: int,
    *,
    size: int | None = None,
    repeats: int = 3,
    warmup: int = 3,
    batch: int = 1,
) -> Speed:
    """Time ``detector``, whose engine was opened for ``streams``, with so many callers at a time.

    Like ``measure_speed``, with two differences: the milliseconds of a batch are those its caller waits while the other
    callers compute too, and photos a second come from the time all of them take together. At most ``HELD`` batches of
    each canvas shape are decoded. Raises what ``measure_speed`` raises.
    """
    if not len(photos) or min(repeats, batch, streams) < 1:
        raise ConfigError(
            f"speed: {len(photos)} photos, {repeats} repeats, batches of {batch}, {streams} streams: nothing to do",
            hint="give some photos",
        )
    side = detector.wanted(size=size).size

    def detect(group: list[NDArray[np.uint8]]) -> object:
        return detector.detect(group, size=side, batch=batch)

    whole, network, spent, network_spent = [], [], 0.0, 0.0
    with ThreadPoolExecutor(streams) as callers:
        for same in same_canvases(detector, photos, side):
            held = [as_rgb(photo) for photo in same[: HELD * batch]]
            groups = [[held[(i + k) % len(held)] for k in range(batch)] for i in range(0, len(held), batch)]
            canvases = [canvas_batch(detector, group, side) for group in groups]  # (B, H, W, 3) each
            rounds = -(-len(same) // batch) * repeats
            before = max(streams, 1 + warmup)  # every stream has run before the clock does
            _timed(callers, detect, [groups[i % len(groups)] for i in range(before)])
            taken, seconds = _timed(callers, detect, [groups[i % len(groups)] for i in range(rounds)])
            whole += taken
            spent += seconds
            taken, seconds = _timed(
                callers, detector.engine.predict, [canvases[i % len(canvases)] for i in range(rounds)]
            )
            network += taken
            network_spent += seconds
    return Speed.of(len(photos), side, batch, whole, network, spent, network_spent)


def _timed(
    callers: ThreadPoolExecutor, work: Callable[[Task], object], tasks: Sequence[Task]
) -> tuple[list[float], float]:
    """Milliseconds of each task, and seconds until all were done."""

    def one(task: Task) -> float:
        begun = time.perf_counter()
        work(task)
        return 1000 * (time.perf_counter() - begun)

    start = time.perf_counter()
    taken = list(callers.map(one, tasks))
    return taken, time.perf_counter() - start
