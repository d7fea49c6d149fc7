"""Structured pruning: whole channels go, and with them everything that depends on them.

What depends on what is found by a dependency graph (DepGraph, https://arxiv.org/abs/2301.12900, torch-pruning): a
channel of one convolution is an input of the next, and additions and concatenations tie others to it. A group's
importance is the L1 or L2 norm of its weights (https://arxiv.org/abs/1608.08710), the scale of its batch norms
(https://arxiv.org/abs/1708.06519) or how much the loss would change without it, to first order
(https://arxiv.org/abs/1906.10771). What the head says (classes, box sides, objectness) keeps its channels.
"""

from __future__ import annotations

import copy
import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import replace
from enum import Enum
from typing import Any

import torch
from torch import Tensor, nn

from herder.errors import ConfigError, MissingExtraError
from herder.model.channels import channels_of
from herder.model.network import Network

MOST = 0.9
"""Share of a group's channels that pruning over the whole network may take at most: no layer becomes a needle's eye."""


class Scope(Enum):
    """Where the least important channels are sought."""

    GLOBAL = "global"
    LAYER = "layer"


class Importance(Enum):
    """What a channel's importance is measured by."""

    L1 = "l1"
    L2 = "l2"
    BN = "bn"
    TAYLOR = "taylor"
    """Weight times gradient, summed: needs photos."""


def check_pruning(network: Network, ratio: float, scope: Scope, steps: int = 1) -> None:
    """Raise ConfigError for settings without meaning, or that would leave a layer without channels."""
    _check_network(network, ratio)
    if steps < 1:
        raise ConfigError(f"steps: {steps}", hint="wanted 1 or more")
    if scope is Scope.GLOBAL and ratio > MOST:
        raise ConfigError(f"ratio: {ratio:g} would leave layers with zero channels", hint=f"wanted at most {MOST:g}")
    kept = _outputs(network)
    sizes = {name: outputs for name, (_, outputs) in channels_of(network).items() if name not in kept}
    name = min(sizes, key=lambda n: sizes[n])
    if _leaves_none(sizes[name], ratio):
        raise ConfigError(
            f"ratio: {ratio:g} would leave zero of the {sizes[name]} channels of {name}",
            hint=f"wanted at most {1 - 1 / sizes[name]:.3g}",
        )


def _leaves_none(channels: int, ratio: float) -> bool:
    """Whether less than one channel is left.

    >>> _leaves_none(10, 0.9), _leaves_none(9, 0.9)
    (False, True)
    """
    return round(channels * (1 - ratio), 9) < 1


def _check_network(network: Network, ratio: float) -> None:
    """Raise what stands against pruning a network, whatever its layers' channels."""
    check_ratio(ratio)
    check_not_quantized(network)
    if importlib.util.find_spec("torch_pruning") is None:
        raise MissingExtraError("structured pruning", "compress")


def check_not_quantized(network: Network) -> None:
    """Raise ConfigError for a network that rounds to int8: its scales belong to the channels as they are."""
    if network.spec.architecture.quantization is not None:
        raise ConfigError(f"{network.spec.name}: is quantized already", hint="prune first, and quantize what is left")


def check_ratio(ratio: float) -> None:
    """Raise ConfigError unless the ratio is between 0 and 1."""
    if not 0 < ratio < 1:
        reason = "would leave zero channels" if ratio >= 1 else "prunes nothing"
        raise ConfigError(f"ratio: {ratio:g} {reason}", hint="wanted a share between 0 and 1, such as 0.3")


def step_ratio(ratio: float, steps: int) -> float:
    """The share of what is left that each of several equal steps takes, so that ``ratio`` is gone in the end.

    >>> round(step_ratio(0.75, 2), 6)
    0.5
    """
    return float(1 - (1 - ratio) ** (1 / steps))


def prune(
    network: Network,
    ratio: float,
    *,
    scope: Scope = Scope.GLOBAL,
    importance: Importance = Importance.L2,
    multiple: int = 4,
    learn: Callable[[Network], None] | None = None,
) -> Network:
    """Return a narrower copy, about ``ratio`` of whose channels are gone; the network stays as it is.

    Its spec lists the new channels, so that it is saved, loaded, trained and exported like any other. Counts of
    channels become multiples of ``multiple`` where a layer has that many. ``learn`` leaves the gradients of a loss in
    the network that it is given; importance by Taylor expansion needs it. A layer of so few channels that none
    would be left stays as it is. Raises ConfigError for a ratio that is not between 0 and 1, or a quantized network.
    """
    _check_network(network, ratio)
    if importance is Importance.TAYLOR and learn is None:
        raise ConfigError("importance: taylor needs gradients", hint="prune with photos, or choose l1, l2 or bn")
    tp: Any = importlib.import_module("torch_pruning")
    narrow = copy.deepcopy(network).float().cpu().eval().requires_grad_(True)
    measures = {
        Importance.L1: lambda: tp.importance.MagnitudeImportance(p=1),
        Importance.L2: lambda: tp.importance.MagnitudeImportance(p=2),
        Importance.BN: lambda: tp.importance.BNScaleImportance(),
        # As it is, in units of the loss: divided by each layer's mean, which is torch-pruning's default, a layer that
        # matters and one that does not lose the same share.
        Importance.TAYLOR: lambda: tp.importance.GroupTaylorImportance(group_reduction="sum", normalizer=None),
    }
    if importance is Importance.TAYLOR and learn is not None:
        learn(narrow)
        for parameter in narrow.parameters():
            if parameter.grad is None:  # what no loss depends on: nothing is lost with it
                parameter.grad = torch.zeros_like(parameter)
    fixed = _outputs(narrow) | {name for name, (_, n) in channels_of(narrow).items() if _leaves_none(n, ratio)}
    pruner = tp.pruner.BasePruner(
        narrow,
        torch.zeros(1, 3, 64, 64),
        importance=measures[importance](),
        global_pruning=scope is Scope.GLOBAL,
        pruning_ratio=ratio,
        max_pruning_ratio=max(MOST, ratio),
        ignored_layers=[layer for name, layer in narrow.named_modules() if name in fixed],
        round_to=multiple if multiple > 1 else None,
        forward_fn=_trace,
    )
    pruner.step()
    regular = channels_of(Network(network.spec.replace(architecture=replace(network.spec.architecture, channels={}))))
    found = {name: pair for name, pair in channels_of(narrow).items() if pair != regular[name]}
    spec = network.spec.replace(architecture=replace(network.spec.architecture, channels=found), metrics={})
    result = Network(spec)
    result.load_state_dict(narrow.state_dict())
    return result.eval()


def _outputs(network: Network) -> set[str]:
    """Names of the layers whose outputs have a meaning: classes, sides of boxes (DFL bins), objectness."""
    marks = (".cls_preds.", ".reg_preds.", ".obj_preds.")
    return {name for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d) and _marked(name, marks)}


def _marked(name: str, marks: tuple[str, ...]) -> bool:
    return any(mark in name for mark in marks)


def _trace(network: Network, images: Tensor) -> list[Tensor]:
    """All outputs, both heads joined to the neck: the second head's detached maps would hide that it depends on it."""
    maps = network.neck(network.backbone(images))
    raws = [head(maps) for head in (network.head, network.one_to_one_head) if head is not None]
    return [value for raw in raws for value in (raw.box, raw.cls, raw.obj) if value is not None]
