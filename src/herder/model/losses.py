"""What the network is taught by: boxes, classes, distributions, objectness. Always in float32.

CIoU (https://arxiv.org/abs/1911.08287), distribution focal loss (https://arxiv.org/abs/2006.04388), varifocal loss
(https://arxiv.org/abs/2008.13367), with the assignments of ``target_assignment``.
Notation: B photos, A cells, G animals, K classes, R bins, P positive cells of the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional as F

from herder.model.box_overlap import complete_iou
from herder.model.head import RawOutput, decode_boxes, decode_scores
from herder.model.target_assignment import Assignment, Truth, assign_sim_ota, assign_task_aligned
from herder.spec import ModelSpec


@dataclass(frozen=True)
class LossConfig:
    """How much each term counts, and how cells are chosen."""

    box: float = 7.5
    """Weight of the CIoU term."""
    cls: float = 0.5
    """Weight of the classification term."""
    dfl: float = 1.5
    """Weight of the distribution term."""
    obj: float = 1.0
    """Weight of the objectness term, where the head has one."""
    assigner: str = "auto"
    """``task_aligned``, ``sim_ota``, or ``auto``: SimOTA for heads with objectness, task-aligned for others."""
    top: int = 10
    """Cells an animal may have at most."""
    alpha: float = 0.5
    """Power of the score in the task alignment."""
    beta: float = 6.0
    """Power of the IoU in the task alignment."""
    varifocal: bool = False
    """Varifocal in place of plain binary cross entropy for classes."""

    @classmethod
    def yolox(cls) -> LossConfig:
        """Weights for heads with objectness: YOLOX's own (box 5, everything else 1)."""
        return cls(box=5.0, cls=1.0, obj=1.0)


@dataclass
class LossTerms:
    """The sum to minimise and its weighted terms, each a scalar tensor."""

    total: Tensor
    box: Tensor
    cls: Tensor
    dfl: Tensor
    obj: Tensor

    def detached(self) -> dict[str, Tensor]:
        """Terms by name, without history."""
        return {f.name: getattr(self, f.name).detach() for f in fields(self)}


def box_loss(predicted: Tensor, wanted: Tensor, weight: Tensor) -> Tensor:
    """Weighted sum of 1 - CIoU over positive cells: boxes (P, 4) and (P, 4) pixels, weight (P,)."""
    return ((1 - complete_iou(predicted, wanted)) * weight).sum()


def distribution_focal_loss(logits: Tensor, sides: Tensor, weight: Tensor) -> Tensor:
    """Weighted sum over positive cells of the cross entropy with the two bins beside each wanted side.

    logits (P, 4, R), sides (P, 4) in strides, weight (P,). Sides past the last bin are cut to it.
    """
    bins = logits.shape[-1]
    sides = sides.clamp(0, bins - 1 - 0.01)
    lower = sides.long()
    share = sides - lower  # (P, 4) what belongs to the upper bin
    log_p = logits.log_softmax(-1)
    entropy = -(
        log_p.gather(-1, lower[..., None])[..., 0] * (1 - share)
        + log_p.gather(-1, lower[..., None] + 1)[..., 0] * share
    )
    return (entropy.mean(-1) * weight).sum()


def classification_loss(logits: Tensor, wanted: Tensor, keep: Tensor, class_weight: Tensor | None) -> Tensor:
    """Sum of binary cross entropies with soft targets: logits and wanted (B, A, K), keep (B, A, 1) 0 where excused."""
    entropy = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none") * keep
    return (entropy if class_weight is None else entropy * class_weight).sum()


def varifocal_loss(logits: Tensor, wanted: Tensor, keep: Tensor, class_weight: Tensor | None) -> Tensor:
    """Like ``classification_loss``, but positives count by their target and negatives by 0.75 p ** 2 (varifocal
    loss)."""
    p = logits.detach().sigmoid()
    focus = torch.where(wanted > 0, wanted, 0.75 * p.square())
    entropy = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none") * focus * keep
    return (entropy if class_weight is None else entropy * class_weight).sum()


def at_least_one(count: Tensor) -> Tensor:
    """What a batch's sums are divided by: its own count of targets, or 1 where it has none."""
    return count.clamp(min=1)


class DetectionLoss:
    """The loss of a batch: assign cells to animals, then add up the terms.

    Every term is divided by the sum of target weights, so that neither batch size nor herd size changes its scale.
    ``class_weight`` (K,) makes rare classes count more; None counts all alike. ``count`` turns this batch's target
    weights into the divisor: over several processes it asks the others, too.
    """

    def __init__(
        self,
        spec: ModelSpec,
        config: LossConfig | None = None,
        *,
        class_weight: Tensor | None = None,
        count: Callable[[Tensor], Tensor] = at_least_one,
    ) -> None:
        self.reg_max = spec.architecture.reg_max
        self.config = config or LossConfig()
        self.class_weight = class_weight
        self.count = count
        auto = "sim_ota" if spec.architecture.objectness else "task_aligned"
        self.assigner = auto if self.config.assigner == "auto" else self.config.assigner

    def __call__(self, raw: RawOutput, boxes: Tensor, classes: Tensor, valid: Tensor, ignore: Tensor) -> LossTerms:
        """Animals' boxes (B, G, 4) canvas pixels, classes (B, G), valid and ignore (B, G) to LossTerms."""
        truth = Truth(boxes.float(), classes, valid & ~ignore, valid & ignore)
        terms = self._terms(raw, truth, top=self.config.top)
        if raw.one_to_one is None:
            return terms
        single = self._terms(raw.one_to_one, truth, top=1)
        return LossTerms(*(getattr(terms, f.name) + getattr(single, f.name) for f in fields(LossTerms)))

    def assign(self, raw: RawOutput, predicted: Tensor, truth: Truth, *, top: int) -> Assignment:
        """Choose cells for the animals, by predicted boxes (B, A, 4) pixels."""
        centres = raw.corners + raw.strides / 2
        scores = decode_scores(raw).detach()
        if self.assigner == "sim_ota":
            return assign_sim_ota(predicted.detach(), scores, centres, raw.strides, truth, top=top)
        c = self.config
        return assign_task_aligned(
            predicted.detach(), scores, centres, raw.strides, truth, top=top, alpha=c.alpha, beta=c.beta
        )

    def _terms(self, raw: RawOutput, truth: Truth, *, top: int) -> LossTerms:
        c = self.config
        predicted = decode_boxes(raw, self.reg_max)  # (B, A, 4)
        chosen = self.assign(raw, predicted, truth, top=top)
        positive = chosen.positive
        picked = chosen.animal[positive]  # (P,)
        photo = positive.nonzero()[:, 0]  # (P,)
        weight = chosen.weight[positive]  # (P,)
        wanted_boxes = truth.boxes[photo, picked]  # (P, 4)
        logits = raw.cls.float()
        if raw.obj is None:
            target, count = weight, self.count(weight.sum())
            # A cell counts for its box as much as for its class.
            box_weight = weight
        else:
            # YOLOX: every positive cell counts 1 for box and objectness; the class is wanted at the box's IoU.
            target, count = weight, self.count(positive.sum().float())
            box_weight = torch.ones_like(weight)
        wanted = torch.zeros_like(logits)  # (B, A, K)
        cell = positive.nonzero()[:, 1]
        wanted[photo, cell, truth.classes[photo, picked]] = target.to(wanted.dtype)
        keep = (~chosen.excused)[..., None].float()
        if raw.obj is not None:
            obj = F.binary_cross_entropy_with_logits(raw.obj.float(), positive[..., None].float(), reduction="none")
            obj = (obj * keep).sum() / count * c.obj
            keep = positive[..., None].float()  # only cells with an animal are taught classes
        else:
            obj = logits.new_zeros(())
        classify = varifocal_loss if c.varifocal else classification_loss
        cls = classify(logits, wanted, keep, self.class_weight) / count * c.cls
        box = box_loss(predicted[positive], wanted_boxes, box_weight) / count * c.box
        if self.reg_max:
            centre, stride = (raw.corners + raw.strides / 2)[cell], raw.strides[cell]  # (P, 2), (P, 1)
            sides = torch.cat((centre - wanted_boxes[:, :2], wanted_boxes[:, 2:] - centre), dim=-1) / stride
            bins = raw.box[positive].float().view(-1, 4, self.reg_max)
            dfl = distribution_focal_loss(bins, sides, box_weight) / count * c.dfl
        else:
            dfl = logits.new_zeros(())
        return LossTerms(box + cls + dfl + obj, box, cls, dfl, obj)
