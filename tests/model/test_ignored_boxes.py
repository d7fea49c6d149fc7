"""Boxes to be ignored in training: no cell answers for them, and cells inside them are taught nothing."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch
from torch import Tensor

from herder.model.head import RawOutput
from herder.model.losses import DetectionLoss, LossConfig
from herder.model.network import Network
from herder.model.target_assignment import Truth
from herder.spec import ModelSpec, example_spec

ANIMAL, HIDDEN = [8.0, 8, 40, 40], [60.0, 56, 120, 122]


def spec_of(family: str) -> ModelSpec:
    spec = example_spec()
    if family == "yolox":
        changes: dict[str, object] = {"family": "yolox", "stem": "focus", "reg_max": 0, "objectness": True}
    else:
        changes = {"one_to_one": family == "one to one"}
    return spec.replace(architecture=replace(spec.architecture, **changes))  # type: ignore[arg-type]


def output(spec: ModelSpec) -> RawOutput:
    torch.manual_seed(3)
    network = Network(spec).train()
    raw = network.raw(torch.rand(1, 3, 128, 128) * 255)
    return leaves(raw)


def leaves(raw: RawOutput) -> RawOutput:
    """The same numbers as leaves of the graph, so that gradients arrive at them."""
    names = [n for n in ("box", "cls", "obj") if getattr(raw, n) is not None]
    new = replace(raw, **{n: getattr(raw, n).detach().clone().requires_grad_() for n in names})
    return replace(new, one_to_one=leaves(raw.one_to_one)) if raw.one_to_one is not None else new


def truth(*boxes: list[float], ignored: tuple[bool, ...]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    count = len(boxes)
    return (
        torch.tensor([boxes]).reshape(1, count, 4),
        torch.zeros(1, count, dtype=torch.long),
        torch.ones(1, count, dtype=torch.bool),
        torch.tensor([ignored]).reshape(1, count),
    )


def inside(raw: RawOutput, box: list[float]) -> Tensor:
    centres = raw.corners + raw.strides / 2
    return ((centres > torch.tensor(box[:2])) & (centres < torch.tensor(box[2:]))).all(dim=1)


@pytest.mark.parametrize("family", ["herder", "one to one", "yolox"])
def test_cells_in_an_ignored_box_get_no_gradient(family: str) -> None:
    spec = spec_of(family)
    raw = output(spec)
    terms = DetectionLoss(spec)(raw, *truth(ANIMAL, HIDDEN, ignored=(False, True)))
    torch.autograd.backward(terms.total)
    for part in filter(None, (raw, raw.one_to_one)):
        within = inside(part, HIDDEN)
        assert within.sum() > 20
        for values in (part.box, part.cls, part.obj):
            if values is None or values.grad is None:
                continue
            assert values.grad[0, within].abs().max() == 0
            assert values.grad[0].abs().max() > 0  # of the others


@pytest.mark.parametrize("family", ["herder", "yolox"])
def test_what_the_network_says_there_does_not_matter(family: str) -> None:
    spec = spec_of(family)
    raw = output(spec)
    targets = truth(ANIMAL, HIDDEN, ignored=(False, True))
    before = DetectionLoss(spec)(raw, *targets)
    sure = raw.cls.detach().clone()
    sure[0, inside(raw, HIDDEN)] = 9.0  # an animal with all certainty
    loud = replace(raw, cls=sure)
    if raw.obj is not None:
        objects = raw.obj.detach().clone()
        objects[0, inside(raw, HIDDEN)] = 9.0
        loud = replace(loud, obj=objects)
    after = DetectionLoss(spec)(loud, *targets)
    for field in fields(before):
        torch.testing.assert_close(getattr(after, field.name), getattr(before, field.name))
    punished = DetectionLoss(spec)(loud, *truth(ANIMAL, ignored=(False,)))  # the same photo, the animal forgotten
    assert punished.total > after.total + 1


@pytest.mark.parametrize("family", ["herder", "yolox"])
@pytest.mark.parametrize("assigner", ["task_aligned", "sim_ota"])
def test_no_cell_answers_for_an_ignored_box(family: str, assigner: str) -> None:
    spec = spec_of(family)
    raw = output(spec)
    loss = DetectionLoss(spec, LossConfig(assigner=assigner))
    boxes, classes, valid, ignore = truth(ANIMAL, HIDDEN, ignored=(False, True))
    predicted = torch.cat((raw.corners - 8, raw.corners + 24), dim=1)[None]
    chosen = loss.assign(raw, predicted, Truth(boxes, classes, valid & ~ignore, valid & ignore), top=10)
    assert chosen.positive.any()
    assert (chosen.animal[chosen.positive] == 0).all()
    assert chosen.excused[0, inside(raw, HIDDEN)].all()
    assert not chosen.excused[0, inside(raw, ANIMAL)].any()


@pytest.mark.parametrize("family", ["herder", "yolox"])
def test_a_photo_of_ignored_boxes_alone_teaches_only_outside_of_them(family: str) -> None:
    spec = spec_of(family)
    raw = output(spec)
    torch.autograd.backward(DetectionLoss(spec)(raw, *truth(HIDDEN, ignored=(True,))).total)
    taught = raw.cls if raw.obj is None else raw.obj  # without an animal YOLOX teaches objectness alone
    assert taught.grad is not None
    within = inside(raw, HIDDEN)
    assert taught.grad[0, within].abs().max() == 0
    assert taught.grad[0, ~within].abs().min() > 0
