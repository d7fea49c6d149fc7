"""Test-time augmentation: look at each photo several times, mirrored or at other sizes, and merge what was found.

It costs a run of the network for each view and changes no weight. Torch is not needed: any engine will do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from herder.box_fusion import fuse_detections
from herder.boxes import nms
from herder.detections import Detections
from herder.errors import ConfigError
from herder.inference import Detector, Engine, Photo, Wanted, as_rgb, tempered

FLIP = "flip"
"""The word for mirrored views."""

VIEW_FLOOR = 0.01
"""Views go down to this score, before temperature, whatever score is wanted in the end: so a higher threshold only
leaves boxes out and moves none."""

VIEW_LIMIT = 300
"""At least so many boxes of each view are merged."""


class Merge(Enum):
    """How the boxes of several views become one set."""

    WBF = "wbf"
    """Weighted boxes fusion: all boxes of an animal are averaged by their scores."""
    NMS = "nms"
    """Suppression: the best box of an animal stays as it is."""


@dataclass(frozen=True)
class View:
    """One look at a photo."""

    size: int
    """Longest side in pixels that the network sees."""
    mirrored: bool


@dataclass(frozen=True)
class Augmentation:
    """What ``flip,480,512`` asks for: further sizes in pixels, and whether each size is looked at mirrored, too."""

    sizes: tuple[int, ...]
    flip: bool

    @classmethod
    def read(cls, text: str) -> Augmentation:
        """Read words parted by commas: ``flip``, and sizes in pixels. Raises ConfigError for anything else.

        >>> Augmentation.read("flip, 480")
        Augmentation(sizes=(480,), flip=True)
        """
        words = [word.strip() for word in text.split(",")]
        unknown = [word for word in words if word != FLIP and not (word.isascii() and word.isdigit())]
        if unknown:
            raise ConfigError(
                f"tta {text!r}: {unknown[0]!r} is neither {FLIP!r} nor a size in pixels",
                hint="such as flip or flip,480",
            )
        if len(set(words)) < len(words):
            raise ConfigError(f"tta {text!r}: a view comes twice", hint="name each once")
        return cls(tuple(int(word) for word in words if word != FLIP), FLIP in words)

    def views(self, size: int) -> tuple[View, ...]:
        """All views of a photo whose plain one has ``size``: each size, each mirrored too if so wanted.

        Raises ConfigError where ``size`` is named as a further one.

        >>> [(view.size, view.mirrored) for view in Augmentation.read("flip,480").views(416)]
        [(416, False), (416, True), (480, False), (480, True)]
        """
        if size in self.sizes:
            raise ConfigError(
                f"tta: {size} pixels is the size that is looked at anyway", hint="name other sizes, or another --size"
            )
        mirrored = (False, True) if self.flip else (False,)
        return tuple(View(side, flip) for side in (size, *self.sizes) for flip in mirrored)


class AugmentedDetector(Detector):
    """A Detector that looks at each photo several times; whatever takes a Detector takes this one.

    ``views`` is read by ``Augmentation.read``. Raises ConfigError for views that the engine cannot give.
    """

    def __init__(self, engine: Engine, views: str, merge: Merge = Merge.WBF) -> None:
        super().__init__(engine)
        self.augmentation = Augmentation.read(views)
        self.merge = merge
        self._plain = Detector(engine)
        if merge is Merge.WBF:
            self.looks = (len(self.augmentation.sizes) + 1) * (2 if self.augmentation.flip else 1)
        for size in self.augmentation.sizes:
            self._plain.wanted(size=size)

    def wanted(
        self,
        *,
        score: float | None = None,
        iou: float | None = None,
        size: int | None = None,
        limit: int | None = None,
    ) -> Wanted:
        """These settings, the model's own for None. Raises ConfigError also for a size that is a further view's."""
        wanted = super().wanted(score=score, iou=iou, size=size, limit=limit)
        self.augmentation.views(wanted.size)
        return wanted

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
        """Like ``Detector.stream``; ``size`` is that of the first view. The time is that of all views together."""
        wanted = self.wanted(score=score, iou=iou, size=size, limit=limit)
        if batch < 1:
            raise ConfigError(f"batch {batch} is not positive", hint="use 1 or more")
        return self._looks(photos, wanted, batch)

    def merged(self, found: Sequence[Detections], wanted: Wanted) -> Detections:
        """One set of detections from those of each view, in photo pixels."""
        if self.merge is Merge.WBF:
            one = fuse_detections(found)
        else:
            boxes, scores, classes = (
                np.concatenate([getattr(view, name) for view in found]) for name in ("boxes", "scores", "classes")
            )
            every = Detections(boxes, scores, classes)
            kept = every[nms(every.boxes, every.scores, every.classes, wanted.iou, wanted.limit)]
            one = Detections(kept.boxes, kept.scores, kept.classes, self.class_names)
        return one.above(wanted.score)[: wanted.limit]

    def _looks(self, photos: Iterable[Photo], wanted: Wanted, batch: int) -> Iterator[Detections]:
        waiting: list[NDArray[np.uint8]] = []
        for photo in photos:
            waiting.append(as_rgb(photo))
            if len(waiting) >= batch:
                yield from self._detect_views(waiting, wanted, batch)
                waiting = []
        if waiting:
            yield from self._detect_views(waiting, wanted, batch)

    def _detect_views(self, photos: list[NDArray[np.uint8]], wanted: Wanted, batch: int) -> Iterator[Detections]:
        floor = min(wanted.score * self.looks, float(tempered(VIEW_FLOOR, self.spec.temperature)))
        limit = max(wanted.limit, VIEW_LIMIT)
        views = []
        for view in self.augmentation.views(wanted.size):
            shown = [np.ascontiguousarray(photo[:, ::-1]) for photo in photos] if view.mirrored else photos
            found = self._plain.detect(shown, score=floor, iou=wanted.iou, size=view.size, limit=limit, batch=batch)
            if view.mirrored:
                found = [unmirrored(one, photo.shape[1]) for one, photo in zip(found, photos, strict=True)]
            views.append(found)
        for found_on_one in zip(*views, strict=True):
            yield self.merged(found_on_one, wanted)


def unmirrored(found: Detections, width: int) -> Detections:
    """What was found on a photo mirrored left to right, as it lies on the photo of ``width`` pixels.

    >>> unmirrored(Detections([[1, 2, 4, 9]], [0.5], [0]), width=10).boxes.tolist()
    [[6.0, 2.0, 9.0, 9.0]]
    """
    left, top, right, bottom = found.boxes.T
    boxes = np.stack([width - right, top, width - left, bottom], axis=1)  # (N, 4)
    return Detections(boxes, found.scores, found.classes, found.class_names)
