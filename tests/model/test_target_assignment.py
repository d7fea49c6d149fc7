"""Assignment against a slow reading of the papers, photo by photo and animal by animal."""

import pytest
import torch

from herder.model.box_overlap import pairwise_iou
from herder.model.network import Network
from herder.model.target_assignment import Truth, assign_sim_ota, assign_task_aligned
from herder.spec import example_spec

SIDE = 128


def cells():
    corners, strides = [], []
    for stride in (8, 16, 32):
        for y in range(SIDE // stride):
            for x in range(SIDE // stride):
                corners.append((x * stride, y * stride))
                strides.append(stride)
    corners, strides = torch.tensor(corners, dtype=torch.float32), torch.tensor(strides, dtype=torch.float32)[:, None]
    return corners + strides / 2, strides


def scene(seed, batch=3, animals=4, classes=3):
    g = torch.Generator().manual_seed(seed)
    centres, strides = cells()
    count = len(centres)
    half = torch.rand(batch, count, 2, generator=g) * 30 + 2
    shift = torch.randn(batch, count, 2, generator=g) * 6
    boxes = torch.cat((centres + shift - half, centres + shift + half), -1)
    scores = torch.rand(batch, count, classes, generator=g)
    corner = torch.rand(batch, animals, 2, generator=g) * 80
    truth = torch.cat((corner, corner + 14 + torch.rand(batch, animals, 2, generator=g) * 40), -1)
    labels = torch.randint(0, classes, (batch, animals), generator=g)
    valid = torch.rand(batch, animals, generator=g) > 0.2
    return boxes, scores, centres, strides, Truth(truth, labels, valid, torch.zeros_like(valid))


def task_aligned_by_hand(boxes, scores, centres, strides, truth, photo, top, alpha, beta):
    """{cell: (animal, weight)} of one photo."""
    wanted = {}
    iou = pairwise_iou(truth.boxes, boxes)[photo]
    for animal in range(truth.boxes.shape[1]):
        if not truth.valid[photo, animal]:
            continue
        x1, y1, x2, y2 = truth.boxes[photo, animal].tolist()
        rows = []
        for cell, (x, y) in enumerate(centres.tolist()):
            if x1 < x < x2 and y1 < y < y2:
                score = scores[photo, cell, truth.classes[photo, animal]].item()
                rows.append((score**alpha * iou[animal, cell].item() ** beta, cell))
        for value, cell in sorted(rows, reverse=True)[:top]:
            if value > 0:
                wanted.setdefault(cell, []).append((iou[animal, cell].item(), animal, value))
    owned = {cell: max(rows)[1:] for cell, rows in wanted.items()}
    result = {}
    for animal in {a for a, _ in owned.values()}:
        mine = [cell for cell, (a, _) in owned.items() if a == animal]
        largest = max(owned[c][1] for c in mine)
        best_iou = max(iou[animal, c].item() for c in mine)
        result.update({c: (animal, owned[c][1] / largest * best_iou) for c in mine})
    return result


@pytest.mark.parametrize("seed", range(6))
def test_task_aligned_follows_the_paper(seed):
    boxes, scores, centres, strides, truth = scene(seed)
    found = assign_task_aligned(boxes, scores, centres, strides, truth, top=7, alpha=1.0, beta=6.0)
    for photo in range(len(boxes)):
        wanted = task_aligned_by_hand(boxes, scores, centres, strides, truth, photo, 7, 1.0, 6.0)
        assert set(found.positive[photo].nonzero()[:, 0].tolist()) == set(wanted)
        for cell, (animal, weight) in wanted.items():
            assert found.animal[photo, cell] == animal
            assert found.weight[photo, cell].item() == pytest.approx(weight, rel=1e-3, abs=1e-6)


def test_a_new_head_s_boxes_overlap_every_animal_that_holds_a_cell():
    """A distribution that overlaps nothing would have no alignment, and its animal would teach nothing."""
    network = Network(example_spec()).eval()
    with torch.no_grad():
        boxes, scores = network(torch.rand(1, 3, SIDE, SIDE) * 255)
    centres, strides = cells()
    for side in (10.0, 30.0, 90.0):
        box = torch.tensor([[[20.0, 20, 20 + side, 20 + side]]])
        yes = torch.ones(1, 1, dtype=torch.bool)
        truth = Truth(box, torch.zeros(1, 1, dtype=torch.long), yes, ~yes)
        found = assign_task_aligned(boxes, scores, centres, strides, truth)
        assert found.weight.max() > 0.05


def test_an_animal_smaller_than_a_cell_is_not_lost():
    boxes, scores, centres, strides, _ = scene(1, batch=1)
    tiny = torch.tensor([[[33.0, 33, 35, 35]]])
    truth = Truth(
        tiny, torch.zeros(1, 1, dtype=torch.long), torch.ones(1, 1, dtype=torch.bool), torch.zeros(1, 1).bool()
    )
    assert assign_task_aligned(boxes, scores, centres, strides, truth).positive.sum() >= 1


@pytest.mark.parametrize("assign", [assign_task_aligned, assign_sim_ota])
def test_no_animals_no_positives(assign):
    boxes, scores, centres, strides, _ = scene(0)
    none = Truth(
        torch.zeros(3, 0, 4), torch.zeros(3, 0, dtype=torch.long), torch.zeros(3, 0).bool(), torch.zeros(3, 0).bool()
    )
    found = assign(boxes, scores, centres, strides, none)
    assert not found.positive.any()
    assert found.weight.sum() == 0


@pytest.mark.parametrize("assign", [assign_task_aligned, assign_sim_ota])
def test_herd_boxes_excuse_their_cells_and_win_none(assign):
    boxes, scores, centres, strides, truth = scene(2)
    herd = Truth(truth.boxes, truth.classes, torch.zeros_like(truth.valid), torch.ones_like(truth.valid))
    found = assign(boxes, scores, centres, strides, herd)
    assert not found.positive.any()
    x, y = centres.T
    left, top, right, bottom = truth.boxes[..., None].unbind(2)
    inside = ((x > left) & (x < right) & (y > top) & (y < bottom)).any(1)
    assert torch.equal(found.excused, inside)


def sim_ota_by_hand(boxes, scores, centres, strides, truth, photo, top=10, radius=1.5):
    """{cell: animal}, after sections 2.4 of the YOLOX and OTA papers."""
    iou = pairwise_iou(truth.boxes, boxes)[photo]
    costs = {}
    for animal in range(truth.boxes.shape[1]):
        if not truth.valid[photo, animal]:
            continue
        x1, y1, x2, y2 = truth.boxes[photo, animal].tolist()
        rows, overlaps = [], []
        for cell, (x, y) in enumerate(centres.tolist()):
            reach = radius * strides[cell].item()
            near = abs(x - (x1 + x2) / 2) < reach and abs(y - (y1 + y2) / 2) < reach
            inside = x1 < x < x2 and y1 < y < y2
            if not near and not inside:
                continue
            p = scores[photo, cell].double().sqrt()
            wanted = torch.zeros_like(p)
            wanted[truth.classes[photo, animal]] = 1
            entropy = torch.nn.functional.binary_cross_entropy(p, wanted, reduction="sum").item()
            cost = entropy - 3 * torch.log(iou[animal, cell].double() + 1e-8).item() + 1e5 * (not (near and inside))
            rows.append((cost, cell))
            overlaps.append(iou[animal, cell].item())
        count = max(1, int(sum(sorted(overlaps, reverse=True)[:top])))
        for cost, cell in sorted(rows)[:count]:
            costs.setdefault(cell, []).append((cost, animal))
    return {cell: min(rows)[1] for cell, rows in costs.items()}


@pytest.mark.parametrize("seed", range(4))
def test_sim_ota_follows_the_paper(seed):
    boxes, scores, centres, strides, truth = scene(seed)
    found = assign_sim_ota(boxes, scores, centres, strides, truth)
    for photo in range(len(boxes)):
        wanted = sim_ota_by_hand(boxes, scores, centres, strides, truth, photo)
        chosen = found.positive[photo].nonzero()[:, 0].tolist()
        assert {c: found.animal[photo, c].item() for c in chosen} == wanted
