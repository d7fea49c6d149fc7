"""Weighted boxes fusion: one box from all that several looks at a photo say of the same animal, in NumPy.

Source: R. Solovyev, W. Wang, T. Gabruseva, "Weighted boxes fusion: Ensembling boxes from different object detection
models", Image and Vision Computing 2021, https://arxiv.org/abs/1910.13302, section 3. Suppression keeps the best box
and throws the others away; fusion lets each of them move it, by its score.

Notation: N boxes of all views together, V views (or models), F fused boxes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from herder.boxes import FloatArray, IntArray
from herder.detections import Detections

FUSION_IOU = 0.55
"""Overlap above which two boxes are of one animal: the paper's choice."""


def fuse_boxes(
    boxes: FloatArray,
    scores: FloatArray,
    classes: IntArray,
    views: IntArray,
    count: int,
    *,
    iou_threshold: float = FUSION_IOU,
    once_a_view: bool = True,
) -> tuple[FloatArray, FloatArray, IntArray]:
    """Fuse boxes (N, 4) xyxy of ``count`` looks at one photo; boxes (F, 4), scores (F,), classes (F,), best first.

    ``views`` (N,) says from which look, 0 to V - 1, each box is; V is ``count``. From the best score down, each box
    joins the cluster of its class whose fused box overlaps it most, if by more than ``iou_threshold``, else it begins
    one. A cluster of T boxes has (equations 1 to 5 of the paper)

        score = sum(C_i) / T,   corners = sum(C_i X_i) / sum(C_i),

    and in the end its score is multiplied by min(T, V) / V: what few of the views saw counts less. Two boxes of one
    view, which that view's own suppression let stand, are two animals: unlike in the paper they never share a cluster,
    so that animals close together stay apart. ``once_a_view`` False is the paper's rule. The order of the boxes and the
    numbers of the views do not matter. Raises ValueError where lengths differ or a view is out of range.

    >>> two, first = np.array([[0, 0, 10, 10], [0, 0, 10, 8]], np.float32), np.zeros(2, np.int64)
    >>> boxes, scores, _ = fuse_boxes(two, np.array([0.6, 0.2], np.float32), first, np.array([0, 1]), 2)
    >>> boxes.tolist(), scores.round(3).tolist()
    ([[0.0, 0.0, 10.0, 9.5]], [0.4000000059604645])
    """
    if not len(boxes) == len(scores) == len(classes) == len(views):
        lengths = f"{len(boxes)} boxes, {len(scores)} scores, {len(classes)} classes and {len(views)} views"
        raise ValueError(f"fusion: {lengths} do not match")
    if len(views) and not 0 <= views.min() <= views.max() < count:
        raise ValueError(f"fusion: views {views.min()} to {views.max()} are out of range for {count}")
    # Equal scores go by class and place, so that the order in which views come can decide nothing.
    order = np.lexsort((*boxes.T[::-1], classes, -scores))
    rows = zip(
        boxes[order].astype(np.float64), scores[order].astype(np.float64), classes[order], views[order], strict=True
    )
    fused, weighted = np.zeros((len(order), 4)), np.zeros((len(order), 4))  # of both the first F rows are used
    total, members = np.zeros(len(order)), np.zeros(len(order))
    kind, seen = np.zeros(len(order), np.int64), np.zeros((len(order), count), np.bool_)
    clusters = 0
    for box, score, own, view in rows:
        may_join = kind[:clusters] == own  # (F,)
        if once_a_view:
            may_join &= ~seen[:clusters, view]
        overlaps = np.where(may_join, _overlaps(fused[:clusters], box), 0.0)
        place = int(np.argmax(overlaps)) if clusters else 0
        if not clusters or not overlaps[place] > iou_threshold:
            place, kind[clusters], clusters = clusters, own, clusters + 1
        members[place] += 1
        seen[place, view] = True
        total[place] += score
        weighted[place] += score * box
        # Boxes without any score move nothing: such a one stands as it is.
        fused[place] = weighted[place] / total[place] if total[place] > 0 else box
    t = members[:clusters]
    merged = total[:clusters] / np.maximum(t, 1) * np.minimum(t, count) / count
    best = np.argsort(-merged, kind="stable")
    return fused[best].astype(np.float32), merged[best].astype(np.float32), kind[best]


def fuse_detections(found: Sequence[Detections], *, iou_threshold: float = FUSION_IOU) -> Detections:
    """Fuse what several views or models found on one photo; a single view stays as it is.

    Raises ValueError where there is no view.
    """
    if not found:
        raise ValueError("fusion: no view")
    if len(found) == 1:
        return found[0]
    boxes, scores, classes = (np.concatenate([getattr(v, name) for v in found]) for name in _COLUMNS)
    views = np.repeat(np.arange(len(found)), [len(view) for view in found])
    one = fuse_boxes(boxes, scores, classes, views, len(found), iou_threshold=iou_threshold)
    return Detections(*one, found[0].class_names)


_COLUMNS = ("boxes", "scores", "classes")


def _overlaps(boxes: NDArray[np.float64], box: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union (F,) of boxes (F, 4) with one (4,), in float64; 0 where both are empty."""
    sides = np.minimum(boxes[:, 2:], box[2:]) - np.maximum(boxes[:, :2], box[:2])  # (F, 2)
    intersection = np.clip(sides, 0, None).prod(axis=1)
    union = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) + (box[2:] - box[:2]).prod() - intersection
    return np.asarray(intersection / np.maximum(union, np.finfo(np.float64).tiny), np.float64)
