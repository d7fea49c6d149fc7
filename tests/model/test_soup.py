"""Averaged weights: by hand, against torch's own averaging, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, update_bn

from herder.errors import ConfigError, DataError
from herder.model.network import Network
from herder.model.norm_statistics import reestimate_norms
from herder.model.soup import average_weights, check_compatible, greedy_choice
from herder.spec import Quantization, example_spec


def networks(count: int) -> list[Network]:
    torch.manual_seed(1)
    return [Network(example_spec()).eval() for _ in range(count)]


def test_the_average_is_torchs_own_of_equal_shares() -> None:
    three = networks(3)
    average = AveragedModel(three[0], use_buffers=True)
    for network in three:
        average.update_parameters(network)
    wanted = average.module.state_dict()
    found = average_weights([network.state_dict() for network in three])
    assert found.keys() == wanted.keys()
    for name, value in found.items():
        if value.is_floating_point():
            torch.testing.assert_close(value, wanted[name], rtol=1e-5, atol=1e-6)


def test_the_average_of_a_network_with_itself_is_itself_and_counts_stay_whole() -> None:
    state = networks(1)[0].state_dict()
    for name, value in average_weights([state, state]).items():
        assert torch.equal(value, state[name])
        assert value.dtype == state[name].dtype


def test_half_precision_is_averaged_in_double() -> None:
    states = [{"w": torch.tensor([60000.0]).half()}, {"w": torch.tensor([60000.0]).half()}]
    assert average_weights(states)["w"].item() == 60000  # their sum is past what float16 holds


def test_nothing_to_average_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing"):
        average_weights([])


@pytest.mark.parametrize(
    ("field", "changed"),
    [
        ("head_width", lambda s: s.replace(architecture=replace(s.architecture, head_width=24))),
        (
            "widths",
            lambda s: s.replace(architecture=replace(s.architecture, widths=(8, 16, 16, 32, 64), head_width=24)),
        ),
        ("class_names", lambda s: s.replace(class_names=("llama",))),
        ("channel_order", lambda s: s.replace(channel_order="bgr")),
        ("scale", lambda s: s.replace(scale=1.0)),
    ],
)
def test_the_first_field_that_differs_is_named(field: str, changed) -> None:  # type: ignore[no-untyped-def]
    spec = example_spec()
    with pytest.raises(ConfigError, match=rf"^b: {field} is .* but a has"):
        check_compatible([("a", spec), ("b", changed(spec))])


def test_quantized_models_and_single_ones_are_refused() -> None:
    spec = example_spec()
    rounded = spec.replace(architecture=replace(spec.architecture, quantization=Quantization()))
    with pytest.raises(ConfigError, match="b: is quantized"):
        check_compatible([("a", spec), ("b", rounded)])
    with pytest.raises(ConfigError, match="1 model given"):
        check_compatible([("a", spec)])


def test_other_thresholds_metrics_and_sizes_may_differ() -> None:
    spec = example_spec()
    check_compatible([("a", spec), ("b", spec.replace(score_threshold=0.7, input_size=416, metrics={"mAP50": 0.3}))])


def test_the_greedy_choice_follows_the_papers_recipe() -> None:
    """Models 2, 0, 1 by score; the average with 0 ties (kept: "at least"), the one with 1 is worse (left)."""
    asked: list[tuple[int, ...]] = []
    values = {(2, 0): 0.6, (2, 0, 1): 0.59}

    def measure(members: tuple[int, ...]) -> float:
        asked.append(members)
        return values[members]

    assert greedy_choice([0.5, 0.4, 0.6], measure) == ((2, 0), [(0, 0.6, True), (1, 0.59, False)])
    assert asked == [(2, 0), (2, 0, 1)]


def test_a_greedy_soup_is_never_worse_than_its_best_model() -> None:
    kept, tried = greedy_choice([0.3, 0.9, 0.9], lambda members: 0.0)
    assert kept == (1,)
    assert [i for i, _, _ in tried] == [2, 0]


def test_norm_statistics_are_those_of_torchs_update_bn() -> None:
    network = networks(1)[0]
    other = networks(1)[0]
    images = torch.rand(6, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 255
    assert reestimate_norms(network, [images[:3], images[3:]]) == 6
    update_bn([images[:3], images[3:]], other)
    theirs = dict(other.named_modules())
    norms = [(name, m) for name, m in network.named_modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) > 20
    for name, norm in norms:
        wanted = theirs[name]
        assert isinstance(wanted, nn.BatchNorm2d)
        torch.testing.assert_close(norm.running_mean, wanted.running_mean)
        torch.testing.assert_close(norm.running_var, wanted.running_var)
        assert norm.momentum == 0.03
        assert not norm.training


def test_batches_count_by_their_photos() -> None:
    network = networks(1)[0]
    stem = network.backbone.stem.bn
    conv = network.backbone.stem.conv
    images = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 255
    reestimate_norms(network, [images[:1], images[1:]])
    with torch.no_grad():
        mean = conv(network.normalise(images)).mean(dim=(0, 2, 3))
    torch.testing.assert_close(stem.running_mean, mean, rtol=1e-4, atol=1e-5)


def test_without_photos_the_statistics_stay() -> None:
    network = networks(1)[0]
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(DataError, match="no photo"):
        reestimate_norms(network, [])
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    with pytest.raises(DataError, match="no variance"):
        reestimate_norms(network, [torch.zeros(1, 3, 32, 32)])
