"""An exported model on photos, as fast as this machine runs it: the faster engine, several streams, no torch.

Notation: B photos of a batch, which share a canvas of H x W pixels.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from herder.boxes import Letterbox
from herder.detections import Detections
from herder.edge.engine_choice import faster_engine
from herder.edge.engine_files import open_engine
from herder.edge.photo_buffers import CanvasBuffers
from herder.errors import ConfigError, ResourceError
from herder.images import image_size, read_reduced
from herder.inference import Detector, Photo, Wanted, as_rgb
from herder.spec import ModelSpec


class Predictor:
    """A ``.onnx`` or ``.xml`` file with everything around it; gives the boxes that ``herder.load`` gives.

    ``engine`` is ``onnx``, ``openvino`` or ``auto``: the faster one, by a trial of half a second that is remembered.
    ``threads`` is one for each physical core where None. With ``streams`` so many photos are on their way at a time and
    share the threads: more photos a second, and each one waits longer. ``fast_decode`` decodes large JPEGs at a half, a
    quarter or an eighth of their size where that leaves as many pixels as the network sees: faster and smaller, but
    boxes move, most by less than a pixel, a few by several.

    Raises ModelFileError for a file that is no herder model, ConfigError for a setting out of range, MissingExtraError
    where the engine is not installed.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        engine: str = "auto",
        threads: int | None = None,
        streams: int = 1,
        fast_decode: bool = False,
    ) -> None:
        for name, value in (("threads", threads), ("streams", streams)):
            if value is not None and value < 1:
                raise ConfigError(f"{name} {value} is not positive", hint="use 1 or more")
        self.engine_name = faster_engine(path, threads) if engine == "auto" else engine
        self.detector = Detector(open_engine(path, self.engine_name, threads, streams))
        self.streams = streams
        self.fast_decode = fast_decode
        self._buffers = CanvasBuffers()
        self._pool = ThreadPoolExecutor(streams, thread_name_prefix="herder-stream") if streams > 1 else None

    @property
    def spec(self) -> ModelSpec:
        """What the model file says about itself."""
        return self.detector.spec

    def detect(
        self,
        photo: Photo,
        *,
        score: float | None = None,
        iou: float | None = None,
        size: int | None = None,
        limit: int | None = None,
    ) -> Detections:
        """Find the animals on one photo: a file, an RGB array (H, W, 3) uint8 or a PIL image.

        Settings and errors are those of ``Detector.detect``. May be called by ``streams`` threads at the same time.
        """
        return self._detect([photo], self.detector.wanted(score=score, iou=iou, size=size, limit=limit))[0]

    def detect_many(
        self,
        photos: Sequence[Photo],
        *,
        score: float | None = None,
        iou: float | None = None,
        size: int | None = None,
        limit: int | None = None,
        batch: int = 1,
    ) -> list[Detections]:
        """Find the animals on photos; the answers stand in the order of the photos.

        Photos whose canvases have the same shape come after each other and ``batch`` of them at a time, so that an
        engine that compiles for each shape does so once a shape. Raises what ``detect`` raises.
        """
        wanted = self.detector.wanted(score=score, iou=iou, size=size, limit=limit)
        if batch < 1:
            raise ConfigError(f"batch {batch} is not positive", hint="use 1 or more")
        known = [Path(photo) if isinstance(photo, (str, Path)) else as_rgb(photo) for photo in photos]
        shapes: dict[tuple[int, int], list[int]] = {}
        for index, photo in enumerate(known):
            width, height = image_size(photo) if isinstance(photo, Path) else photo.shape[1::-1]
            fit = self.detector.fit(width, height, wanted.size)
            shapes.setdefault((fit.canvas_height, fit.canvas_width), []).append(index)
        groups = [same[i : i + batch] for same in shapes.values() for i in range(0, len(same), batch)]
        found: dict[int, Detections] = {}
        for group, answers in zip(
            groups, self._run(([known[i] for i in group] for group in groups), wanted), strict=True
        ):
            found.update(zip(group, answers, strict=True))
        return [found[index] for index in range(len(known))]

    def stream(
        self,
        photos: Iterable[Photo],
        *,
        score: float | None = None,
        iou: float | None = None,
        size: int | None = None,
        limit: int | None = None,
    ) -> Iterator[Detections]:
        """Like ``detect`` on any iterable, endless ones too, in its order; at most ``streams`` + 1 photos are ahead."""
        wanted = self.detector.wanted(score=score, iou=iou, size=size, limit=limit)
        return (answers[0] for answers in self._run(([photo] for photo in photos), wanted))

    def close(self) -> None:
        """End the threads of the streams; photos on their way are finished first."""
        if self._pool:
            self._pool.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, groups: Iterable[list[Photo]], wanted: Wanted) -> Iterator[list[Detections]]:
        """What was found in each group, in order; with several streams some groups are on their way."""
        if self._pool is None:
            yield from (self._detect(group, wanted) for group in groups)
            return
        coming = iter(groups)
        waiting: deque[Future[list[Detections]]] = deque()
        try:
            while True:
                # One more than there are streams, so that none waits for the caller to take the last answer.
                for group in islice(coming, self.streams + 1 - len(waiting)):
                    waiting.append(self._pool.submit(self._detect, group, wanted))
                if not waiting:
                    return
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

    def _detect(self, photos: list[Photo], wanted: Wanted) -> list[Detections]:
        """Detections of photos that share a canvas shape."""
        fits, pixels = zip(*(self._read(photo, wanted.size) for photo in photos), strict=True)
        try:
            with self._buffers.borrow(len(photos), fits[0].canvas_height, fits[0].canvas_width) as canvases:
                for fit, rgb, canvas in zip(fits, pixels, canvases, strict=True):
                    fit.lay(rgb, canvas)
                boxes, scores = self.detector.engine.predict(canvases)  # (B, A, 4), (B, A, K)
        except MemoryError:
            raise ResourceError(
                f"{len(photos)} photos of {fits[0].canvas_width} x {fits[0].canvas_height} do not fit into memory",
                hint="use a smaller batch or size",
            ) from None
        return [self.detector.found(*one, wanted) for one in zip(boxes, scores, fits, strict=True)]

    def _read(self, photo: Photo, size: int) -> tuple[Letterbox, NDArray[np.uint8]]:
        """How the photo lies on its canvas, and its pixels, fewer than it has where decoding may be fast."""
        if self.fast_decode and isinstance(photo, (str, Path)):
            pixels, (width, height) = read_reduced(Path(photo), size)
        else:
            pixels = as_rgb(photo)
            height, width = pixels.shape[:2]
        return self.detector.fit(width, height, size), pixels
