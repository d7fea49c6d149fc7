from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from herder.errors import ConfigError, ModelFileError
from herder.model.channels import channels_of
from herder.model.families import make_spec
from herder.model.files import load_model, save_model
from herder.model.flops import count_work
from herder.model.network import Network
from herder.model.pruning import Importance, Scope, check_pruning, prune, step_ratio
from herder.model.sparsity import hold_zeros, sparsify, sparsity, zipped_bytes
from herder.spec import ModelSpec, example_spec

pytest.importorskip("torch_pruning")


def tiny(**changes: object) -> Network:
    torch.manual_seed(0)
    spec = example_spec()
    network = Network(spec.replace(input_size=64, architecture=replace(spec.architecture, **changes))).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    return network


VARIANTS = [
    {},
    {"depthwise": True, "stem": "focus", "objectness": True, "reg_max": 0},
    {"neck": "fpn", "neck_width": 16},
    {"attention": True, "head_depthwise": True, "one_to_one": True},
]


REAL = ["yolox-nano", "herder-n"]


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("one_to_one", [False, True])
def test_families_stay_whole(name: str, one_to_one: bool) -> None:
    """Depth-wise and full, YOLOX and ours, with one head and two: the counts of channels fit, and so do the weights."""
    spec = make_spec(name, ("alpaca", "goat"), input_size=64)
    network = Network(spec.replace(architecture=replace(spec.architecture, one_to_one=one_to_one))).eval()
    small = prune(network, 0.3, scope=Scope.GLOBAL)
    boxes, scores = small(torch.rand(1, 3, 64, 96) * 255)
    assert boxes.shape == network(torch.zeros(1, 3, 64, 96))[0].shape
    assert scores.shape[2] == 2
    rebuilt = Network(ModelSpec.from_json(small.spec.to_json()))
    assert {k: v.shape for k, v in rebuilt.state_dict().items()} == {k: v.shape for k, v in small.state_dict().items()}


@pytest.mark.slow
@settings(max_examples=6)
@given(
    ratio=st.floats(0.05, 0.8),
    multiple=st.sampled_from([1, 2, 4]),
    scope=st.sampled_from(Scope),
    importance=st.sampled_from([Importance.L1, Importance.L2, Importance.BN]),
    changes=st.sampled_from(range(4)),
)
def test_whatever_is_left_is_part_of_the_whole(
    ratio: float, multiple: int, scope: Scope, importance: Importance, changes: int
) -> None:
    """Every kept filter is one of the whole network's, and no layer grows or vanishes."""
    network = tiny(**VARIANTS[changes])
    small = prune(network, ratio, scope=scope, importance=importance, multiple=multiple)
    whole, left = channels_of(network), channels_of(small)
    assert whole.keys() == left.keys()
    for name, (inputs, outputs) in left.items():
        assert 1 <= inputs <= whole[name][0]
        assert 1 <= outputs <= whole[name][1]
    before, after = network.state_dict(), small.state_dict()
    for name in (n for n in after if n.endswith(".bn.weight")):  # continuous and random: equal only where the same
        assert set(after[name].tolist()) <= set(before[name].tolist())
    assert torch.isfinite(small(torch.rand(1, 3, 64, 64) * 255)[0]).all()


@pytest.mark.slow
@pytest.mark.parametrize("changes", VARIANTS)
def test_pruned_networks_are_smaller_and_survive_a_file(changes: dict[str, object], tmp_path: Path) -> None:
    network = tiny(**changes)
    small = prune(network, 0.4, scope=Scope.LAYER, multiple=1)
    assert 0.2 < count_work(small, 64, 64).parameters / count_work(network, 64, 64).parameters < 0.6
    save_model(small, small.spec, tmp_path / "small.safetensors")
    again = load_model(tmp_path / "small.safetensors")
    photos = torch.rand(2, 3, 64, 96) * 255
    for one, other in zip(small(photos), again(photos), strict=True):
        assert torch.equal(one, other)
    boxes, scores = again.fused()(photos)
    torch.testing.assert_close(boxes, small(photos)[0], atol=1e-2, rtol=1e-3)
    assert scores.shape == network(photos)[1].shape


def test_channels_without_weight_go_first_and_change_nothing() -> None:
    """A channel whose weights and norm are zero adds nothing: taking it out must leave the output as it was."""
    network = tiny()
    conv = network.head.cls_convs[0][0]
    with torch.no_grad():
        conv.conv.weight[8:] = 0
        conv.bn.weight[8:] = 0
        conv.bn.bias[8:] = 0
        network.head.cls_convs[0][1].conv.weight[:, 8:] = 0
    photos = torch.rand(1, 3, 64, 64) * 255
    small = prune(network, 0.004, scope=Scope.GLOBAL, multiple=1)
    name = "head.cls_convs.0.0.conv"
    kept = channels_of(small)[name][1]
    assert 8 <= kept < 16
    assert {n for n, pair in small.spec.architecture.channels.items()} == {name, "head.cls_convs.0.1.conv"}
    for one, other in zip(network(photos), small(photos), strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("importance", [i for i in Importance if i is not Importance.TAYLOR])
@pytest.mark.parametrize("scope", Scope)
def test_every_importance_and_scope_prunes_and_again(scope: Scope, importance: Importance) -> None:
    once = prune(tiny(), 0.3, scope=scope, importance=importance, multiple=1)
    twice = prune(once, 0.3, scope=scope, importance=importance, multiple=1)
    sizes = [sum(p.numel() for p in n.parameters()) for n in (tiny(), once, twice)]
    assert sizes[0] > sizes[1] > sizes[2]
    assert min(outputs for _, outputs in channels_of(twice).values()) >= 1


def test_taylor_takes_what_the_loss_does_not_miss() -> None:
    """Channels that the next layer has no weights for cannot change the loss, however large their own weights are."""
    network = tiny()
    first, second = network.head.cls_convs[0][0], network.head.cls_convs[0][1]
    with torch.no_grad():
        first.conv.weight[8:] *= 100
        first.bn.weight[8:] *= 100
        second.conv.weight[:, 8:] = 0
    photos = torch.rand(2, 3, 64, 64) * 255

    def learn(copy: Network) -> None:
        copy.raw(photos).cls.square().sum().backward()  # type: ignore[no-untyped-call]

    small = prune(network, 0.004, scope=Scope.GLOBAL, importance=Importance.TAYLOR, multiple=1, learn=learn)
    assert 8 <= small.head.cls_convs[0][0].conv.out_channels <= 16
    for bn in (small.head.cls_convs[0][0].bn,):
        assert set(first.bn.weight[:8].tolist()) <= set(bn.weight.tolist())


def test_taylor_needs_gradients() -> None:
    with pytest.raises(ConfigError, match="taylor"):
        prune(tiny(), 0.3, importance=Importance.TAYLOR)


def test_channels_are_multiples_and_outputs_stay() -> None:
    network = Network(make_spec("yolox-nano", ("alpaca", "goat"), input_size=64))
    small = prune(network, 0.3, scope=Scope.LAYER, multiple=4)
    before, after = channels_of(network), channels_of(small)
    for name, (_, outputs) in after.items():
        if "_preds." in name:
            assert outputs == before[name][1]
        else:
            assert outputs % 4 == 0


def test_a_pruned_network_learns() -> None:
    small = prune(tiny(), 0.3).train()
    raw = small(torch.rand(2, 3, 64, 64) * 255)
    (raw.box.square().mean() + raw.cls.square().mean()).backward()
    assert all(p.grad is not None for p in small.parameters())


@pytest.mark.parametrize("ratio", [1.0, 1.5, 0.0, -0.1, 0.99, float("nan")])
@pytest.mark.parametrize("scope", Scope)
def test_ratios_that_leave_nothing_are_refused(ratio: float, scope: Scope) -> None:
    with pytest.raises(ConfigError, match="ratio"):
        check_pruning(tiny(), ratio, scope)


@pytest.mark.parametrize("scope", Scope)
def test_steps_that_came_down_to_few_channels_go_on_and_leave_each_layer_one(scope: Scope) -> None:
    """One layer hardly weighs anything, so that the first step of global pruning takes most of it."""
    small = tiny(widths=(10, 16, 16, 16, 16))
    small.backbone.stem.conv.weight.data *= 1e-4
    check_pruning(small, 0.85, scope, steps=2)
    for _ in range(2):
        small = prune(small, step_ratio(0.85, 2), scope=scope, multiple=1)
    assert min(outputs for name, (_, outputs) in channels_of(small).items() if "_preds" not in name) in (1, 2)
    assert small.raw(torch.zeros(1, 3, 64, 64)).cls.shape[-1] == len(small.spec.class_names)


def test_only_pruned_specs_name_channels() -> None:
    spec = example_spec()
    assert '"channels"' not in spec.to_json()
    small = prune(tiny(), 0.3).spec
    assert ModelSpec.from_json(small.to_json()) == small


@pytest.mark.parametrize(
    "channels", [{"nothing": [1, 1]}, {"backbone.stem.conv": [3]}, {"backbone.stem.conv": [3, 0]}, [1], {"x": "y"}]
)
def test_damaged_channels_are_refused(channels: object) -> None:
    import json

    data = json.loads(example_spec().to_json())
    data["architecture"]["channels"] = channels
    with pytest.raises(ModelFileError):
        Network(ModelSpec.from_json(json.dumps(data)))


def test_unstructured_zeroes_the_least_weights_and_the_file_zips_better(tmp_path: Path) -> None:
    network = tiny()
    sparse = sparsify(network, 0.5)
    assert sparsity(sparse) == pytest.approx(0.5, abs=1e-4)
    assert sparsity(network) == 0
    pairs = [
        (a.weight, b.weight)
        for a, b in zip(network.modules(), sparse.modules(), strict=True)
        if isinstance(a, torch.nn.Conv2d)
    ]
    gone = torch.cat([a[b == 0].abs() for a, b in pairs]).max()
    kept = torch.cat([a[b != 0].abs() for a, b in pairs]).min()
    assert gone <= kept
    sizes = []
    for name, n in (("dense", network), ("sparse", sparse)):
        save_model(n, n.spec, tmp_path / name)
        sizes.append(((tmp_path / name).stat().st_size, zipped_bytes(tmp_path / name)))
    assert sizes[0][0] == sizes[1][0]
    assert sizes[1][1] < 0.7 * sizes[0][1]


def test_sparsify_in_steps_keeps_the_zeros_and_one_layer_may_lose_all() -> None:
    network = tiny()
    once = sparsify(network, 0.3)
    twice = sparsify(once, 0.6)
    for a, b in zip(once.modules(), twice.modules(), strict=True):
        if isinstance(a, torch.nn.Conv2d):
            assert (b.weight[a.weight == 0] == 0).all()
    assert sparsity(twice) == pytest.approx(0.6, abs=1e-4)


def test_held_zeros_outlast_adamw_and_its_decay() -> None:
    layer = torch.nn.Conv2d(4, 4, 3, bias=False)
    mask = torch.rand_like(layer.weight) < 0.5
    with torch.no_grad():
        layer.weight[mask] = 0
    before = layer.weight.detach().clone()
    hold_zeros(layer)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(5):
        optimizer.zero_grad()
        layer(torch.rand(2, 4, 8, 8)).square().sum().backward()
        optimizer.step()
    assert (layer.weight[mask] == 0).all()
    assert (layer.weight[~mask] != before[~mask]).all()
