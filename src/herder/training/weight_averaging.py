"""Exponential moving average of the weights: a smoother network for evaluation and for the file that is kept.

Polyak averaging as the YOLO family uses it: ema = d * ema + (1 - d) * weights with d = decay * (1 - exp(-t / tau)).
"""

from __future__ import annotations

import copy
import math
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

N = TypeVar("N", bound=nn.Module)


class WeightAverage(Generic[N]):
    """The running average of a network's parameters and buffers; ``network`` is the averaged copy, in eval mode.

    Whole-number buffers, such as batch norm's count, are copied as they are.

    >>> layer = nn.Linear(1, 1, bias=False)
    >>> _ = layer.weight.data.fill_(1)
    >>> average = WeightAverage(layer, decay=0.5, warmup=0)
    >>> _ = layer.weight.data.fill_(2)
    >>> average.update()
    >>> average.network.weight.item()
    1.5
    """

    def __init__(self, network: N, *, decay: float, warmup: float) -> None:
        self.decay = decay
        self.warmup = warmup
        self.updates = 0
        self.network: N = copy.deepcopy(network).eval().requires_grad_(False)
        ours, theirs = self.network.state_dict(), network.state_dict()
        # state_dict's tensors share their memory with the network: the lists are made once, not at every step.
        floats = [name for name, value in theirs.items() if value.is_floating_point()]
        self._floats: tuple[list[Tensor], list[Tensor]] = [ours[n] for n in floats], [theirs[n] for n in floats]
        self._others = [(ours[n], theirs[n]) for n in theirs.keys() - set(floats)]

    def current_decay(self) -> float:
        """The share that the next update keeps of the average."""
        if not self.warmup:
            return self.decay
        return self.decay * (1 - math.exp(-(self.updates + 1) / self.warmup))

    @torch.no_grad()
    def update(self) -> None:
        """Take the network's weights as they are after one more step."""
        share = 1 - self.current_decay()
        torch._foreach_lerp_(*self._floats, share)
        for ours, theirs in self._others:
            ours.copy_(theirs)
        self.updates += 1
