"""A wider network that computes what the narrower one computes: the start of a training that may go further.

Source: T. Chen, I. Goodfellow, J. Shlens, "Net2Net: Accelerating Learning via Knowledge Transfer", ICLR 2016,
https://arxiv.org/abs/1511.05641, section 2.2 (Net2WiderNet). A wider layer has each old channel once, and some of them
again; whatever reads a channel of which there are c copies reads each with 1 / c of the weight. Batch norms are copied
with their channels, depthwise convolutions too; where maps are joined or added, copies are followed through both.

Copies would get the same gradients for ever. The paper adds noise and gives up a little of the function; here the
noise on the weights that read the copies of one channel sums to zero, so that copies learn different things while the
network still computes the same. Notation: O and I channels out and in, of which (O',) and (I',) are widened.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from herder.boxes import IntArray
from herder.errors import ConfigError
from herder.model.backbone import Backbone
from herder.model.blocks import (
    Bottleneck,
    Conv,
    CSPLayer,
    DepthwiseConv,
    Focus,
    SPPBottleneck,
    SqueezeExcitation,
)
from herder.model.head import Head
from herder.model.neck import Neck
from herder.model.network import Network
from herder.spec import Architecture

MULTIPLE = 8
"""Widths are multiples of this: processors take so many channels at once."""

WIDEST = 8.0
"""A larger factor is refused: the network would have 64 times as many weights."""

Copies = IntArray
"""(O',) for each channel of a wider layer, which channel of the old one it is a copy of."""


def wider_architecture(a: Architecture, factor: float) -> Architecture:
    """The architecture with ``factor`` times the channels, up to multiples of 8.

    Raises ConfigError for a factor that is not above 1 and up to 8, a pruned network (its channels fit no width) or a
    quantized one.
    """
    if not 1 < factor <= WIDEST:
        raise ConfigError(f"width {factor:g} is not above 1 and up to {WIDEST:g}", hint="use 1.5, say")
    for field, name in ((a.quantization, "quantized"), (a.channels, "pruned")):
        if field:
            raise ConfigError(f"architecture: the model is {name}", hint="grow the model that it was made of")

    def wider(width: int) -> int:
        return max(width, round(width * factor / MULTIPLE) * MULTIPLE)

    grown = replace(
        a,
        widths=tuple(wider(width) for width in a.widths),
        head_width=wider(a.head_width),
        neck_width=wider(a.neck_width) if a.neck_width else 0,
    )
    if grown == a:
        raise ConfigError(
            f"width {factor:g}: no layer grows by so little", hint=f"widths are multiples of {MULTIPLE}; use 1.5, say"
        )
    return grown


@torch.no_grad()
def widen(network: Network, factor: float, *, noise: float = 0.1, seed: int = 0) -> Network:
    """A network of ``factor`` times the channels that computes what ``network`` does, in eval mode.

    ``noise`` is how much the weights that read copies of one channel differ, relative to the weights' own spread; 0
    leaves copies alike, and training will not tell them apart. ``seed`` decides which channels are copied. Raises
    ConfigError as ``wider_architecture`` does, and for noise that is negative.
    """
    if not 0 <= noise <= 1:
        raise ConfigError(f"noise {noise:g} is not from 0 to 1", hint="use 0.1, say")
    architecture = wider_architecture(network.spec.architecture, factor)
    spec = network.spec.replace(architecture=architecture)
    wider = Network(spec).eval()
    walk = _Widening(noise, seed)
    maps = walk.backbone(network.backbone, wider.backbone)
    levels = walk.neck(network.neck, wider.neck, maps)
    walk.head(network.head, wider.head, levels)
    if network.one_to_one_head is not None and wider.one_to_one_head is not None:
        walk.head(network.one_to_one_head, wider.one_to_one_head, levels)
    return wider


class _Widening:
    """Goes through both networks as a photo does, and hands on which channel is a copy of which."""

    def __init__(self, noise: float, seed: int) -> None:
        self.noise = noise
        self.choices = np.random.default_rng(seed)
        self.draws = torch.Generator().manual_seed(seed)

    def backbone(self, old: Backbone, new: Backbone) -> tuple[Copies, Copies, Copies]:
        colours = np.arange(3)
        copies = (
            self.conv(old.stem.conv, new.stem.conv, np.arange(12))
            if isinstance(old.stem, Focus) and isinstance(new.stem, Focus)
            else self.step(old.stem, new.stem, colours)
        )
        maps = []
        for before, after in zip(old.stages, new.stages, strict=True):
            for narrow, wide in zip(before.children(), after.children(), strict=True):
                copies = self.step(narrow, wide, copies)
            maps.append(copies)
        return maps[1], maps[2], maps[3]

    def neck(self, old: Neck, new: Neck, maps: tuple[Copies, ...]) -> tuple[Copies, Copies, Copies]:
        m3, m4, m5 = maps
        p5 = self.step(old.lateral5, new.lateral5, m5)
        whole4 = self.step(old.down4, new.down4, joined(p5, m4))
        p4 = self.step(old.lateral4, new.lateral4, whole4)
        n3 = self.step(old.down3, new.down3, joined(p4, m3))
        if not old.pan:
            return n3, whole4, self.step(old.out5, new.out5, p5) if hasattr(old, "out5") else p5
        n4 = self.step(old.up4, new.up4, joined(self.step(old.reduce3, new.reduce3, n3), p4))
        n5 = self.step(old.up5, new.up5, joined(self.step(old.reduce4, new.reduce4, n4), p5))
        return n3, n4, n5

    def head(self, old: Head, new: Head, maps: tuple[Copies, ...]) -> None:
        for i, copies in enumerate(maps):
            stem = self.step(old.stems[i], new.stems[i], copies)
            ends = {"cls_convs": ("cls_preds",), "reg_convs": ("reg_preds", "obj_preds")}
            for branch, layers in ends.items():
                features = stem
                for narrow, wide in zip(getattr(old, branch)[i], getattr(new, branch)[i], strict=True):
                    features = self.step(narrow, wide, features)
                for name in layers:
                    if len(getattr(old, name)):
                        last = getattr(old, name)[i]
                        self.weights(last, getattr(new, name)[i], features, np.arange(last.out_channels))

    def step(self, old: nn.Module, new: nn.Module, copies: Copies) -> Copies:
        """Fill ``new`` with what ``old`` does, for inputs of which ``copies`` tells; the copies that come out."""
        if isinstance(old, Conv) and isinstance(new, Conv):
            return self.conv(old, new, copies)
        if isinstance(old, DepthwiseConv) and isinstance(new, DepthwiseConv):
            return self.conv(old.pconv, new.pconv, self.conv(old.dconv, new.dconv, copies))
        if isinstance(old, CSPLayer) and isinstance(new, CSPLayer):
            through = self.conv(old.conv1, new.conv1, copies)
            past = self.conv(old.conv2, new.conv2, copies)
            for narrow, wide in zip(old.m, new.m, strict=True):
                through = self.bottleneck(narrow, wide, through)
            return self.conv(old.conv3, new.conv3, joined(through, past))
        if isinstance(old, SPPBottleneck) and isinstance(new, SPPBottleneck):
            level = self.conv(old.conv1, new.conv1, copies)
            return self.conv(old.conv2, new.conv2, joined(*[level] * (len(old.sizes) + 1)))
        if isinstance(old, SqueezeExcitation) and isinstance(new, SqueezeExcitation):
            hidden = self.chosen(old.squeeze.out_channels, new.squeeze.out_channels)
            self.weights(old.squeeze, new.squeeze, copies, hidden)
            self.weights(old.excite, new.excite, hidden, copies)  # a copy is weighed as its original is
            return copies
        raise TypeError(f"widening: {type(old).__name__} is no block of herder")

    def bottleneck(self, old: nn.Module, new: nn.Module, copies: Copies) -> Copies:
        assert isinstance(old, Bottleneck)
        assert isinstance(new, Bottleneck)
        middle = self.conv(old.conv1, new.conv1, copies)
        # The input is added to the output, channel by channel: the same channels must be copied on both sides.
        out = copies if old.add else None
        if isinstance(old.conv2, DepthwiseConv) and isinstance(new.conv2, DepthwiseConv):
            middle = self.conv(old.conv2.dconv, new.conv2.dconv, middle)
            return self.conv(old.conv2.pconv, new.conv2.pconv, middle, out)
        assert isinstance(old.conv2, Conv)
        assert isinstance(new.conv2, Conv)
        return self.conv(old.conv2, new.conv2, middle, out)

    def conv(self, old: Conv, new: Conv, copies: Copies, out: Copies | None = None) -> Copies:
        """A convolution with its norm; ``out`` says which channels to copy where that is not free to choose."""
        if old.conv.groups > 1:
            out = copies  # each channel has a filter of its own
        elif out is None:
            out = self.chosen(old.conv.out_channels, new.conv.out_channels)
        self.weights(old.conv, new.conv, copies, out)
        assert isinstance(old.bn, nn.BatchNorm2d)
        assert isinstance(new.bn, nn.BatchNorm2d)
        rows = torch.from_numpy(out)
        wanted = new.bn.state_dict()
        for name, value in old.bn.state_dict().items():
            wanted[name].copy_(value[rows] if value.ndim else value)
        return out

    def weights(self, old: nn.Conv2d, new: nn.Conv2d, copies: Copies, out: Copies) -> None:
        rows = torch.from_numpy(out)
        if old.bias is not None and new.bias is not None:
            new.bias.copy_(old.bias[rows])
        if old.groups > 1:
            new.weight.copy_(old.weight[rows])
            return
        counts = np.bincount(copies, minlength=old.in_channels)
        share = torch.from_numpy((1 / counts[copies]).astype(np.float32))  # (I',)
        weight = old.weight[rows][:, torch.from_numpy(copies)] * share[:, None, None]  # (O', I', k, k)
        new.weight.copy_(weight + self.unseen_noise(old.weight, weight, copies, counts))

    def unseen_noise(self, old: Tensor, weight: Tensor, copies: Copies, counts: IntArray) -> Tensor:
        """Noise (O', I', k, k) that sums to zero over the copies of each channel, so that nobody sees it."""
        if not self.noise or (counts <= 1).all():
            return torch.zeros_like(weight)
        draw = torch.randn(weight.shape, generator=self.draws) * float(old.std()) * self.noise
        groups = torch.from_numpy(copies)
        sums = torch.zeros(weight.shape[0], len(counts), *weight.shape[2:]).index_add_(1, groups, draw)
        sizes = torch.from_numpy(counts).float()
        return draw - (sums / sizes.clamp(min=1)[:, None, None])[:, groups]

    def chosen(self, old: int, new: int) -> Copies:
        """All old channels in their order, then as many at random, each again only after all were."""
        more = [self.choices.permutation(old) for _ in range(-(-(new - old) // old))]
        return np.concatenate([np.arange(old), *more])[:new].astype(np.int64)


def joined(*parts: Copies) -> Copies:
    """Copies of maps that are joined channel by channel.

    >>> joined(np.array([0, 1, 0]), np.array([0, 1, 1])).tolist()
    [0, 1, 0, 2, 3, 3]
    """
    starts = np.cumsum([0, *(int(part.max()) + 1 for part in parts[:-1])])
    return np.concatenate([part + start for part, start in zip(parts, starts, strict=True)])
