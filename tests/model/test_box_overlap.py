"""Overlap against plain arithmetic written out from the papers."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from herder.boxes import iou_matrix
from herder.model.box_overlap import complete_iou, pairwise_iou

side = st.floats(0, 200, width=32)
box = st.tuples(side, side, st.floats(0.5, 100, width=32), st.floats(0.5, 100, width=32)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)


def ciou_by_hand(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    overlap = max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
    wa, ha, wb, hb = a[2] - a[0], a[3] - a[1], b[2] - b[0], b[3] - b[1]
    iou = overlap / (wa * ha + wb * hb - overlap)
    rho2 = ((a[0] + a[2]) / 2 - (b[0] + b[2]) / 2) ** 2 + ((a[1] + a[3]) / 2 - (b[1] + b[3]) / 2) ** 2
    c2 = (max(a[2], b[2]) - min(a[0], b[0])) ** 2 + (max(a[3], b[3]) - min(a[1], b[1])) ** 2
    v = 4 / math.pi**2 * (math.atan(wb / hb) - math.atan(wa / ha)) ** 2
    alpha = v / (1 - iou + v) if v else 0.0
    return iou - rho2 / c2 - alpha * v


@given(box, box)
def test_ciou_is_the_papers_formula(a, b):
    found = complete_iou(torch.tensor([a], dtype=torch.float64), torch.tensor([b], dtype=torch.float64))
    assert found.item() == pytest.approx(ciou_by_hand(a, b), abs=1e-5)


@given(st.lists(box, min_size=1, max_size=5), st.lists(box, min_size=1, max_size=5))
def test_pairwise_iou_agrees_with_numpy(a, b):
    found = pairwise_iou(torch.tensor([a], dtype=torch.float32), torch.tensor([b], dtype=torch.float32))[0]
    np.testing.assert_allclose(found.numpy(), iou_matrix(np.array(a, np.float32), np.array(b, np.float32)), atol=1e-5)


def test_ciou_gradient_pulls_a_far_box_closer():
    a = torch.tensor([[0.0, 0, 10, 10]], requires_grad=True)
    complete_iou(a, torch.tensor([[50.0, 0, 60, 10]])).sum().backward()
    assert a.grad is not None
    assert a.grad[0, 0] + a.grad[0, 2] > 0  # moving right raises it, though nothing overlaps


def test_an_empty_box_gives_finite_values_and_gradients():
    a = torch.tensor([[5.0, 5, 5, 5]], requires_grad=True)
    value = complete_iou(a, torch.tensor([[0.0, 0, 10, 10]]))
    value.sum().backward()
    assert torch.isfinite(value).all()
    assert torch.isfinite(a.grad).all()
