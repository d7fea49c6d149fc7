"""Overlap of boxes as torch tensors: IoU for assignment, CIoU for the loss (https://arxiv.org/abs/1911.08287).

Notation: boxes are xyxy in pixels, any float dtype; results come in the dtype given.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

EPSILON = 1e-7
"""Keeps a division by the area of an empty box finite."""


def box_area(boxes: Tensor) -> Tensor:
    """(..., 4) to areas (...)."""
    return (boxes[..., 2] - boxes[..., 0]).clamp(min=0) * (boxes[..., 3] - boxes[..., 1]).clamp(min=0)


def pairwise_iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU (B, G, A) of each box of a (B, G, 4) with each of b (B, A, 4).

    >>> pairwise_iou(torch.tensor([[[0., 0, 2, 2]]]), torch.tensor([[[0., 0, 2, 2], [0, 0, 2, 4]]])).tolist()
    [[[1.0, 0.5]]]
    """
    width = torch.minimum(a[..., None, 2], b[:, None, :, 2]) - torch.maximum(a[..., None, 0], b[:, None, :, 0])
    height = torch.minimum(a[..., None, 3], b[:, None, :, 3]) - torch.maximum(a[..., None, 1], b[:, None, :, 1])
    intersection = width.clamp(min=0) * height.clamp(min=0)  # (B, G, A)
    union = box_area(a)[..., None] + box_area(b)[:, None] - intersection
    return intersection / union.clamp(min=EPSILON)


def complete_iou(a: Tensor, b: Tensor) -> Tensor:
    """CIoU (N,) of paired boxes a and b (N, 4): IoU, less the distance of the middles, less the difference in shape.

    >>> complete_iou(torch.tensor([[0., 0, 2, 2]]), torch.tensor([[0., 0, 2, 2]])).round(decimals=4).tolist()
    [1.0]
    """
    top_left, bottom_right = torch.maximum(a[:, :2], b[:, :2]), torch.minimum(a[:, 2:], b[:, 2:])
    intersection = (bottom_right - top_left).clamp(min=0).prod(-1)
    iou = intersection / (box_area(a) + box_area(b) - intersection).clamp(min=EPSILON)
    hull = torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])
    diagonal = hull.square().sum(-1).clamp(min=EPSILON)
    distance = (a[:, :2] + a[:, 2:] - b[:, :2] - b[:, 2:]).square().sum(-1) / 4
    size_a, size_b = (a[:, 2:] - a[:, :2]).clamp(min=EPSILON), (b[:, 2:] - b[:, :2]).clamp(min=EPSILON)
    angle = torch.atan(size_a[:, 0] / size_a[:, 1]) - torch.atan(size_b[:, 0] / size_b[:, 1])
    shape = 4 / math.pi**2 * angle.square()
    with torch.no_grad():  # the paper's trade-off weight is not differentiated
        alpha = shape / (1 - iou + shape).clamp(min=EPSILON)
    return iou - distance / diagonal - alpha * shape
