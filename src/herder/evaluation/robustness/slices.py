"""How a detector does where the photos themselves are hard: real low light, occluded animals, small animals.

Corruptions are made; these are found in the data. A slice is a set of labelled boxes. To measure it all other boxes are
ignored, as COCO ignores crowds: neither hit nor missed, and no false alarm where a detection lies mostly on one.
A false alarm on nothing belongs to no box, and counts in every slice of its photos.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from herder.boxes import area, clip
from herder.data.records import UNKNOWN, Dataset, ImageRecord
from herder.detections import Detections
from herder.evaluation.average_precision import evaluate_tables
from herder.evaluation.matching import match
from herder.evaluation.not_computed import NotComputed
from herder.evaluation.tables import detection_table, truth_table
from herder.images import read_image

Mask = NDArray[np.bool_]

LOW_LIGHT = 64.0
"""Mean luma of a photo, of 255, under which it counts as low light: a quarter of the scale."""

LUMA = np.array([0.299, 0.587, 0.114])
"""Weights of red, green and blue in luma (ITU-R BT.601), on the values as they are stored."""

COVERED = 0.1
"""Share of a box under another labelled box from which it counts as occluded, where no annotator has said: under this
it is "bare" in CityPersons (S. Zhang et al. 2017, https://arxiv.org/abs/1702.05693)."""

SMALL = 32.0**2
"""Square pixels of the photo up to which COCO calls a box small."""

TINY = 0.01
"""Share of the photo's area up to which a box is small whatever the photo's size."""


@dataclass(frozen=True)
class SliceResult:
    """What the detector reached on one slice."""

    name: str
    rule: str
    """Which boxes are in it, in words."""
    photos: int
    """Photos with at least one box of the slice."""
    truths: int
    """Labelled boxes of the slice that count."""
    recall: float | NotComputed
    """At IoU 0.5 and the score threshold of the whole evaluation."""
    map50: float | NotComputed
    map50_95: float | NotComputed

    def as_dict(self) -> dict[str, Any]:
        """For JSON: what is not computed is null, and ``reason`` says why."""
        values = asdict(self)
        for name in ("recall", "map50", "map50_95"):
            value = getattr(self, name)
            if isinstance(value, NotComputed):
                values |= {name: None, "reason": value.reason}
        return values

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> SliceResult:
        """The reverse of ``as_dict``. Raises KeyError or TypeError for anything else."""
        why = NotComputed(str(data.get("reason", "not known")))
        recall, map50, map50_95 = (why if data[n] is None else float(data[n]) for n in ("recall", "map50", "map50_95"))
        return cls(data["name"], data["rule"], int(data["photos"]), int(data["truths"]), recall, map50, map50_95)


def measure_slices(dataset: Dataset, detections: Sequence[Detections], threshold: float) -> list[SliceResult]:
    """Each slice and the boxes outside it, measured on what was found in the photos, in their order.

    ``threshold`` is the score that recall is taken at. Reads every photo for its brightness; raises DataError where one
    cannot be read.
    """
    dark = np.array([mean_luma(read_image(record.path)) < LOW_LIGHT for record in dataset], bool)
    rule = f"photos with a mean luma under {LOW_LIGHT:.0f} of 255"
    results = []
    for name, text, photos in (("low light", rule, dark), ("brighter photos", f"not: {rule}", ~dark)):
        chosen = np.flatnonzero(photos).tolist()
        part, found = dataset.select(chosen), [detections[i] for i in chosen]
        results.append(_measured(name, text, part, found, [np.ones(len(record), bool) for record in part], threshold))
    for name, others, rule, within in _BOX_RULES:
        masks = [within(record) for record in dataset]
        results.append(_measured(name, rule, dataset, detections, masks, threshold))
        results.append(_measured(others, f"not: {rule}", dataset, detections, [~mask for mask in masks], threshold))
    return results


def mean_luma(photo: NDArray[np.uint8]) -> float:
    """Mean luma of a photo (H, W, 3) RGB, 0 to 255.

    >>> mean_luma(np.full((2, 2, 3), 100, np.uint8))
    100.0
    """
    return round(float(photo.reshape(-1, 3).mean(axis=0) @ LUMA), 6)


def occluded(record: ImageRecord) -> Mask:
    """Which boxes (N,) are occluded: the annotators' flag where there is one, else by their overlap with others.

    The overlap says that two animals meet, not which of the two is in front: both count.
    """
    flags = record.flags.occluded
    return np.asarray(np.where(flags == UNKNOWN, covered_share(record) >= COVERED, flags == 1), bool)


def covered_share(record: ImageRecord) -> NDArray[np.float64]:
    """The share (N,) of each box that lies under the one other labelled box that covers most of it."""
    boxes = clip(record.boxes, record.width, record.height)
    if len(boxes) < 2:
        return np.zeros(len(boxes))
    top_left = np.maximum(boxes[:, None, :2], boxes[None, :, :2])  # (N, N, 2)
    bottom_right = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    common = np.clip(bottom_right - top_left, 0, None).prod(axis=2)  # (N, N)
    np.fill_diagonal(common, 0)
    return np.asarray(common.max(axis=1) / np.maximum(area(boxes), 1e-9), np.float64)


_BOX_RULES: tuple[tuple[str, str, str, Callable[[ImageRecord], Mask]], ...] = (
    (
        "occluded",
        "not occluded",
        f"flagged as occluded, or (no flag) at least {COVERED:.0%} under another labelled box",
        occluded,
    ),
    (
        "small",
        "not small",
        "up to 32 x 32 pixels of the photo (COCO)",
        lambda record: np.asarray(area(record.boxes) <= SMALL),
    ),
    (
        "small in the picture",
        "larger in the picture",
        f"up to {TINY:.0%} of the photo's area",
        lambda record: np.asarray(area(record.boxes) <= TINY * record.width * record.height),
    ),
)
"""Name of the slice, name of the boxes outside it, the rule in words, and the boxes (N,) of a photo that are in it."""


def _measured(
    name: str, rule: str, dataset: Dataset, detections: Sequence[Detections], masks: Sequence[Mask], threshold: float
) -> SliceResult:
    inside = np.concatenate([np.zeros(0, bool), *masks])
    truth, found = truth_table(dataset.records), detection_table(detections).best()
    counts = inside & ~truth.ignore
    photos, truths = len(np.unique(truth.photos[counts])), int(counts.sum())
    if not truths:
        nothing = NotComputed("no labelled box is in this slice")
        return SliceResult(name, rule, photos, truths, nothing, nothing, nothing)
    kept = match(truth, found.pick(found.scores >= threshold))
    recall = float(counts[kept.truth[kept.hits]].sum() / truths)
    metrics = evaluate_tables(replace(truth, ignore=~counts), found, len(dataset), dataset.class_names)
    return SliceResult(name, rule, photos, truths, recall, metrics.map50, metrics.map50_95)
