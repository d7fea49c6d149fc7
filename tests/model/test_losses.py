"""Loss terms against torch's own and against arithmetic by hand."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from herder.model.losses import (
    DetectionLoss,
    LossConfig,
    classification_loss,
    distribution_focal_loss,
    varifocal_loss,
)
from herder.model.network import Network
from herder.spec import example_spec


def targets(batch, *, classes=1):
    boxes = torch.tensor([[[10.0, 12, 50, 70], [40, 5, 60, 30]]]).repeat(batch, 1, 1)
    labels = torch.tensor([[0, classes - 1]]).repeat(batch, 1)
    yes = torch.ones(batch, 2, dtype=torch.bool)
    return boxes, labels, yes, ~yes


def spec_with(**changes):
    spec = example_spec()
    return spec.replace(architecture=replace(spec.architecture, **changes))


def test_distribution_loss_at_a_whole_number_is_cross_entropy():
    logits = torch.randn(5, 4, 8)
    sides = torch.randint(0, 7, (5, 4)).float()
    wanted = (
        F.cross_entropy(logits.reshape(-1, 8), sides.long().reshape(-1), reduction="none").reshape(5, 4).mean(1).sum()
    )
    assert distribution_focal_loss(logits, sides, torch.ones(5)).item() == pytest.approx(wanted.item(), rel=1e-5)


def test_distribution_loss_between_two_bins_mixes_their_entropies():
    logits = torch.randn(1, 4, 6)
    log_p = logits.log_softmax(-1)[0]
    wanted = -(0.25 * log_p[:, 2] + 0.75 * log_p[:, 3]).mean()
    found = distribution_focal_loss(logits, torch.full((1, 4), 2.75), torch.ones(1))
    assert found.item() == pytest.approx(wanted.item(), rel=1e-5)


def test_a_side_past_the_last_bin_is_cut_to_it():
    found = distribution_focal_loss(torch.zeros(1, 4, 6), torch.full((1, 4), 99.0), torch.ones(1))
    assert torch.isfinite(found)


def test_excused_cells_teach_nothing():
    logits = torch.randn(2, 5, 3, requires_grad=True)
    keep = torch.ones(2, 5, 1)
    keep[0, 1] = 0
    for loss in (classification_loss, varifocal_loss):
        logits.grad = None
        loss(logits, torch.zeros(2, 5, 3), keep, None).backward()
        assert logits.grad[0, 1].abs().sum() == 0
        assert logits.grad[0, 0].abs().sum() > 0


def test_varifocal_counts_negatives_by_their_probability():
    logits = torch.tensor([[[2.0]]])
    p = torch.sigmoid(logits)
    wanted = 0.75 * p**2 * -torch.log(1 - p)
    assert varifocal_loss(logits, torch.zeros(1, 1, 1), torch.ones(1, 1, 1), None).item() == pytest.approx(
        wanted.item()
    )


def test_class_weight_scales_its_class_alone():
    logits, wanted, keep = torch.randn(1, 4, 2), torch.rand(1, 4, 2), torch.ones(1, 4, 1)
    each = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none").sum((0, 1))
    found = classification_loss(logits, wanted, keep, torch.tensor([1.0, 3.0]))
    assert found.item() == pytest.approx((each[0] + 3 * each[1]).item(), rel=1e-5)


@pytest.mark.parametrize(
    "changes", [{}, {"reg_max": 0}, {"reg_max": 0, "objectness": True}, {"one_to_one": True}, {"objectness": True}]
)
def test_the_loss_does_not_depend_on_how_often_a_photo_is_in_the_batch(changes):
    torch.manual_seed(0)
    network = Network(spec_with(**changes)).eval()  # fixed norms: a photo's output is its own
    image = torch.rand(1, 3, 96, 96) * 255
    loss = DetectionLoss(network.spec)
    few = loss(network.raw(image.repeat(8, 1, 1, 1)), *targets(8))
    many = loss(network.raw(image.repeat(24, 1, 1, 1)), *targets(24))
    assert many.total.item() == pytest.approx(few.total.item(), rel=1e-3)
    parts = many.box + many.cls + many.dfl + many.obj
    assert parts.item() == pytest.approx(many.total.item(), rel=1e-5)


@pytest.mark.parametrize("assigner", ["task_aligned", "sim_ota"])
@pytest.mark.parametrize("changes", [{}, {"reg_max": 0, "objectness": True}, {"one_to_one": True}])
def test_training_on_one_batch_finds_its_animals(changes, assigner):
    torch.manual_seed(0)
    network = Network(spec_with(**changes)).train()
    loss = DetectionLoss(network.spec, LossConfig(assigner=assigner))
    image = torch.rand(2, 3, 96, 96) * 40
    boxes, labels, valid, ignore = targets(2)
    for photo, rows in enumerate(boxes):
        for x1, y1, x2, y2 in rows.int().tolist():
            image[photo, :, y1:y2, x1:x2] += 180
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    first = None
    for _ in range(30):
        terms = loss(network(image), boxes, labels, valid, ignore)
        optimizer.zero_grad()
        terms.total.backward()
        optimizer.step()
        first = first or terms.total.item()
    assert terms.total.item() < 0.6 * first


def test_a_batch_without_animals_gives_a_finite_loss_and_gradient():
    network = Network(example_spec()).train()
    none = torch.zeros(2, 0, 4), torch.zeros(2, 0, dtype=torch.long), torch.zeros(2, 0).bool(), torch.zeros(2, 0).bool()
    total = DetectionLoss(network.spec)(network(torch.rand(2, 3, 64, 64) * 255), *none).total
    total.backward()
    assert torch.isfinite(total)
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)


def test_half_precision_output_still_gives_a_float32_loss():
    network = Network(example_spec()).train()
    with torch.autocast("cpu", torch.bfloat16):
        raw = network(torch.rand(1, 3, 64, 64) * 255)
    assert raw.cls.dtype == torch.bfloat16
    assert DetectionLoss(network.spec)(raw, *targets(1)).total.dtype == torch.float32
