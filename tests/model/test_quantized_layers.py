from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from herder.errors import ConfigError, ModelFileError
from herder.model.fake_quantization import QuantizedConv2d, SharedQuantizer
from herder.model.files import load_model, save_model
from herder.model.network import Network
from herder.model.quantized_layers import quantizers, settling
from herder.spec import ModelSpec, Quantization, example_spec
from herder.training.weight_averaging import WeightAverage

VARIANTS = [
    {},
    {"depthwise": True, "stem": "focus", "objectness": True, "reg_max": 0},
    {"neck": "fpn", "neck_width": 16, "activation": "relu"},
    {"attention": True, "head_depthwise": True, "one_to_one": True},
]


def both(quantization: Quantization | None = None, **changes: object) -> tuple[Network, Network, Tensor]:
    """A float network, its rounded copy and the images that its scales were fitted to."""
    torch.manual_seed(0)
    spec = example_spec().replace(input_size=64)
    network = Network(spec.replace(architecture=replace(spec.architecture, **changes))).train()
    images = torch.randint(0, 256, (2, 3, 64, 96)).float()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network.raw(images)
        for name, layer in network.named_modules():
            if "cls_preds" in name and isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, std=0.1)
    network.eval()
    a = replace(network.spec.architecture, quantization=quantization or Quantization())
    rounded = Network(network.spec.replace(architecture=a)).eval()
    rounded.load_state_dict(network.fused().state_dict(), strict=False)
    with settling(rounded), torch.no_grad():
        rounded.raw(images)
    return network, rounded, images


@pytest.mark.parametrize("changes", VARIANTS)
@pytest.mark.parametrize("before_activation", [False, True])
def test_rounded_networks_say_nearly_the_same_and_survive_a_file(
    changes: dict[str, object], before_activation: bool, tmp_path: Path
) -> None:
    network, rounded, images = both(Quantization(before_activation=before_activation), **changes)
    with torch.no_grad():
        wanted, found = network.fused().backbone(images)[0], rounded.backbone(images)[0]
    # Eight bits are about 1 % of noise a layer; deeper maps of an untrained network blow up whatever comes in.
    assert 0 < float((found - wanted).norm() / wanted.norm()) < 0.15
    save_model(rounded, rounded.spec, tmp_path / "int8.safetensors")
    again = load_model(tmp_path / "int8.safetensors")
    with torch.no_grad():
        scores = rounded(images)[1]
        assert torch.equal(again(images)[1], scores)
        assert torch.equal(again.fused()(images)[1], scores)  # folded already


def test_maps_that_are_joined_share_a_scale() -> None:
    _, rounded, images = both()
    seen: dict[int, set[int]] = {}
    joined = torch.cat

    def codes(tensor: Tensor) -> int:
        return int(tensor.unique().diff().mul(1e6).min())  # the step between neighbours

    def watched(tensors: tuple[Tensor, ...], dim: int = 0) -> Tensor:
        if dim == 1 and tensors[0].ndim == 4:
            seen[len(seen)] = {codes(t) for t in tensors}
        return joined(tensors, dim)

    original, torch.cat = torch.cat, watched  # type: ignore[assignment]
    try:
        with torch.no_grad():
            rounded.backbone(images)
    finally:
        torch.cat = original
    assert seen
    for steps in seen.values():
        assert max(steps) - min(steps) <= 0.02 * max(steps) + 2


def test_shared_scales_are_saved_and_averaged_once() -> None:
    _, rounded, _ = both()
    assert any(isinstance(m, SharedQuantizer) for m in rounded.modules())
    names = [name for name in rounded.state_dict() if name.endswith("zero_point")]
    assert len(names) == len(list(quantizers(rounded)))
    average = WeightAverage(rounded, decay=0.5, warmup=0)
    owners = {id(q) for q in quantizers(average.network)}
    shared = [m for m in average.network.modules() if isinstance(m, SharedQuantizer)]
    assert {id(m.owner) for m in shared} <= owners  # the copy's own, not the original's


def test_weights_and_scales_learn() -> None:
    _, rounded, images = both()
    rounded.train()
    before = copy.deepcopy(rounded.state_dict())
    optimizer = torch.optim.SGD(rounded.parameters(), lr=1e-3)
    raw = rounded(images)
    (raw.cls.square().sum() + raw.box.square().sum()).backward()
    optimizer.step()
    after = rounded.state_dict()
    moved = {name for name in after if not torch.equal(before[name], after[name])}
    assert any(name.endswith("conv.weight") for name in moved)
    assert sum(name.endswith("exponent") for name in moved) > 10
    assert not any(name.endswith("zero_point") for name in moved)


def test_layers_kept_in_float() -> None:
    name = "head.cls_convs.0.0.conv"
    _, rounded, _ = both(Quantization(float_layers=(name,)))
    layers = dict(rounded.named_modules())
    assert type(layers[name]) is nn.Conv2d
    assert isinstance(layers["head.cls_convs.1.0.conv"], QuantizedConv2d)
    with pytest.raises(ConfigError, match="nowhere is no convolution"):
        both(Quantization(float_layers=("nowhere",)))


def test_the_spec_tells_and_old_files_say_nothing_of_it() -> None:
    spec = example_spec()
    assert "quantization" not in spec.to_json()
    told = spec.replace(architecture=replace(spec.architecture, quantization=Quantization(7, True, ("a.conv",))))
    assert ModelSpec.from_json(told.to_json()) == told
    for broken in ('"weight_bits": 5', '"weight_bits": 7, "more": 1'):
        with pytest.raises(ModelFileError, match="quantization"):
            ModelSpec.from_json(told.to_json().replace('"weight_bits": 7', broken))
