"""Unstructured pruning: the smallest weights of the whole network become zero (https://arxiv.org/abs/1506.02626).

Shapes stay, so dense engines do the same work as before and run no faster. What is gained is that the file compresses
better, which matters where it is sent over a slow line. Sparse weights learn on with their zeros held; taking a larger
share in each of several steps loses less (https://arxiv.org/abs/1710.01878).
"""

from __future__ import annotations

import copy
import zlib
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from herder.errors import ModelFileError
from herder.model.network import Network
from herder.model.pruning import check_ratio


@torch.no_grad()
def sparsify(network: Network, ratio: float) -> Network:
    """Return a copy in which the ``ratio`` of the convolutions' weights with the least magnitude, all layers together,
    are zero. Biases and norms stay. Raises ConfigError for a ratio that is not between 0 and 1.
    """
    check_ratio(ratio)
    sparse = copy.deepcopy(network).eval()
    weights = [layer.weight for layer in sparse.modules() if isinstance(layer, nn.Conv2d)]
    magnitudes = torch.cat([weight.abs().flatten() for weight in weights])  # (all weights,)
    # Not a threshold: equal magnitudes would all fall with it. A stable sort picks the same ones each time.
    keep = torch.ones_like(magnitudes)
    keep[magnitudes.argsort(stable=True)[: round(ratio * len(magnitudes))]] = 0
    for weight, mask in zip(weights, torch.split(keep, [weight.numel() for weight in weights]), strict=True):
        weight.mul_(mask.view_as(weight))
    return sparse


def hold_zeros(network: nn.Module) -> None:
    """From now on the convolutions' weights that are zero get no gradient, so that AdamW leaves them zero.

    Whether a weight is zero is asked at each step and kept nowhere, so that a run that resumes has nothing to restore.

    >>> layer = nn.Conv2d(1, 1, (1, 2), bias=False)
    >>> _ = layer.weight.data.copy_(torch.tensor([0.0, 2.0]))
    >>> hold_zeros(layer)
    >>> layer(torch.ones(1, 1, 1, 2)).sum().backward()
    >>> layer.weight.grad.flatten().tolist()
    [0.0, 1.0]
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            register: Callable[[Callable[[Tensor], Tensor]], object] = layer.weight.register_hook
            register(_masked_by(layer.weight))


def _masked_by(weight: Tensor) -> Callable[[Tensor], Tensor]:
    """The function that a gradient goes through: 0 where the weight is."""
    return lambda gradient: gradient.masked_fill(weight == 0, 0)


def sparsity(network: Network) -> float:
    """Share of the convolutions' weights that are zero, 0..1."""
    weights = [layer.weight for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    return sum(int((weight == 0).sum()) for weight in weights) / sum(weight.numel() for weight in weights)


def zipped_bytes(path: Path) -> int:
    """Bytes of the file when it is deflated as zip does. Raises ModelFileError when it cannot be read."""
    try:
        return len(zlib.compress(path.read_bytes(), level=6))
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read: {error.strerror}", hint="check the path") from None
