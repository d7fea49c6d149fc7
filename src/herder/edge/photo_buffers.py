"""Canvases that are used again for photo after photo, each by one thread at a time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import numpy as np
from numpy.typing import NDArray

KEPT = 8
"""Canvas shapes whose buffers are kept; the one used longest ago goes."""


class CanvasBuffers:
    """Buffers (B, H, W, 3) uint8 by shape; there are never more of a shape than were borrowed at the same time."""

    def __init__(self) -> None:
        self._idle: OrderedDict[tuple[int, int, int], list[NDArray[np.uint8]]] = OrderedDict()
        self._lock = Lock()

    @contextmanager
    def borrow(self, batch: int, height: int, width: int) -> Iterator[NDArray[np.uint8]]:
        """A buffer (batch, height, width, 3) with anything in it, the borrower's own until the block ends."""
        shape = batch, height, width
        with self._lock:
            idle = self._idle.get(shape)
            buffer = idle.pop() if idle else np.empty((*shape, 3), np.uint8)
        try:
            yield buffer
        finally:
            with self._lock:
                self._idle.setdefault(shape, []).append(buffer)
                self._idle.move_to_end(shape)
                if len(self._idle) > KEPT:
                    self._idle.popitem(last=False)

    @property
    def held_bytes(self) -> int:
        """Bytes of all idle buffers."""
        with self._lock:
            return sum(buffer.nbytes for idle in self._idle.values() for buffer in idle)
