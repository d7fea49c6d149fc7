"""Distillation against torch's own divergences, arithmetic by hand, and what has to be 0 or fall."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from herder.errors import ConfigError
from herder.model.distillation import DistillationLoss, Teachers, matching_classes
from herder.model.distillation_config import DistillationConfig
from herder.model.distillation_terms import (
    box_distillation,
    channel_wise_distillation,
    class_distillation,
    localization_distillation,
    score_logits,
)
from herder.model.head import decode_scores
from herder.model.losses import DetectionLoss
from herder.model.network import Network
from herder.spec import Architecture, ModelSpec, example_spec

CANVAS = 64


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def spec_with(classes: tuple[str, ...] = ("alpaca",), **changes: object) -> ModelSpec:
    spec = example_spec().replace(class_names=classes)
    return spec.replace(architecture=replace(spec.architecture, **changes))


def certain(spec: ModelSpec) -> Network:
    """A random network that finds something in most cells."""
    network = Network(spec)
    for parameter in network.head.parameters():
        parameter.data.add_(torch.randn_like(parameter) * 0.2)
    for layer in (*network.head.cls_preds, *network.head.obj_preds):
        layer.bias.data.fill_(0.5)
    return network.eval()


def loss_for(teachers: list[Network], student: Network, **settings: object) -> DistillationLoss:
    return DistillationLoss(
        DetectionLoss(student.spec), Teachers(teachers, student.spec), student, DistillationConfig(**settings)
    )


def pictures(batch: int = 2) -> torch.Tensor:
    return torch.randint(0, 256, (batch, 3, CANVAS, CANVAS), dtype=torch.uint8)


def truth(batch: int = 2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    boxes = torch.tensor([[[10.0, 12, 50, 60]]]).repeat(batch, 1, 1)
    yes = torch.ones(batch, 1, dtype=torch.bool)
    return boxes, torch.zeros(batch, 1, dtype=torch.long), yes, ~yes


def test_score_logits_are_the_scores() -> None:
    for spec in (spec_with(), spec_with(reg_max=0, objectness=True), spec_with(("a", "b"), objectness=True)):
        raw = certain(spec).raw(pictures())
        torch.testing.assert_close(score_logits(raw).sigmoid(), decode_scores(raw))


def test_score_logits_stay_finite_where_the_product_of_sigmoids_is_0() -> None:
    raw = certain(spec_with(objectness=True)).raw(pictures(1))
    raw.cls = torch.full_like(raw.cls, -300.0).requires_grad_()
    raw.obj = torch.full_like(raw.obj, -200.0)
    logits = score_logits(raw)
    assert logits.unique().tolist() == [-500.0]
    logits.sum().backward()
    assert raw.cls.grad.isfinite().all()


def test_class_distillation_is_the_divergence_of_two_coins() -> None:
    student, teacher, temperature = torch.randn(2, 5, 3), torch.randn(2, 5, 3), 3.0
    ours = torch.stack((student / temperature, torch.zeros_like(student)), -1).log_softmax(-1)
    theirs = torch.stack((teacher / temperature, torch.zeros_like(teacher)), -1).log_softmax(-1)
    wanted = F.kl_div(ours, theirs, reduction="sum", log_target=True) * temperature**2
    found = class_distillation(student, (teacher / temperature).sigmoid(), temperature)
    torch.testing.assert_close(found, wanted)
    assert class_distillation(torch.tensor([[[-90.0]]]), torch.zeros(1, 1, 1), 1.0).item() == pytest.approx(0)


def test_localization_distillation_is_torch_s_divergence() -> None:
    student, teacher, weight, temperature = torch.randn(6, 4, 16), torch.randn(6, 4, 16), torch.rand(6), 10.0
    each = F.kl_div((student / temperature).log_softmax(-1), (teacher / temperature).softmax(-1), reduction="none").sum(
        -1
    )
    wanted = (each.mean(-1) * weight).sum() * temperature**2
    found = localization_distillation(student, (teacher / temperature).softmax(-1), weight, temperature)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_channel_wise_distillation_by_hand_and_deaf_to_strength() -> None:
    student, teacher = torch.zeros(1, 1, 1, 2), torch.tensor([[[[math.log(3.0), 0.0]]]])
    # The teacher looks left with 3/4, the student both ways alike.
    wanted = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert channel_wise_distillation(student, teacher, 1.0).item() == pytest.approx(wanted, rel=1e-6)
    a, b = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    moved = channel_wise_distillation(a + 7, b - 2, 2.0)
    torch.testing.assert_close(moved, channel_wise_distillation(a, b, 2.0), rtol=1e-4, atol=1e-6)


def test_box_distillation_counts_each_box_by_its_weight() -> None:
    a, b = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 10]]), torch.tensor([[0.0, 0, 10, 10], [20, 20, 30, 30]])
    assert box_distillation(a, b, torch.tensor([1.0, 0.0])).item() == pytest.approx(0, abs=1e-5)
    assert box_distillation(a, b, torch.tensor([0.0, 2.0])).item() > 2


@pytest.mark.parametrize(
    "changes", [{}, {"reg_max": 0, "objectness": True}, {"one_to_one": True}], ids=["dfl", "yolox", "one-to-one"]
)
def test_a_student_that_equals_its_teacher_has_nothing_to_learn(changes: dict[str, object]) -> None:
    network = certain(spec_with(**changes))
    loss = loss_for([network, network], network, temperature=2.0)
    assert not list(loss.parameters())
    terms = loss(network.raw(pictures()), *truth())
    for name in loss.more_terms:
        assert getattr(terms, name).item() == pytest.approx(0, abs=2e-4), name
    assert terms.total.item() == pytest.approx((terms.box + terms.cls + terms.dfl + terms.obj).item(), abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("student", "teacher", "silent"),
    [
        (spec_with(), spec_with(widths=(8, 16, 24, 32, 40), head_width=24), set()),
        (spec_with(), spec_with(reg_max=0, objectness=True), {"soft_dfl"}),
        (spec_with(reg_max=0, objectness=True), spec_with(reg_max=8), {"soft_dfl"}),
    ],
    ids=["wider", "from yolox", "to yolox"],
)
def test_every_term_falls_in_training(student: ModelSpec, teacher: ModelSpec, silent: set[str]) -> None:
    network = Network(student).train()
    loss = loss_for([certain(teacher)], network)
    optimizer = torch.optim.Adam([*network.parameters(), *loss.parameters()], lr=3e-3)
    images, first = pictures(4), {}
    for _ in range(60):
        terms = dict(zip(loss.more_terms, loss.soft_terms(network.raw(images)), strict=True))
        first = first or {name: value.item() for name, value in terms.items()}
        optimizer.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        optimizer.step()
    for name, value in terms.items():
        if name in silent:
            assert value.item() == 0
        else:
            assert value.item() < 0.85 * first[name], name


def test_teachers_learn_nothing_and_are_not_in_the_loss_s_state() -> None:
    student, teacher = Network(spec_with()).train(), certain(spec_with(widths=(8, 16, 24, 32, 32)))
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    loss = loss_for([teacher], student)
    loss(student.raw(pictures()), *truth()).total.backward()
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    assert not any(parameter.requires_grad for net in loss.teachers.networks for parameter in net.parameters())
    assert {name.split(".")[0] for name in loss.state_dict()} == {"adapters"}
    assert [tuple(p.shape[:2]) for p in loss.parameters() if p.ndim > 1] == [(24, 16), (32, 32), (32, 32)]


def test_an_ensemble_is_the_mean_of_its_teachers() -> None:
    spec = spec_with()
    one, two = certain(spec), certain(spec)
    images = pictures()
    both, first, second = (Teachers(nets, spec).teach(images) for nets in ([one, two], [one], [two]))
    torch.testing.assert_close(both.scores, (first.scores + second.scores) / 2)
    weight = torch.stack((first.confidence, second.confidence))[..., None]
    wanted = (weight * torch.stack((first.boxes, second.boxes))).sum(0) / weight.sum(0)
    torch.testing.assert_close(both.boxes, wanted, rtol=1e-4, atol=1e-3)
    assert both.sides is not None
    torch.testing.assert_close(both.sides.sum(-1), torch.ones_like(both.sides[..., 0]))


def test_classes_go_by_name() -> None:
    teacher = certain(spec_with(("sheep", "alpaca", "goat")))
    student = spec_with(("goat", "alpaca"))
    images = pictures()
    scores = decode_scores(teacher.raw(images))
    torch.testing.assert_close(
        Teachers([teacher], student).teach(images).scores, scores[..., [2, 1]], rtol=1e-3, atol=1e-4
    )


def test_teachers_that_cannot_teach_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"does not know alpaca; its classes are sheep[\s\S]*--init TEACHER"):
        matching_classes(spec_with(("sheep",)), spec_with())
    with pytest.raises(ConfigError, match="no teacher"):
        Teachers([], spec_with())
    student, teacher = spec_with(), spec_with()
    strides: Callable[[Architecture], tuple[int, ...]] = lambda a: (8, 16) if a is teacher.architecture else (8, 16, 32)  # noqa: E731
    monkeypatch.setattr(Architecture, "strides", property(strides))
    with pytest.raises(ConfigError, match=r"strides \[8, 16\], those of tiny \[8, 16, 32\]"):
        matching_classes(teacher, student)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cls": -1.0}, "distillation.cls: found -1"),
        ({"temperature": math.nan}, "distillation.temperature: found nan"),
        ({"label_score": 1.5}, "distillation.label_score: found 1.5"),
        ({"label_score": 0.2, "ignore_score": 0.3}, "ignore_score: 0.3 is above label_score 0.2"),
        ({"unlabelled": "photos"}, "there is no teacher"),
        ({"teachers": ("a",), "cls": 0.0, "box": 0.0, "dfl": 0.0, "features": 0.0}, "nothing is learned"),
    ],
)
def test_settings_without_meaning_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DistillationConfig(**settings)
