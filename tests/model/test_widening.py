"""Widened networks compute what the narrow ones do, in every shape of architecture; copies learn different things."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from herder.errors import ConfigError
from herder.model.families import FAMILIES, make_spec
from herder.model.files import load_model
from herder.model.network import Network
from herder.model.pretrained import import_weights
from herder.model.widening import joined, widen, wider_architecture
from herder.spec import Architecture, ModelSpec, Quantization, example_spec

IMAGES = torch.rand(2, 3, 96, 64, generator=torch.Generator().manual_seed(5)) * 255


def lively(spec: ModelSpec) -> Network:
    """A network whose norms, biases and outputs are all different from each other, as after training."""
    torch.manual_seed(2)
    network = Network(spec)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                for tensor in (module.weight, module.running_var):
                    assert tensor is not None
                    tensor.uniform_(0.5, 1.5)
                for tensor in (module.bias, module.running_mean):
                    assert tensor is not None
                    tensor.uniform_(-0.3, 0.3)
            if isinstance(module, nn.Conv2d) and module.bias is not None:
                module.bias.add_(torch.randn(module.bias.shape) * 0.1)
    return network.eval()


def changed(**changes: Any) -> ModelSpec:
    spec = example_spec()
    return spec.replace(architecture=replace(spec.architecture, **changes), class_names=("alpaca", "goat"))


SHAPES: dict[str, dict[str, Any]] = {
    "herder": {},
    "depthwise": {"depthwise": True},
    "depthwise head": {"head_depthwise": True, "kernel": 5},
    "fpn": {"neck": "fpn"},
    "fpn of one width": {"neck": "fpn", "neck_width": 24},
    "pan of one width": {"neck_width": 24},
    "attention": {"attention": True},
    "one to one": {"one_to_one": True},
    "relu": {"activation": "relu", "depths": (1, 2, 3, 1), "neck_depth": 2},
    "yolox": {"family": "yolox", "stem": "focus", "reg_max": 0, "objectness": True, "depthwise": True},
}


def outputs(network: Network) -> list[Tensor]:
    raw = network.raw(IMAGES.to(next(network.parameters()).dtype))
    parts = [raw, *([raw.one_to_one] if raw.one_to_one is not None else [])]
    return [value for part in parts for value in (part.box, part.cls, part.obj) if value is not None]


@torch.no_grad()
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_the_wider_network_computes_the_same(shape: str, noise: float) -> None:
    network = lively(changed(**SHAPES[shape]))
    wider = widen(network, 2.5, noise=noise)
    assert min(wider.spec.architecture.widths) >= 16
    for a, b in zip(outputs(network.double()), outputs(wider.double()), strict=True):
        torch.testing.assert_close(b, a, rtol=1e-6, atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("name", [name for name in FAMILIES if name in ("herder-n", "yolox-nano", "yolox-tiny")])
def test_named_models_in_single_precision(name: str) -> None:
    network = lively(make_spec(name, ("alpaca",), input_size=64))
    wider = widen(network, 1.5)
    for a, b in zip(network(IMAGES), wider(IMAGES), strict=True):
        torch.testing.assert_close(b, a, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_in_training_mode_too_since_copies_have_their_originals_statistics() -> None:
    network = lively(changed()).double()
    wider = widen(network.float(), 1.5).double()
    for a, b in zip(outputs(network.double().train()), outputs(wider.train()), strict=True):
        torch.testing.assert_close(b, a, rtol=1e-6, atol=1e-6)


@torch.no_grad()
@pytest.mark.shared
@pytest.mark.parametrize("factor", [1.25, 1.5, 2.0])
def test_real_weights(shared_dir: Path, factor: float) -> None:
    network = import_weights(shared_dir / "pretrained" / "yolox_nano.onnx")
    images = torch.rand(1, 3, 160, 160, generator=torch.Generator().manual_seed(0)) * 255
    (_, a), (_, b) = network(images), widen(network, factor)(images)
    assert (a - b).abs().max() < 1e-4


def test_widths_of_the_published_tiny_model() -> None:
    """YOLOX-Tiny is YOLOX-Nano with 0.375 / 0.25 = 1.5 times the channels, but for depthwise convolutions."""
    nano, tiny = (make_spec(name, ("a",)).architecture for name in ("yolox-nano", "yolox-tiny"))
    assert wider_architecture(nano, 1.5) == replace(tiny, depthwise=True)


def test_the_same_seed_gives_the_same_network() -> None:
    network = lively(changed())
    a, b, c = (widen(network, 1.5, seed=seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not all(torch.equal(a[name], c[name]) for name in a)


def gradients_of_copies(noise: float) -> tuple[Tensor, Tensor]:
    """The gradients at a channel of the first convolution and at its copy."""
    network = lively(changed())
    wider = widen(network, 2, noise=noise)
    first = wider.backbone.stem.conv.weight
    rows = first.detach().flatten(1)
    same = (rows[:8, None] == rows[None, 8:16]).all(dim=2).nonzero()[0]
    torch.autograd.backward(sum((value.square().sum() for value in outputs(wider)), torch.zeros(())))
    assert first.grad is not None
    return first.grad[same[0]], first.grad[8 + same[1]]


def test_noise_lets_copies_learn_different_things() -> None:
    a, b = gradients_of_copies(0.0)
    assert torch.nn.functional.cosine_similarity(a.flatten(), b.flatten(), dim=0) > 0.9999
    a, b = gradients_of_copies(0.5)
    assert torch.nn.functional.cosine_similarity(a.flatten(), b.flatten(), dim=0) < 0.99


@pytest.mark.parametrize("factor", [1.0, 0.5, 9.0, float("nan"), float("inf")])
def test_factors_that_grow_nothing(factor: float) -> None:
    with pytest.raises(ConfigError, match="is not above 1"):
        wider_architecture(example_spec().architecture, factor)


def test_what_cannot_grow() -> None:
    a = example_spec().architecture
    with pytest.raises(ConfigError, match="grows by so little"):
        wider_architecture(a, 1.01)
    with pytest.raises(ConfigError, match="quantized"):
        wider_architecture(replace(a, quantization=Quantization()), 1.5)
    with pytest.raises(ConfigError, match="pruned"):
        wider_architecture(replace(a, channels={"backbone.stem.conv": (3, 4)}), 1.5)
    with pytest.raises(ConfigError, match="noise -1"):
        widen(Network(example_spec()), 2, noise=-1)


def test_widths_that_are_no_multiples_never_shrink() -> None:
    odd = Architecture("herder", "conv", (11, 21, 30, 37, 50), (1, 1, 1, 1), neck_depth=1, head_width=13)
    grown = wider_architecture(odd, 1.2)
    assert all(new >= old for new, old in zip(grown.widths, odd.widths, strict=True))
    network = lively(example_spec().replace(architecture=odd))
    with torch.no_grad():
        for a, b in zip(outputs(network.double()), outputs(widen(network.float(), 1.2).double()), strict=True):
            torch.testing.assert_close(b, a.to(b.dtype), rtol=1e-5, atol=1e-5)


def test_joined_maps_keep_their_channels_apart() -> None:
    assert joined(np.array([0, 1]), np.array([0, 1, 1]), np.array([0])).tolist() == [0, 1, 2, 3, 3, 4]


def test_a_file_of_the_wider_network_is_an_ordinary_model(tiny_model: Path, tmp_path: Path) -> None:
    from herder.api.grow import grow_model

    result = grow_model(tiny_model, tmp_path / "grown.safetensors", 2)
    grown = load_model(result.out)
    assert grown.spec.name == "tiny-x2"
    assert "widened 2 times from model.safetensors" in grown.spec.origin
    assert result.work[1].parameters > 2 * result.work[0].parameters
    assert result.difference < 1e-4
