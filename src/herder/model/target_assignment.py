"""Which cell answers for which animal.

Task-aligned assignment after TOOD (https://arxiv.org/abs/2108.07755) and SimOTA after YOLOX
(https://arxiv.org/abs/2107.08430). Both run on whole batches without a loop over photos.
Notation: B photos, A cells, G animals of the fullest photo (others are padded), K classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from herder.model.box_overlap import pairwise_iou


@dataclass
class Truth:
    """The animals of a batch: ``boxes`` (B, G, 4) xyxy pixels, ``classes`` (B, G), ``valid`` (B, G) False where padded.

    Herd boxes are not valid; they come as ``ignored`` (B, G) True.
    """

    boxes: Tensor
    classes: Tensor
    valid: Tensor
    ignored: Tensor


@dataclass
class Assignment:
    """For each cell: ``positive`` (B, A), ``animal`` (B, A) index into G, ``weight`` (B, A) the target score in 0..1.

    ``excused`` (B, A) marks negative cells that lie in a herd box: they are taught nothing.
    """

    positive: Tensor
    animal: Tensor
    weight: Tensor
    excused: Tensor


def centres_inside(centres: Tensor, boxes: Tensor) -> Tensor:
    """Whether each cell's centre (A, 2) lies in each box (B, G, 4): (B, G, A)."""
    x, y = centres[:, 0], centres[:, 1]  # (A,)
    left, top, right, bottom = boxes[..., None].unbind(2)  # (B, G, 1) each
    return (x > left) & (x < right) & (y > top) & (y < bottom)


def herd_cells(centres: Tensor, truth: Truth) -> Tensor:
    """Cells (B, A) whose centre lies in a herd box."""
    return (centres_inside(centres, truth.boxes) & truth.ignored[..., None]).any(dim=1)


@torch.no_grad()
def assign_task_aligned(
    boxes: Tensor,
    scores: Tensor,
    centres: Tensor,
    strides: Tensor,
    truth: Truth,
    *,
    top: int = 10,
    alpha: float = 0.5,
    beta: float = 6.0,
) -> Assignment:
    """The ``top`` cells of each animal by score ** alpha * IoU ** beta, among those whose centre lies in its box.

    ``boxes`` (B, A, 4) predicted xyxy pixels, ``scores`` (B, A, K) predicted 0..1, ``centres`` (A, 2), ``strides``
    (A, 1). A cell wanted by two animals goes to the one it overlaps more. The target weight is the alignment, scaled
    so that each animal's best cell gets the animal's best IoU (TOOD, equation 4).
    """
    batch, cells = scores.shape[:2]
    if truth.boxes.shape[1] == 0:
        return _nothing(batch, cells, boxes)
    # An animal smaller than a cell may hold no centre at all: its box is widened to one finest cell for the choice.
    middle = (truth.boxes[..., :2] + truth.boxes[..., 2:]) / 2
    half = ((truth.boxes[..., 2:] - truth.boxes[..., :2]) / 2).clamp(min=float(strides[0, 0]) * 0.75)
    reach = torch.cat((middle - half, middle + half), dim=-1)  # (B, G, 4)
    candidate = centres_inside(centres, reach) & truth.valid[..., None]  # (B, G, A)
    iou = pairwise_iou(truth.boxes, boxes) * candidate  # (B, G, A)
    column = truth.classes.clamp(min=0)[..., None].expand(-1, -1, cells)  # (B, G, A)
    score = scores.transpose(1, 2).gather(1, column)  # (B, G, A)
    alignment = score.pow(alpha) * iou.pow(beta) * candidate
    best = alignment.topk(min(top, cells), dim=-1)
    chosen = torch.zeros_like(candidate).scatter_(-1, best.indices, best.values > 0)
    owner_iou, animal = torch.where(chosen, iou, -1.0).max(dim=1)  # (B, A)
    positive = owner_iou >= 0
    mine = F.one_hot(animal, truth.boxes.shape[1]).transpose(1, 2).bool() & positive[:, None]  # (B, G, A)
    alignment, iou = alignment * mine, iou * mine
    scaled = alignment / alignment.amax(-1, keepdim=True).clamp(min=1e-9) * iou.amax(-1, keepdim=True)
    weight = scaled.amax(dim=1)  # (B, A)
    return Assignment(positive, animal, weight, herd_cells(centres, truth) & ~positive)


@torch.no_grad()
def assign_sim_ota(
    boxes: Tensor,
    scores: Tensor,
    centres: Tensor,
    strides: Tensor,
    truth: Truth,
    *,
    radius: float = 1.5,
    top: int = 10,
) -> Assignment:
    """SimOTA: each animal takes as many cells as its ``top`` best overlaps sum to, the cheapest first.

    The cost is the class's cross entropy + 3 x (-log IoU), with a fine outside of box and centre region (``radius``
    strides around the animal's middle). Arguments as in ``assign_task_aligned``; the weight is the IoU, as YOLOX has
    it.
    """
    batch, cells, classes = scores.shape
    if truth.boxes.shape[1] == 0:
        return _nothing(batch, cells, boxes)
    middle = (truth.boxes[..., :2] + truth.boxes[..., 2:]) / 2  # (B, G, 2)
    near = ((middle[:, :, None] - centres).abs() < radius * strides).all(-1)  # (B, G, A)
    inside = centres_inside(centres, truth.boxes)
    valid = truth.valid[..., None]
    candidate = (inside | near) & valid
    iou = pairwise_iou(truth.boxes, boxes) * candidate
    wanted = F.one_hot(truth.classes.clamp(min=0), classes).to(scores.dtype)  # (B, G, K)
    p = scores.clamp(1e-7, 1 - 1e-7).sqrt()  # YOLOX takes the root of class x objectness here
    on, off = p.log().clamp(min=-100), torch.log1p(-p).clamp(min=-100)
    entropy = -(wanted @ on.transpose(1, 2) + (1 - wanted) @ off.transpose(1, 2))  # (B, G, A)
    cost = entropy - 3 * (iou + 1e-8).log() + 1e5 * ~(inside & near) + 1e7 * ~candidate
    count = iou.topk(min(top, cells), dim=-1).values.sum(-1).int().clamp(min=1)  # (B, G)
    most = min(top, cells)
    cheapest = cost.topk(most, dim=-1, largest=False).indices  # (B, G, top)
    wanted_rank = torch.arange(most, device=boxes.device) < count[..., None]  # (B, G, top)
    chosen = torch.zeros_like(candidate).scatter_(-1, cheapest, wanted_rank) & candidate
    price, animal = torch.where(chosen, cost, torch.inf).min(dim=1)  # (B, A)
    positive = torch.isfinite(price)
    weight = iou.gather(1, animal[:, None])[:, 0] * positive
    return Assignment(positive, animal, weight, herd_cells(centres, truth) & ~positive)


def _nothing(batch: int, cells: int, like: Tensor) -> Assignment:
    no = torch.zeros(batch, cells, dtype=torch.bool, device=like.device)
    return Assignment(no, no.long(), torch.zeros(batch, cells, device=like.device), no)
