from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn

from herder.training.weight_averaging import WeightAverage


def test_follows_the_formula_for_weights_and_statistics() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    average = WeightAverage(network, decay=0.9, warmup=7)
    names = ["0.weight", "0.bias", "1.weight", "1.running_mean", "1.running_var"]
    wanted = {name: network.state_dict()[name].numpy().astype(np.float64) for name in names}
    network.train()
    for t in range(1, 6):
        with torch.no_grad():
            network(torch.randn(8, 3))
            for parameter in network.parameters():
                parameter.add_(torch.randn_like(parameter))
        average.update()
        decay = 0.9 * (1 - math.exp(-t / 7))
        for name in names:
            wanted[name] = decay * wanted[name] + (1 - decay) * network.state_dict()[name].numpy()
    state = average.network.state_dict()
    for name in names:
        np.testing.assert_allclose(state[name].numpy(), wanted[name], rtol=1e-5, atol=1e-6)
    # The count of batches is whole: it is copied, never averaged.
    assert state["1.num_batches_tracked"].item() == network.state_dict()["1.num_batches_tracked"].item() == 5
    assert not average.network.training
    assert not any(p.requires_grad for p in average.network.parameters())


def test_decay_zero_is_the_network_itself() -> None:
    layer = nn.Linear(3, 3)
    average = WeightAverage(layer, decay=0, warmup=10)
    with torch.no_grad():
        layer.weight.mul_(1.7)
    average.update()
    assert torch.equal(average.network.weight, layer.weight)


def test_training_the_network_leaves_the_average_alone() -> None:
    layer = nn.Linear(3, 3)
    average = WeightAverage(layer, decay=0.9, warmup=0)
    before = average.network.weight.clone()
    with torch.no_grad():
        layer.weight.add_(1)
    assert torch.equal(average.network.weight, before)
