"""What a student can be taught of a teacher, one function a term: classes, boxes, their distributions, feature maps.

Every term is a Kullback-Leibler divergence (or 1 - CIoU), so that it is 0 where the student already says what its
teacher says. Notation: B photos, A cells, K classes, R bins, P chosen cells, C channels of a map.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from herder.model.box_overlap import complete_iou
from herder.model.head import RawOutput


def score_logits(raw: RawOutput) -> Tensor:
    """Logits (B, A, K) of the scores, float32: one scale for heads with and without objectness.

    Where there is objectness, the score is the product of two sigmoids of c and o; its logit is
    -log(exp(-c) + exp(-o) + exp(-c - o)).

    >>> one = torch.tensor([[[2.0]]])
    >>> raw = RawOutput(one, one, one, torch.zeros(1, 2), torch.ones(1, 1))
    >>> torch.allclose(score_logits(raw).sigmoid(), one.sigmoid() ** 2)
    True
    """
    c = raw.cls.float()
    if raw.obj is None:
        return c
    o = raw.obj.float().expand_as(c)
    return -torch.stack((-c, -o, -c - o)).logsumexp(0)


def class_distillation(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Sum of T ** 2 KL(teacher || student) over cells and classes (Hinton et al. 2015, https://arxiv.org/abs/1503.02531).

    ``student`` (B, A, K) logits of the scores, ``teacher`` (B, A, K) its softened scores sigmoid(z / T), 0..1. A
    detector's classes are yes-or-no questions, so each has a divergence of its own.
    """
    cross = F.binary_cross_entropy_with_logits(student / temperature, teacher, reduction="none")
    own = _entropy(teacher) + _entropy(1 - teacher)
    return (cross - own).sum() * temperature**2


def box_distillation(student: Tensor, teacher: Tensor, weight: Tensor) -> Tensor:
    """Weighted sum of 1 - CIoU (https://arxiv.org/abs/1911.08287) between boxes (P, 4) xyxy pixels; weight (P,)."""
    return ((1 - complete_iou(student, teacher)) * weight).sum()


def localization_distillation(student: Tensor, teacher: Tensor, weight: Tensor, temperature: float) -> Tensor:
    """Weighted sum of T ** 2 KL(teacher || student), mean over a box's four sides (LD, Zheng et al. 2022).

    ``student`` (P, 4, R) logits, ``teacher`` (P, 4, R) its softened distributions softmax(z / T), weight (P,).
    https://arxiv.org/abs/2102.12252, equation 3. A flat or two-peaked side tells how unsure the teacher is of it.
    """
    log_p = (student / temperature).log_softmax(-1)
    divergence = (-_entropy(teacher) - teacher * log_p).sum(-1)  # (P, 4)
    return (divergence.mean(-1) * weight).sum() * temperature**2


def channel_wise_distillation(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T ** 2 KL(teacher || student) of where each channel is active, mean over photos and channels (CWD, Shu 2021).

    Both maps (B, C, H, W). Each channel becomes a distribution over its cells, softmax(y / T), so that what counts is
    where it fires and not how strongly. https://arxiv.org/abs/2011.13256, equation 5.
    """
    log_t = (teacher.float().flatten(2) / temperature).log_softmax(-1)  # (B, C, H W)
    log_s = (student.float().flatten(2) / temperature).log_softmax(-1)
    return (log_t.exp() * (log_t - log_s)).sum(-1).mean() * temperature**2


def _entropy(p: Tensor) -> Tensor:
    """-p log p of each value, 0 at 0."""
    entropy: Tensor = torch.special.entr(p)
    return entropy
