from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from herder.model.network import Network
from herder.spec import ModelSpec
from herder.training.config import Schedule, TrainConfig
from herder.training.optimization import (
    clip_gradients,
    freeze,
    learning_rates,
    make_optimizer,
    parameter_groups,
    schedule,
    set_learning_rates,
)


def test_every_parameter_is_in_the_group_it_belongs_to(spec: ModelSpec) -> None:
    network = Network(spec)
    groups = parameter_groups(network, TrainConfig(lr_backbone=0.1, lr_head=0.2, weight_decay=0.3))
    of = {id(p): group for group in groups for p in group["params"]}  # type: ignore[attr-defined]
    assert len(of) == len(list(network.parameters()))
    decayed = {id(m.weight) for m in network.modules() if isinstance(m, nn.Conv2d)}
    for name, parameter in network.named_parameters():
        group = of[id(parameter)]
        assert group["lr"] == (0.1 if name.startswith("backbone.") else 0.2), name
        assert group["weight_decay"] == (0.3 if id(parameter) in decayed else 0.0), name


def test_cosine_is_what_torch_has() -> None:
    config = TrainConfig(epochs=4, warmup_epochs=0, final_lr_fraction=0.1)
    factor = schedule(config, steps_per_epoch=5)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    wanted = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=19, eta_min=0.1)
    for step in range(20):
        assert factor(step) == pytest.approx(wanted.get_last_lr()[0], abs=1e-9), step
        optimizer.step()
        wanted.step()


def test_warmup_is_a_line_and_flat_cosine_is_flat_for_half_the_run() -> None:
    config = TrainConfig(
        epochs=10, warmup_epochs=2, warmup_lr_fraction=0.1, final_lr_fraction=0.2, schedule=Schedule.FLAT_COSINE
    )
    factor = schedule(config, steps_per_epoch=10)
    assert [factor(s) for s in (0, 10, 20)] == pytest.approx([0.1, 0.55, 1.0])
    assert {factor(s) for s in range(20, 51)} == {1.0}
    assert factor(99) == pytest.approx(0.2)
    assert factor(500) == pytest.approx(0.2)
    assert all(factor(s) >= factor(s + 1) for s in range(50, 99))


def test_plateau_warms_up_and_stays() -> None:
    factor = schedule(TrainConfig(epochs=10, warmup_epochs=1, schedule=Schedule.PLATEAU), steps_per_epoch=10)
    assert factor(0) < 0.02
    assert {factor(s) for s in range(10, 100)} == {1.0}


def test_a_run_of_one_step_is_defined() -> None:
    for kind in Schedule:
        factor = schedule(TrainConfig(epochs=1, schedule=kind), steps_per_epoch=1)
        assert math.isfinite(factor(0))
        assert 0 < factor(0) <= 1


def test_rates_are_set_by_group(spec: ModelSpec) -> None:
    optimizer = make_optimizer(Network(spec), TrainConfig(lr_backbone=0.1, lr_head=0.2))
    set_learning_rates(optimizer, 0.5)
    assert learning_rates(optimizer) == {"lr_backbone": 0.05, "lr_head": 0.1}
    assert learning_rates(make_optimizer(nn.Linear(2, 2), TrainConfig(lr_head=0.2)))["lr_backbone"] == 0


@pytest.mark.parametrize("limit", [0.1, 1e6, 0.0])
def test_clipping_is_what_torch_has(limit: float) -> None:
    torch.manual_seed(0)
    ours, theirs = nn.Linear(5, 3), nn.Linear(5, 3)
    unused = nn.Parameter(torch.zeros(2))
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(4, 5)
    for layer in (ours, theirs):
        layer(x).square().sum().backward()
    norm = clip_gradients([*ours.parameters(), unused], limit)
    wanted = torch.nn.utils.clip_grad_norm_(theirs.parameters(), limit or math.inf)
    assert norm == pytest.approx(float(wanted))
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)


def test_freezing_stops_gradients_and_statistics(spec: ModelSpec) -> None:
    network = Network(spec).train()
    freeze(network.backbone, True)
    before = {name: value.clone() for name, value in network.backbone.state_dict().items()}
    network.raw(torch.rand(2, 3, 64, 64)).cls.sum().backward()
    assert all(p.grad is None for p in network.backbone.parameters())
    assert all(torch.equal(before[n], v) for n, v in network.backbone.state_dict().items())
    freeze(network.backbone, False)
    network.raw(torch.rand(2, 3, 64, 64)).cls.sum().backward()
    assert all(p.grad is not None for p in network.backbone.parameters())
    name = next(name for name in before if name.endswith("running_mean"))
    assert not torch.equal(before[name], network.backbone.state_dict()[name])
