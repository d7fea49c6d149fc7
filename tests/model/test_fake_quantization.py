"""Expected values come from torch's own fake quantization and from autograd through the plain formula."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from herder.model.fake_quantization import ActivationQuantizer, FakeQuantize, QuantizedConv2d
from herder.model.quantization_range import SMALLEST, activation_range, weight_scales


def by_autograd(x: Tensor, log_scale: Tensor, zero_point: int, low: int, high: int) -> Tensor:
    """LSQ's formula written out, with the straight-through estimator as a detached difference."""
    scale = log_scale.exp()
    clamped = (x / scale).clamp(low - zero_point, high - zero_point)
    return (clamped + (clamped.round() - clamped).detach()) * scale


def test_values_are_those_of_torch() -> None:
    x = torch.randn(1000) * 3
    ours = FakeQuantize.apply(x, torch.tensor(0.05).log(), 20, 0, 255)
    torch.testing.assert_close(ours, torch.fake_quantize_per_tensor_affine(x, 0.05, 20, 0, 255), rtol=0, atol=1e-5)


def test_each_channel_has_its_scale() -> None:
    layer = QuantizedConv2d(nn.Conv2d(3, 4, 3, bias=False), bits=8)
    layer.settle()
    theirs = torch.fake_quantize_per_channel_affine(
        layer.weight, layer.scales, torch.zeros(4, dtype=torch.int32), 0, -128, 127
    )
    torch.testing.assert_close(layer.rounded_weight(), theirs)


@pytest.mark.parametrize("per_channel", [False, True])
def test_gradients_are_those_of_the_formula(per_channel: bool) -> None:
    x = torch.randn(4, 50) * 2
    log_scale = torch.tensor([[-4.0], [-3.0], [-5.0], [-3.5]]) if per_channel else torch.tensor(-4.0)
    codes = x / log_scale.exp() + 3
    # Within half a step of the range's ends the two draw its border differently.
    x = torch.where(((codes > -0.6) & (codes < 0)) | ((codes > 100) & (codes < 100.6)), 0.0, x)
    gradients = []
    for function in (FakeQuantize.apply, by_autograd):
        a, b = x.clone().requires_grad_(), log_scale.clone().requires_grad_()
        (function(a, b, 3, 0, 100).square() * torch.arange(50)).sum().backward()
        gradients.append((a.grad, b.grad))
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-2)


def test_calibration_finds_the_range_and_zero_stays_exact() -> None:
    quantizer = ActivationQuantizer()
    x = torch.cat((torch.rand(5000) * 6 - 0.28, torch.zeros(5)))
    quantizer.observe()
    assert torch.equal(quantizer(x), x)  # it only looks
    quantizer.settle()
    y = quantizer(x)
    assert float(quantizer.scales) == pytest.approx(6 / 255, rel=0.05)
    # Evenly spread values round with an error of s^2 / 12.
    assert float((x - y).detach().square().mean()) < float(quantizer.scales) ** 2 / 11
    assert not y[-5:].any()


def test_nothing_seen_leaves_the_scale() -> None:
    quantizer = ActivationQuantizer()
    before = float(quantizer.scales)
    quantizer.observe()
    quantizer.settle()
    assert float(quantizer.scales) == before


def test_maps_that_are_zero_everywhere_stay_zero() -> None:
    found = activation_range(torch.zeros(10), 255)
    assert found.scale == SMALLEST
    scales = weight_scales(torch.zeros(2, 3, 1, 1), 127)
    assert bool((scales > 0).all())


def test_a_far_outlier_does_not_cost_the_others_their_steps() -> None:
    values = torch.cat((torch.linspace(0, 1, 1_000_000), torch.tensor([2.0])))
    assert activation_range(values, 255).scale < 1.5 / 255
    weight = torch.cat((torch.linspace(-1, 1, 2000), torch.tensor([1.6])))[None]
    assert float(weight_scales(weight, 7)) < 1.6 / 7


def test_seven_bits_keep_weights_within_63() -> None:
    layer = QuantizedConv2d(nn.Conv2d(8, 4, 3), bits=7)
    layer.settle()
    codes = layer.rounded_weight().detach() / layer.scales[:, None, None, None]
    torch.testing.assert_close(codes, codes.round(), atol=1e-3, rtol=0)
    assert float(codes.abs().max()) <= 63.001


def test_each_channel_of_a_map_may_have_its_range() -> None:
    x = torch.rand(2, 3, 16, 16) * torch.tensor([0.3, 5.0, 120.0])[:, None, None]
    quantizer = ActivationQuantizer(3)
    quantizer.observe()
    quantizer(x)
    quantizer.settle()
    torch.testing.assert_close(quantizer.scales * 255, torch.tensor([0.3, 5.0, 120.0]), rtol=0.05, atol=0)
    theirs = torch.fake_quantize_per_channel_affine(x, quantizer.scales, quantizer.zero_point.int(), 1, 0, 255)
    torch.testing.assert_close(quantizer(x).detach(), theirs, rtol=1e-4, atol=1e-4)
