"""Animals cut out of a labelled dataset, one square picture each, for networks that learn to draw them.

Notation: N crops, S their side in pixels.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

import cv2
import numpy as np
import torch

from herder.boxes import FloatArray
from herder.data.augmentation.sample import Image
from herder.data.records import Dataset, ImageRecord, Severity
from herder.errors import ConfigError, DataError
from herder.generative.pictures import Pictures, SetAside, check_size, from_photo
from herder.images import read_image

MARGIN = 0.1
"""Share of the box's sides that is left around the animal, as copy-paste takes it to fade out in."""

LEAST_SIDE = 0.25
"""Animals whose longer side has less than this share of the crop's side would be blur, and are left out."""


class Fit(Enum):
    """How a box that is no square becomes one."""

    WIDEN = "widen"
    """The shorter side is widened to the longer one: shapes stay true, and more of the surroundings are seen."""
    SQUEEZE = "squeeze"
    """The longer side is squeezed: the animal fills each crop alike, so that its box is known without being drawn."""


@dataclass(frozen=True, eq=False)
class Crops:
    """Crops as ``pictures`` with their classes, and the ``aspects`` (N,) of the boxes, width over height."""

    pictures: Pictures
    aspects: FloatArray
    too_small: int = 0
    """Animals left out since they have too few pixels."""

    def __len__(self) -> int:
        return len(self.pictures)


def cut_crops(
    dataset: Dataset,
    size: int,
    classes: Sequence[str] = (),
    *,
    fit: Fit = Fit.WIDEN,
    progress: Callable[[int, int], None] | None = None,
) -> Crops:
    """Cut each animal of ``classes`` (all classes where empty) with a margin out of its photo, as ``size`` x ``size``.

    Boxes marked ``ignore`` hold herds and are left out, and so are animals too small to be seen at that size. A widened
    square is moved inside the photo and never larger than it; a squeezed box keeps its place, and past the photo's edge
    the outermost pixels are repeated in its margin.
    Photos that cannot be decoded stand in ``pictures.set_aside``, after what the dataset's reader had set aside;
    ``progress`` hears (photos done, photos in all).

    Raises ConfigError for a class that the dataset does not have or a size out of range, DataError when nothing is
    left.
    """
    check_size(size)
    names = tuple(dict.fromkeys(classes)) or dataset.class_names
    wanted = {class_id(dataset.class_names, name): k for k, name in enumerate(names)}
    images: list[torch.Tensor] = []
    labels: list[int] = []
    aspects: list[float] = []
    broken: list[SetAside] = []
    before = [SetAside(p.path, p.message, p.hint) for p in dataset.problems if p.severity is Severity.SET_ASIDE]
    herds = too_small = 0
    for done, record in enumerate(dataset, 1):
        usable, small, ignored = _usable(record, wanted, size)
        too_small, herds = too_small + small, herds + ignored
        if usable:
            try:
                photo = read_image(record.path)
            except DataError as error:
                broken.append(SetAside(record.path, error.message.removeprefix(f"{record.path}: "), error.hint))
                usable = []
            for i in usable:
                box = record.boxes[i]
                images.append(from_photo(_window(photo, box, fit), size))  # (3, S, S)
                labels.append(wanted[int(record.classes[i])])
                aspects.append(float((box[2] - box[0]) / (box[3] - box[1])))
        if progress is not None:
            progress(done, len(dataset))
    if not images:
        found = f"{too_small} are too small, {herds} are marked as herds, {len(broken)} photos cannot be read"
        raise DataError(
            f"{dataset.root}: no {' or '.join(names)} to cut out at {size} pixels: {found}",
            hint="label more animals, or choose a smaller size",
        )
    pictures = Pictures(torch.stack(images), torch.tensor(labels), names, (*before, *broken))
    return Crops(pictures, np.array(aspects, np.float32), too_small)


def class_id(names: Sequence[str], name: str) -> int:
    """The place of ``name`` among the class names. Raises ConfigError, with the nearest name, where it is not there.

    >>> class_id(("alpaca", "sheep"), "alpacca")
    Traceback (most recent call last):
    herder.errors.ConfigError: class 'alpacca': not in this dataset
      what to do: did you mean alpaca?
    """
    if name in names:
        return list(names).index(name)
    lower = {known.lower(): known for known in names}
    near = difflib.get_close_matches(name.lower(), lower, n=1)
    hint = f"did you mean {lower[near[0]]}?" if near else f"there are {', '.join(names)}"
    raise ConfigError(f"class {name!r}: not in this dataset", hint=hint)


def _usable(record: ImageRecord, wanted: dict[int, int], size: int) -> tuple[list[int], int, int]:
    """Which boxes of a photo to cut out, and how many of the wanted classes are too small and how many are herds."""
    chosen = np.isin(record.classes, list(wanted))  # (B,) of the photo's B boxes
    sides = record.boxes[:, 2:] - record.boxes[:, :2]  # (B, 2)
    # A box a fraction of a pixel wide has no aspect worth the name.
    large = (sides.max(axis=1, initial=0) >= LEAST_SIDE * size) & (sides.min(axis=1, initial=size) >= 2)
    own = chosen & ~record.ignore
    return np.flatnonzero(own & large).tolist(), int((own & ~large).sum()), int((chosen & record.ignore).sum())


def _window(photo: Image, box: FloatArray, fit: Fit) -> Image:
    """The pixels (h, w, 3) around a box (4,) that become the crop."""
    height, width = photo.shape[:2]
    x1, y1, x2, y2 = box.tolist()
    w, h = (x2 - x1) * (1 + 2 * MARGIN), (y2 - y1) * (1 + 2 * MARGIN)
    if fit is Fit.WIDEN:
        w = h = min(max(w, h), height, width)  # rather a little less of a huge animal than rows of repeated pixels
    left, right = _span((x1 + x2) / 2, w, width, inside=fit is Fit.WIDEN)
    top, bottom = _span((y1 + y2) / 2, h, height, inside=fit is Fit.WIDEN)
    over = max(0, -top), max(0, bottom - height), max(0, -left), max(0, right - width)
    part = photo[max(0, top) : min(height, bottom), max(0, left) : min(width, right)]
    if not any(over):
        return part
    return cv2.copyMakeBorder(part, *over, cv2.BORDER_REPLICATE).astype(np.uint8, copy=False)


def _span(centre: float, length: float, limit: int, *, inside: bool) -> tuple[int, int]:
    """First and last-plus-one pixel of a stretch around ``centre``; with ``inside`` moved into 0..limit."""
    pixels = max(1, round(length))
    start = math.floor(centre - length / 2 + 0.5)
    if inside:
        start = min(max(start, 0), limit - pixels)
    return start, start + pixels
