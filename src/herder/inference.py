"""The one way from a photo to detections: letterbox, network, threshold, suppression, back to photo pixels.

Torch, ONNX Runtime and OpenVINO are engines behind it; this file imports none of them.
Notation: B photos, A candidate boxes (cells of all output levels), K classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from herder.boxes import FloatArray, Letterbox, nms
from herder.detections import Detections
from herder.errors import ConfigError, DataError, ResourceError
from herder.images import image_to_array, read_image
from herder.spec import ModelSpec

Photo = str | Path | NDArray[np.uint8] | Image.Image
"""A file, an RGB array (H, W, 3) uint8, or a PIL image."""

STRIDE = 32
"""Canvas sides are multiples of the coarsest stride."""

CANDIDATES = 2000
"""At most so many of the best candidates of a photo go into suppression."""


class Engine(Protocol):
    """Something that runs a network."""

    spec: ModelSpec

    @property
    def needs_nms(self) -> bool:
        """False where the network suppresses duplicates itself (one-to-one head, or NMS in the graph)."""

    @property
    def fixed_size(self) -> int | None:
        """The only canvas side that this file takes, in pixels; None where any multiple of 32 will do."""

    def predict(self, canvases: NDArray[np.uint8]) -> tuple[FloatArray, FloatArray]:
        """Canvases (B, H, W, 3) RGB to boxes (B, A, 4) xyxy in canvas pixels and scores (B, A, K) in 0..1."""


@dataclass(frozen=True)
class Wanted:
    """What counts as found, and at which size to look; ``Detector.wanted`` checks it."""

    score: float
    iou: float
    size: int
    """Longest side in pixels that the network sees."""
    limit: int


class Detector:
    """A network with everything around it; ``herder.load`` makes one from a file."""

    looks: int = 1
    """By how much the score of what only one look at a photo sees is divided (``AugmentedDetector`` looks often)."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @property
    def spec(self) -> ModelSpec:
        """What the model file says about itself."""
        return self.engine.spec

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names that class ids point to."""
        return self.engine.spec.class_names

    @overload
    def detect(  # type: ignore[overload-overlap]  # a str is a sequence of str too; here it is one path
        self,
        photos: Photo,
        *,
        score: float | None = ...,
        iou: float | None = ...,
        size: int | None = ...,
        limit: int | None = ...,
        batch: int = ...,
    ) -> Detections: ...

    @overload
    def detect(
        self,
        photos: Sequence[Photo],
        *,
        score: float | None = ...,
        iou: float | None = ...,
        size: int | None = ...,
        limit: int | None = ...,
        batch: int = ...,
    ) -> list[Detections]: ...

    def detect(
        self,
        photos: Photo | Sequence[Photo],
        *,
        score: float | None = None,
        iou: float | None = None,
        size: int | None = None,
        limit: int | None = None,
        batch: int = 8,
    ) -> Detections | list[Detections]:
        """Find the animals: Detections for one photo, a list of them for a sequence.

        Detections under ``score`` are dropped, overlaps above ``iou`` suppressed, at most ``limit`` kept a photo;
        ``size`` is the longest side in pixels the network sees. What is None comes from the model's spec.
        A batch changes the speed, not the result. Raises DataError for a photo that cannot be read, ConfigError for a
        setting out of range (a size that is not a multiple of 32, say), ResourceError when memory runs out.
        """
        if isinstance(photos, (str, Path, np.ndarray, Image.Image)):
            return next(self.stream([photos], score=score, iou=iou, size=size, limit=limit))
        return list(self.stream(photos, score=score, iou=iou, size=size, limit=limit, batch=batch))

    def stream(
        self,
        photos: Iterable[Photo],
        *,
        score: float | None = None,
        iou: float | None = None,
        size: int | None = None,
        limit: int | None = None,
        batch: int = 1,
    ) -> Iterator[Detections]:
        """Like ``detect`` on any iterable, holding only ``batch`` photos in memory at a time.

        Settings are checked at once; photos are read as their turn comes, and the one that cannot be read raises
        DataError then.
        """
        wanted = self.wanted(score=score, iou=iou, size=size, limit=limit)
        return self._stream(photos, wanted, _positive("batch", batch))

    def wanted(
        self,
        *,
        score: float | None = None,
        iou: float | None = None,
        size: int | None = None,
        limit: int | None = None,
    ) -> Wanted:
        """These settings, the model's own for None. Raises ConfigError for one that is out of range."""
        return Wanted(
            _fraction("score", self.spec.score_threshold if score is None else score),
            _fraction("iou", self.spec.nms_iou if iou is None else iou),
            self._checked_size(size),
            _positive("limit", self.spec.max_detections if limit is None else limit),
        )

    def fit(self, width: int, height: int, size: int) -> Letterbox:
        """How a photo of ``width`` x ``height`` pixels lies on its canvas."""
        return Letterbox.fit(width, height, size, None if self.engine.fixed_size else STRIDE)

    def found(self, boxes: FloatArray, scores: FloatArray, fit: Letterbox, wanted: Wanted) -> Detections:
        """One photo's candidates, boxes (A, 4) in canvas pixels and scores (A, K), as what was found on the photo."""
        temperature, score = self.spec.temperature, wanted.score
        # Selection looks at the network's own scores, so that calibration can neither tie nor reorder boxes. The floor
        # lies one step of float32 under the wanted score, and what rounding let through is dropped after.
        floor = score if temperature == 1 else float(tempered(np.nextafter(np.float32(score), 0), 1 / temperature))
        picked = select(boxes, scores, floor, wanted.iou if self.engine.needs_nms else None, wanted.limit)
        if temperature != 1:
            sure = tempered(picked.scores, temperature).astype(np.float32)
            picked = Detections(picked.boxes, sure, picked.classes).above(score)
        return Detections(fit.inverse(picked.boxes), picked.scores, picked.classes, self.class_names)

    def _stream(self, photos: Iterable[Photo], wanted: Wanted, batch: int) -> Iterator[Detections]:
        waiting: list[NDArray[np.uint8]] = []
        for photo in photos:
            waiting.append(as_rgb(photo))
            if len(waiting) >= batch:
                yield from self._detect_batch(waiting, wanted)
                waiting = []
        if waiting:
            yield from self._detect_batch(waiting, wanted)

    def _checked_size(self, size: int | None) -> int:
        fixed = self.engine.fixed_size
        size = (fixed or self.spec.input_size) if size is None else size
        if size < STRIDE or size % STRIDE:
            near = max(STRIDE, round(size / STRIDE) * STRIDE)
            raise ConfigError(f"image size {size} is not a multiple of {STRIDE}", hint=f"use {near}")
        if fixed and size != fixed:
            raise ConfigError(
                f"image size {size}, but this file was exported for {fixed} pixels only",
                hint=f"use {fixed}, or export without --size",
            )
        return size

    def _detect_batch(self, photos: list[NDArray[np.uint8]], wanted: Wanted) -> Iterator[Detections]:
        fits = [self.fit(photo.shape[1], photo.shape[0], wanted.size) for photo in photos]
        found: dict[int, Detections] = {}
        # Photos that share a canvas share a batch: no photo pays for another's padding, and each one's
        # result is the same whether it comes alone or in company.
        for shape in dict.fromkeys((fit.canvas_height, fit.canvas_width) for fit in fits):
            same = [i for i, fit in enumerate(fits) if (fit.canvas_height, fit.canvas_width) == shape]
            try:
                canvases = np.empty((len(same), *shape, 3), np.uint8)  # (b, H, W, 3)
                for row, i in enumerate(same):
                    fits[i].lay(photos[i], canvases[row])
                boxes, scores = self.engine.predict(canvases)
            except MemoryError:
                raise ResourceError(
                    f"a batch of {len(same)} photos of {shape[1]} x {shape[0]} pixels does not fit into memory",
                    hint="use a smaller batch or size",
                ) from None
            for row, i in enumerate(same):
                found[i] = self.found(boxes[row], scores[row], fits[i], wanted)
        for i in range(len(photos)):
            yield found[i]


def _fraction(name: str, value: float) -> float:
    if not 0 <= value <= 1:
        raise ConfigError(f"{name} {value} is not between 0 and 1", hint="use 0.25, say")
    return value


def _positive(name: str, value: int) -> int:
    if value < 1:
        raise ConfigError(f"{name} {value} is not positive", hint="use 1 or more")
    return value


def select(boxes: FloatArray, scores: FloatArray, score: float, iou: float | None, limit: int) -> Detections:
    """From one photo's candidates, boxes (A, 4) and scores (A, K), keep those that count, best first.

    A candidate counts once for each class whose score reaches ``score``; ``iou`` None skips suppression. Equal scores
    keep the order of the candidates. Boxes or scores that are not numbers never count.

    >>> boxes = np.array([[0, 0, 9, 9], [0, 0, 9, 8], [20, 0, 29, 9]], np.float32)
    >>> select(boxes, np.array([[0.6], [0.9], [0.3]], np.float32), score=0.25, iou=0.6, limit=300).scores.tolist()
    [0.8999999761581421, 0.30000001192092896]
    """
    values = scores.reshape(-1)  # (A K,)
    cells = np.flatnonzero(values >= score)
    values = values[cells]
    if len(values) > CANDIDATES:
        # A partition is cheaper than sorting thousands only to drop most; the sort below settles ties at the edge.
        edge = np.partition(values, len(values) - CANDIDATES)[-CANDIDATES]
        above = np.flatnonzero(values >= edge)
        cells, values = cells[above], values[above]
    order = np.argsort(-values, kind="stable")[:CANDIDATES]
    values = values[order]
    rows, classes = np.divmod(cells[order], max(1, scores.shape[1]))
    picked = boxes[rows]  # (n, 4)
    sound = np.isfinite(picked).all(axis=1)
    if not sound.all():
        picked, values, classes = picked[sound], values[sound], classes[sound]
    kept = np.arange(min(len(values), limit)) if iou is None else nms(picked, values, classes, iou, limit)
    return Detections(picked[kept], values[kept], classes[kept])


def tempered(scores: ArrayLike, temperature: float) -> NDArray[np.float64]:
    """Scores (N,) with their logits divided by ``temperature``: sigmoid(logit(s) / T), in float64; NaN stays NaN.

    Above 1 it takes certainty away, below 1 it adds some; 0, 0.5 and 1 stay, and the order too. The temperature 1 / T
    is the way back. Source: C. Guo et al., "On Calibration of Modern Neural Networks", ICML 2017,
    https://arxiv.org/abs/1706.04599.

    >>> tempered([0.0, 0.2, 0.5, 1.0], 2.0).round(3).tolist()
    [0.0, 0.333, 0.5, 1.0]
    """
    s = np.clip(np.asarray(scores, np.float64), 0, 1)
    # s^(1/T) / (s^(1/T) + (1 - s)^(1/T)): the same without a logarithm, which scores of 0 and 1 do not have.
    yes, no = s ** (1 / temperature), (1 - s) ** (1 / temperature)
    return np.asarray(yes / (yes + no), np.float64)


def as_rgb(photo: Photo) -> NDArray[np.uint8]:
    """Any kind of photo as an upright RGB array (H, W, 3) uint8.

    Raises DataError for a file that cannot be read or an array of another shape or dtype.
    """
    if isinstance(photo, (str, Path)):
        return read_image(Path(photo))
    if isinstance(photo, Image.Image):
        return image_to_array(photo)
    if not isinstance(photo, np.ndarray):
        raise DataError(
            f"photo: found {type(photo).__name__}, wanted a path, an array or a PIL image", hint="pass one of these"
        )
    if photo.ndim != 3 or photo.shape[2] != 3 or photo.dtype != np.uint8 or photo.size == 0:
        raise DataError(
            f"photo array: found shape {photo.shape} of {photo.dtype}, wanted (height, width, 3) of uint8",
            hint="pass a list of photos for a batch"
            if photo.ndim == 4
            else "pass RGB; OpenCV has BGR: photo[..., ::-1]",
        )
    return photo
