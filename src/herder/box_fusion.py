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
    boxes: FloatArray, scores: FloatArray, classes: IntArray, views: int, iou_threshold: float = FUSION_IOU
) -> tuple[FloatArray, FloatArray, IntArray]:
    """Fuse boxes (N, 4) xyxy of ``views`` looks at one photo; boxes (F, 4), scores (F,), classes (F,), best first.

    From the best score down, each box joins the cluster of its class whose fused box overlaps it most, if by more than
    ``iou_threshold``, else it begins a cluster. A cluster of T boxes has (equations 1 to 5 of the paper)

        score = sum(C_i) / T,   corners = sum(C_i X_i) / sum(C_i),

    and in the end its score is multiplied by min(T, V) / V: what few of the views saw counts less. The order of the
    boxes given does not matter. Raises ValueError where lengths differ or ``views`` is not positive.

    >>> two = np.array([[0, 0, 10, 10], [0, 0, 10, 8]], np.float32)
    >>> boxes, scores, _ = fuse_boxes(two, np.array([0.6, 0.2], np.float32), np.zeros(2, np.int64), views=2)
    >>> boxes.tolist(), scores.tolist()
    ([[0.0, 0.0, 10.0, 9.5]], [0.4000000059604645])
    """
    if views < 1:
        raise ValueError(f"fusion: {views} views, wanted 1 or more")
    if not len(boxes) == len(scores) == len(classes):
        raise ValueError(f"fusion: {len(boxes)} boxes, {len(scores)} scores and {len(classes)} classes do not match")
    # Equal scores go by class and place, so that the order in which views come can decide nothing.
    order = np.lexsort((*boxes.T[::-1], classes, -scores))
    corners, sure, kinds = boxes[order].astype(np.float64), scores[order].astype(np.float64), classes[order]
    fused = np.zeros((len(order), 4))  # (F, 4) as far as filled
    total, weighted, members = np.zeros(len(order)), np.zeros((len(order), 4)), np.zeros(len(order))
    kind = np.zeros(len(order), np.int64)
    count = 0
    for box, score, own in zip(corners, sure, kinds, strict=True):
        overlaps = np.where(kind[:count] == own, _overlaps(fused[:count], box), 0.0)  # (F,)
        place = int(np.argmax(overlaps)) if count else 0
        if not count or not overlaps[place] > iou_threshold:
            place, kind[count], count = count, own, count + 1
        members[place] += 1
        total[place] += score
        weighted[place] += score * box
        # Scores of nothing at all move nothing: such a box stands as it is.
        fused[place] = weighted[place] / total[place] if total[place] > 0 else box
    merged = total[:count] / np.maximum(members[:count], 1) * np.minimum(members[:count], views) / views
    best = np.argsort(-merged, kind="stable")
    return fused[best].astype(np.float32), merged[best].astype(np.float32), kind[best]


def fuse_detections(found: Sequence[Detections], iou_threshold: float = FUSION_IOU) -> Detections:
    """Fuse what several views or models found on one photo; a single view stays as it is.

    Raises ValueError where there is no view.
    """
    if not found:
        raise ValueError("fusion: no view")
    if len(found) == 1:
        return found[0]
    columns = (np.concatenate([getattr(view, name) for view in found]) for name in ("boxes", "scores", "classes"))
    return Detections(*fuse_boxes(*columns, len(found), iou_threshold), found[0].class_names)


def _overlaps(boxes: NDArray[np.float64], box: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union (F,) of boxes (F, 4) with one (4,), in float64; 0 where both are empty."""
    sides = np.minimum(boxes[:, 2:], box[2:]) - np.maximum(boxes[:, :2], box[:2])  # (F, 2)
    intersection = np.clip(sides, 0, None).prod(axis=1)
    union = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) + (box[2:] - box[:2]).prod() - intersection
    return np.asarray(intersection / np.maximum(union, np.finfo(np.float64).tiny), np.float64)
