"""OpenVINO's networks, compiled for the canvas shapes that come.

A network compiled for one shape is a quarter faster than one for all shapes, but takes half a second to compile and, as
int8 at 416 pixels, 33 MB. Few shapes, or one after the other, each get their own. Where shapes alternate, as with
photos of many cameras, one network takes them all: 10 to 60 ms a photo in place of 500.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from queue import LifoQueue
from threading import Lock
from typing import Any

COMPILED_SHAPES = 2
"""So many canvas shapes are kept compiled: those of one camera, held both ways."""

ANY_SHAPE: tuple[int, ...] = ()
"""Stands for the network that takes every shape."""

KERNELS_KEPT = 300
"""Kernels that the network for all shapes keeps: those of about two shapes, 13 MB each as int8 at 416 pixels. A shape
that is not among them costs 60 ms more. 100 photos one by one took 10.6 s and 237 MB with 300, 11.6 s and 252 MB with
400, 11.6 s and 224 MB with 200."""


class CompiledShapes:
    """Hands out idle inference requests, ``streams`` for each shape, and compiles where there are none.

    ``core`` is OpenVINO's, ``model`` the network with free shapes, ``settings`` what it is compiled with.
    """

    def __init__(self, core: Any, model: Any, settings: dict[str, Any], streams: int) -> None:
        self._core, self._model, self._settings, self._streams = core, model, settings, streams
        self._idle: OrderedDict[tuple[int, ...], LifoQueue[Any]] = OrderedDict()
        self._given_up: set[tuple[int, ...]] = set()
        self._lock = Lock()
        self.seconds = 0.0
        """Spent on compiling so far."""

    def idle(self, shape: tuple[int, ...]) -> LifoQueue[Any]:
        """The requests for canvases of this shape (B, H, W, 3) that nobody uses: take one, and put it back."""
        with self._lock:
            if ANY_SHAPE in self._idle:
                return self._idle[ANY_SHAPE]
            if shape in self._given_up:  # shapes alternate: compiling would never end
                self._idle.clear()
                shape = ANY_SHAPE
            if shape not in self._idle:
                # Before the new one is made: what is held at most is what the process's owner pays for.
                while len(self._idle) >= COMPILED_SHAPES:
                    self._given_up.add(self._idle.popitem(last=False)[0])
                self._idle[shape] = self._compile(shape)
            self._idle.move_to_end(shape)
            return self._idle[shape]

    def _compile(self, shape: tuple[int, ...]) -> LifoQueue[Any]:
        start = time.perf_counter()
        model, settings = self._model, self._settings
        if shape == ANY_SHAPE:
            settings = {**settings, "CPU_RUNTIME_CACHE_CAPACITY": str(KERNELS_KEPT)}
        else:
            model = model.clone()
            model.reshape(list(shape))
        compiled = self._core.compile_model(model, "CPU", settings)
        requests: LifoQueue[Any] = LifoQueue()
        for _ in range(self._streams):
            requests.put(compiled.create_infer_request())
        self.seconds += time.perf_counter() - start
        return requests
