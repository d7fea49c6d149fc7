"""Where a network is rounded to int8: weights of convolutions, maps behind activations and sums.

Maps are rounded where they are made, so that everything that reads one reads the same int8 values. Maps that are
concatenated share a scale: the concatenation is then int8 itself and costs no arithmetic. What a convolution adds to
a residual is rounded with the sum alone, so that an engine can do convolution, activation and sum in one pass.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from torch import nn

from herder.errors import ConfigError
from herder.model.blocks import Bottleneck, Conv, CSPLayer, DepthwiseConv, Focus, SPPBottleneck, SqueezeExcitation
from herder.model.fake_quantization import ActivationQuantizer, QuantizedConv2d, SharedQuantizer
from herder.model.head import Head
from herder.spec import Quantization

if TYPE_CHECKING:
    from herder.model.network import Network


def quantize_layers(network: Network, quantization: Quantization) -> None:
    """Put rounding into a folded network; scales are still to be settled or loaded.

    Raises ConfigError for a layer kept in float that is no convolution of this network.
    """
    layers = dict(network.named_modules())
    convolutions = [name for name, layer in layers.items() if isinstance(layer, nn.Conv2d)]
    unknown = sorted(set(quantization.float_layers) - set(convolutions))
    if unknown:
        raise ConfigError(
            f"quantization: {unknown[0]} is no convolution of {network.spec.name}", hint=f"such as {convolutions[0]}"
        )
    owners: dict[str, ActivationQuantizer] = {}
    groups = _groups(layers)
    alone = {} if quantization.before_activation else dict(_before_depthwise(layers))
    for site in _sites(layers, after_all=quantization.before_activation):
        first = groups.get(site, site)
        quantizer: nn.Module
        if first in owners:
            quantizer = SharedQuantizer(owners[first])
        else:
            quantizer = owners[first] = ActivationQuantizer(alone.get(site, 0))
        _set(layers, site, quantizer if site.endswith("joined") else nn.Sequential(layers[site], quantizer))
    for name, layer in layers.items():
        if (
            quantization.before_activation
            and isinstance(layer, Conv)
            and f"{name}.conv" not in quantization.float_layers
        ):
            layer.bn = ActivationQuantizer()
    for name in convolutions:
        layer = layers[name]
        attention = ".squeeze" in name or ".excite" in name  # one value a channel: nothing to gain
        if isinstance(layer, nn.Conv2d) and name not in quantization.float_layers and not attention:
            _set(layers, name, QuantizedConv2d(layer, quantization.weight_bits))


def quantizers(network: nn.Module) -> Iterator[ActivationQuantizer]:
    """All that round maps, each once."""
    return (module for module in network.modules() if isinstance(module, ActivationQuantizer))


@contextmanager
def settling(network: nn.Module) -> Iterator[None]:
    """Fit all scales to the weights as they are and to the maps of what the network is shown within the block.

    Maps pass there as they are. Maps of which nothing was seen keep their scales.
    """
    for module in network.modules():
        if isinstance(module, QuantizedConv2d):
            module.settle()
    for quantizer in quantizers(network):
        quantizer.observe()
    yield
    for quantizer in quantizers(network):
        quantizer.settle()


def _sites(layers: Mapping[str, nn.Module], *, after_all: bool) -> list[str]:
    """Names of the modules whose output is rounded."""
    added = {
        _output(f"{name}.conv2", layer.conv2)
        for name, layer in layers.items()
        if isinstance(layer, Bottleneck) and layer.add
    }
    sites = []
    for name, layer in layers.items():
        if isinstance(layer, Conv) and (after_all or f"{name}.act" not in added):
            sites.append(f"{name}.act")
        elif isinstance(layer, SqueezeExcitation) or (isinstance(layer, Bottleneck) and layer.add):
            sites.append(f"{name}.joined")
    return sites


def _groups(layers: Mapping[str, nn.Module]) -> dict[str, str]:
    """For each site whose map is concatenated with others: the one site whose scale they all use."""
    first: dict[str, str] = {}

    def root(site: str) -> str:
        while first.get(site, site) != site:
            site = first[site]
        return site

    for one, other in _joined(layers):
        first[root(other)] = root(one)
    return {site: root(site) for site in first}


def _joined(layers: Mapping[str, nn.Module]) -> Iterator[tuple[str, str]]:
    """Pairs of sites whose maps are concatenated."""
    for name, layer in layers.items():
        if isinstance(layer, CSPLayer):
            through = _output(f"{name}.m", layer.m) if len(layer.m) else f"{name}.conv1.act"
            yield f"{name}.conv2.act", through
    stages = [_output(f"backbone.stages.{i}", layers[f"backbone.stages.{i}"]) for i in (1, 2)]
    yield "neck.lateral5.act", stages[1]
    yield "neck.lateral4.act", stages[0]
    if "neck.reduce3" in layers:
        yield "neck.lateral4.act", _output("neck.reduce3", layers["neck.reduce3"])
        yield "neck.lateral5.act", _output("neck.reduce4", layers["neck.reduce4"])


def _before_depthwise(layers: Mapping[str, nn.Module]) -> Iterator[tuple[str, int]]:
    """Sites whose map only depthwise convolutions read, with its channels.

    Each such channel may have a scale of its own, since no sum ever joins two of them; and some channels' values are
    hundreds of times larger than others'.
    """
    pairs: list[tuple[str, nn.Module, list[nn.Module]]] = [
        (f"{name}.conv1", layer.conv1, [layer.conv2]) for name, layer in layers.items() if isinstance(layer, Bottleneck)
    ]
    pairs.append(("backbone.stem", layers["backbone.stem"], [layers["backbone.stages.0.0"]]))
    for name, head in layers.items():
        if not isinstance(head, Head):
            continue
        for i, (stem, first, second) in enumerate(zip(head.stems, head.cls_convs, head.reg_convs, strict=True)):
            branches = {"cls_convs": list(first.children()), "reg_convs": list(second.children())}
            pairs.append((f"{name}.stems.{i}", stem, [branch[0] for branch in branches.values()]))
            for kind, branch in branches.items():
                steps = enumerate(itertools.pairwise(branch))
                pairs += [(f"{name}.{kind}.{i}.{j}", layer, [reader]) for j, (layer, reader) in steps]
    for name, layer, readers in pairs:
        last = layer.pconv if isinstance(layer, DepthwiseConv) else layer
        if isinstance(last, Conv) and all(isinstance(reader, DepthwiseConv) for reader in readers):
            yield _output(name, layer), last.conv.out_channels


def _output(name: str, layer: nn.Module) -> str:
    """The site that a block's output comes from."""
    if isinstance(layer, Conv):
        return f"{name}.act"
    if isinstance(layer, SqueezeExcitation) or (isinstance(layer, Bottleneck) and layer.add):
        return f"{name}.joined"
    if isinstance(layer, nn.Sequential):
        return _output(f"{name}.{len(layer) - 1}", layer[-1])
    last = {DepthwiseConv: "pconv", Bottleneck: "conv2", CSPLayer: "conv3", SPPBottleneck: "conv2", Focus: "conv"}
    child = last[type(layer)]
    return _output(f"{name}.{child}", getattr(layer, child))


def _set(layers: Mapping[str, nn.Module], name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(layers[parent], child, module)
