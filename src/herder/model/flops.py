"""Parameters and multiplications of a network, counted layer by layer while it runs on a tensor without data.

Counted are convolutions and linear layers: a convolution with kernel k x k needs ``k k C_in / groups`` multiply-
accumulates (MACs) for each of its output numbers. Bias, norms, activations, pooling, upsampling and the decoding of
boxes are not counted; in detectors they are a few percent. FLOPs are 2 x MACs, one multiplication and one addition, as
in the tables of YOLOX (https://github.com/Megvii-BaseDetection/YOLOX).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from herder.errors import ConfigError
from herder.inference import STRIDE
from herder.model.network import Network


@dataclass(frozen=True)
class Work:
    """What a network holds, and what it computes for one photo."""

    parameters: int
    """Numbers that training sets, those of the norms included."""
    macs: int
    """Multiply-accumulates of convolutions and linear layers."""

    @property
    def flops(self) -> int:
        """One multiplication and one addition for each of the MACs."""
        return 2 * self.macs


def count_work(network: Network, height: int, width: int) -> Work:
    """Count for one photo on a canvas of ``height`` x ``width`` pixels; the network stays as it is.

    Raises ConfigError for sides that are not multiples of 32.

    >>> from herder.spec import example_spec
    >>> small, large = (count_work(Network(example_spec()), side, side) for side in (64, 128))
    >>> large.macs / small.macs, large.parameters == small.parameters
    (4.0, True)
    """
    if min(height, width) < STRIDE or height % STRIDE or width % STRIDE:
        raise ConfigError(f"canvas {width} x {height} is not made of multiples of {STRIDE}", hint="use 640 x 640, say")
    parameters = sum(parameter.numel() for parameter in network.parameters())
    shapes_only = copy.deepcopy(network).to("meta").eval()
    macs = 0

    def count(layer: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal macs
        if isinstance(layer, nn.Conv2d):
            side_y, side_x = layer.kernel_size
            macs += output.numel() * side_y * side_x * layer.in_channels // layer.groups
        elif isinstance(layer, nn.Linear):
            macs += output.numel() * layer.in_features

    for layer in shapes_only.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            layer.register_forward_hook(count)
    with torch.inference_mode():
        shapes_only(torch.empty(1, 3, height, width, device="meta"))
    return Work(parameters, macs)
