"""Networks whose convolutions have fewer channels than their architecture's widths give: what pruning leaves.

A pruned network has the modules of a regular one, some of them narrower. ``Architecture.channels`` lists those alone.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from herder.errors import ModelFileError


def channels_of(network: nn.Module) -> dict[str, tuple[int, int]]:
    """Name of each convolution to its input and output channels.

    >>> channels_of(nn.Sequential(nn.Conv2d(3, 8, 1)))
    {'0': (3, 8)}
    """
    return {
        name: (layer.in_channels, layer.out_channels)
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Conv2d)
    }


@torch.no_grad()
def resize_channels(network: nn.Module, channels: Mapping[str, tuple[int, int]]) -> None:
    """Replace the named convolutions, and the batch norms behind them, by ones of these channels; weights start afresh.

    Raises ModelFileError for a name that is no convolution, or channels that a depthwise convolution cannot have.
    """
    layers = dict(network.named_modules())
    for name, (inputs, outputs) in channels.items():
        old = layers.get(name)
        if not isinstance(old, nn.Conv2d):
            raise ModelFileError(
                f"{_name(network)}: channels: {name} is no convolution of this architecture", hint="the file is damaged"
            )
        depthwise = old.groups > 1
        if depthwise and inputs != outputs:
            raise ModelFileError(
                f"{_name(network)}: channels: {name} is depthwise and cannot turn {inputs} channels into {outputs}",
                hint="the file is damaged",
            )
        new = nn.Conv2d(
            inputs,
            outputs,
            (old.kernel_size[0], old.kernel_size[1]),
            (old.stride[0], old.stride[1]),
            old.kernel_size[0] // 2,
            groups=inputs if depthwise else 1,
            bias=old.bias is not None,
        )
        if new.bias is not None and old.bias is not None and outputs == old.out_channels:
            new.bias.copy_(old.bias)  # the head's outputs keep the prior that they start from
        parent, _, child = name.rpartition(".")
        setattr(layers[parent], child, new)
        norm = getattr(layers[parent], "bn", None)
        if child == "conv" and isinstance(norm, nn.BatchNorm2d):
            layers[parent].bn = nn.BatchNorm2d(outputs, eps=norm.eps, momentum=norm.momentum)


def _name(network: nn.Module) -> str:
    return str(getattr(getattr(network, "spec", None), "name", "network"))
