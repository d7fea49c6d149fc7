"""How fast photos came, batch by batch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

BATCH_PHOTOS = 500
"""Photos of one row of throughput, as the downloader counts them."""

PAUSE_S = 30.0
"""Where for so many seconds no photo ended, one run had stopped and another began."""


@dataclass(frozen=True)
class Throughput:
    """Photos that ended one after the other, and the seconds they took."""

    photos: int
    bytes: int
    seconds: float

    @property
    def rate(self) -> float:
        """Photos a second."""
        return self.photos / self.seconds if self.seconds > 0 else 0.0


def throughput(ends: Iterable[tuple[float, int]], photos: int = BATCH_PHOTOS) -> list[Throughput]:
    """Batches of so many photos from when each ended (seconds, ascending) and its bytes; pauses between runs left out.

    The first photo of a run is where its clock starts, and is not counted.

    >>> throughput([(0.0, 9), (1.0, 9), (2.0, 9), (900.0, 9), (904.0, 5)])
    [Throughput(photos=2, bytes=18, seconds=2.0), Throughput(photos=1, bytes=5, seconds=4.0)]
    """
    found: list[Throughput] = []
    count = size = 0
    start = last = float("-inf")
    for now, length in ends:
        if now - last > PAUSE_S:
            found += [Throughput(count, size, last - start)] if count else []
            start, count, size = now, 0, 0
        else:
            count, size = count + 1, size + length
            if count == photos:
                found.append(Throughput(count, size, now - start))
                start, count, size = now, 0, 0
        last = now
    return found + ([Throughput(count, size, last - start)] if count else [])
