"""Teaching a small network what larger ones see: the loss of a batch with its labels and with its teachers.

The terms are in ``distillation_terms``. Teachers see the very canvases that the student sees, augmentation and all
("consistent teaching", Beyer et al. 2022, https://arxiv.org/abs/2106.05237).
Notation: B photos, A cells, K classes of the student, R bins, P cells that a teacher finds something in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from herder.errors import ConfigError
from herder.model.distillation_config import DistillationConfig
from herder.model.distillation_terms import (
    box_distillation,
    channel_wise_distillation,
    class_distillation,
    localization_distillation,
    score_logits,
)
from herder.model.head import RawOutput, decode_boxes
from herder.model.losses import DetectionLoss, LossTerms, at_least_one
from herder.model.network import Network
from herder.spec import Architecture, ModelSpec

FLOOR = 0.05
"""A cell whose best score in the teacher is lower has no box worth learning."""


@dataclass
class DistilledTerms(LossTerms):
    """The terms of the labels, and the weighted terms of the teachers; ``total`` is the sum of all."""

    soft_cls: Tensor
    soft_box: Tensor
    soft_dfl: Tensor
    features: Tensor


@dataclass(frozen=True)
class Lesson:
    """What the teachers say of a batch: ``scores`` (B, A, K) softened by the temperature, ``confidence`` (B, A) the
    best plain score of each cell, ``boxes`` (B, A, 4) xyxy pixels, ``sides`` (B, A, 4, R) softened distributions or
    None, ``maps`` of each teacher."""

    scores: Tensor
    confidence: Tensor
    boxes: Tensor
    sides: Tensor | None
    maps: tuple[tuple[Tensor, ...], ...]


def matching_classes(teacher: ModelSpec, student: ModelSpec) -> list[int]:
    """For each class of the student its id in the teacher, by name.

    Raises ConfigError where the teacher lacks one, or its cells are not the student's.
    """
    if teacher.architecture.strides != student.architecture.strides:
        raise ConfigError(
            f"teacher {teacher.name}: its cells have strides {list(teacher.architecture.strides)},"
            f" those of {student.name} {list(student.architecture.strides)}",
            hint="choose a teacher with the student's strides",
        )
    missing = [name for name in student.class_names if name not in teacher.class_names]
    if missing:
        raise ConfigError(
            f"teacher {teacher.name}: does not know {', '.join(missing[:5])}; its classes are"
            f" {', '.join(teacher.class_names[:5])}{', ...' if len(teacher.class_names) > 5 else ''}",
            hint="train the teacher on these photos first: herder train DATA --init TEACHER",
        )
    return [teacher.class_names.index(name) for name in student.class_names]


class Teachers:
    """One teacher or an ensemble, frozen: scores are averaged, boxes and their sides too, weighted by the scores.

    Raises ConfigError where a teacher lacks a class of ``student`` or has other strides.
    """

    def __init__(self, networks: Sequence[Network], student: ModelSpec, *, device: torch.device | str = "cpu") -> None:
        if not networks:
            raise ConfigError("distillation: no teacher", hint="name at least one model file")
        self.columns = [matching_classes(network.spec, student) for network in networks]
        self.student = student
        self.networks = [network.fused().to(device).requires_grad_(False) for network in networks]

    @torch.no_grad()
    def teach(self, images: Tensor, *, temperature: float = 1.0, box_temperature: float = 1.0) -> Lesson:
        """What they say of images (B, 3, H, W) RGB 0..255.

        ``sides`` come from those teachers whose boxes are distributions over as many bins as the student's.
        """
        bins = self.student.architecture.reg_max
        scores, confidences, boxes, sides, maps = [], [], [], [], []
        for network, columns in zip(self.networks, self.columns, strict=True):
            raw = network.raw(images)
            logits = score_logits(raw)[..., columns]  # (B, A, K)
            confidence = logits.sigmoid().amax(-1)  # (B, A)
            scores.append((logits / temperature).sigmoid())
            confidences.append(confidence)
            boxes.append(decode_boxes(raw, network.spec.architecture.reg_max))
            if bins and network.spec.architecture.reg_max == bins:
                soft = raw.box.float().view(*raw.box.shape[:-1], 4, bins) / box_temperature
                sides.append((confidence, soft.softmax(-1)))
            maps.append(raw.maps)
        return Lesson(
            torch.stack(scores).mean(0),
            torch.stack(confidences).mean(0),
            _weighted_mean(boxes, confidences),
            _weighted_mean([s for _, s in sides], [c for c, _ in sides]) if sides else None,
            tuple(maps),
        )


def map_widths(network: Network) -> list[int]:
    """Channels of the neck's maps, as the head takes them: a pruned network has fewer than its architecture says.

    >>> from herder.spec import example_spec
    >>> map_widths(Network(example_spec()))
    [16, 32, 32]
    """
    convolutions = (next(m for m in stem.modules() if isinstance(m, nn.Conv2d)) for stem in network.head.stems)
    return [convolution.in_channels for convolution in convolutions]


def _weighted_mean(values: Sequence[Tensor], confidences: Sequence[Tensor]) -> Tensor:
    """Mean over teachers of values (B, A, ...), each cell weighted by the teacher's confidence (B, A)."""
    if len(values) == 1:
        return values[0]
    weight = torch.stack(list(confidences)).clamp(min=1e-6)  # (T, B, A)
    weight = weight / weight.sum(0)
    stacked = torch.stack(list(values))  # (T, B, A, ...)
    return (stacked * weight.view(*weight.shape, *[1] * (stacked.ndim - weight.ndim))).sum(0)


class DistillationLoss(nn.Module):
    """The loss of the labels plus what the teachers say; a ``LossFunction`` for the training loop.

    The maps of a student of another architecture than the teacher's go through 1 x 1 convolutions that learn along and
    are thrown away afterwards. Terms are divided by the sum of the teachers' confidences, as the labels' terms are by
    theirs. Of a one-to-one network the first, one-to-many head is taught, and the features both heads share.
    """

    more_terms = ("soft_cls", "soft_box", "soft_dfl", "features")

    def __init__(
        self,
        labels: DetectionLoss,
        teachers: Teachers,
        student: Network,
        config: DistillationConfig,
        *,
        count: Callable[[Tensor], Tensor] = at_least_one,
    ) -> None:
        super().__init__()
        self.labels, self.teachers, self.config, self.count = labels, teachers, config, count
        self.reg_max = student.spec.architecture.reg_max
        self.adapters = nn.ModuleList()
        for network in teachers.networks if config.features else ():
            pairs = zip(map_widths(student), map_widths(network), strict=True)
            # Channel 7 of one architecture has nothing to do with channel 7 of another, even where both have as many.
            alike = _float(network.spec) == _float(student.spec)
            self.adapters.append(
                nn.ModuleList(
                    nn.Identity() if alike and ours == theirs else nn.Conv2d(ours, theirs, 1) for ours, theirs in pairs
                )
            )

    def forward(self, raw: RawOutput, boxes: Tensor, classes: Tensor, valid: Tensor, ignore: Tensor) -> DistilledTerms:
        """As ``DetectionLoss``: boxes (B, G, 4) canvas pixels, classes, valid and ignore (B, G) to the terms."""
        hard = self.labels(raw, boxes, classes, valid, ignore)
        soft = self.soft_terms(raw)
        total = hard.total + torch.stack(soft).sum()
        return DistilledTerms(total, hard.box, hard.cls, hard.dfl, hard.obj, *soft)

    def soft_terms(self, raw: RawOutput) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The weighted terms of the teachers alone: classes, boxes, sides, features."""
        c = self.config
        assert raw.images is not None
        lesson = self.teachers.teach(raw.images, temperature=c.temperature, box_temperature=c.box_temperature)
        nothing = raw.cls.new_zeros((), dtype=torch.float32)
        count = self.count(lesson.confidence.sum())
        cls = class_distillation(score_logits(raw), lesson.scores, c.temperature) / count if c.cls else nothing
        chosen = lesson.confidence > FLOOR  # (B, A)
        weight = lesson.confidence[chosen]  # (P,)
        box = dfl = features = nothing
        if c.box:
            box = box_distillation(decode_boxes(raw, self.reg_max)[chosen], lesson.boxes[chosen], weight) / count
        if c.dfl and lesson.sides is not None:
            bins = raw.box[chosen].float().view(-1, 4, self.reg_max)
            dfl = localization_distillation(bins, lesson.sides[chosen], weight, c.box_temperature) / count
        if c.features:
            each = [
                channel_wise_distillation(adapt(ours.float()), theirs, c.feature_temperature)
                for adapters, maps in zip(self.adapters, lesson.maps, strict=True)
                for adapt, ours, theirs in zip(_modules(adapters), raw.maps, maps, strict=True)
            ]
            features = torch.stack(each).mean()
        return cls * c.cls, box * c.box, dfl * c.dfl, features * c.features


def _float(spec: ModelSpec) -> Architecture:
    """The architecture before any quantization, which leaves each channel its meaning."""
    return replace(spec.architecture, quantization=None)


def _modules(adapters: nn.Module) -> list[nn.Module]:
    return list(adapters.children())
