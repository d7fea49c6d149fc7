"""Running statistics of batch norms, estimated anew on photos.

Averaged weights give other activations than each network had alone, and the mean of the running statistics is not
theirs. One pass over training photos finds them: P. Izmailov et al., "Averaging Weights Leads to Wider Optima and
Better Generalization", UAI 2018, section 3.2, https://arxiv.org/abs/1803.05407.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from herder.errors import DataError
from herder.inference import STRIDE
from herder.model.network import Network


@torch.no_grad()
def reestimate_norms(network: Network, batches: Iterable[Tensor]) -> int:
    """Give each batch norm the mean and variance that it sees on ``batches`` (B, 3, H, W); returns the photos seen.

    The norms run in training mode, each batch counts by its photos, and everything else stays as it is. Raises
    DataError where there is no photo (the statistics are then as they were), or a batch is a single cell.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    modes = [(module, module.training) for module in network.modules()]
    momenta = [norm.momentum for norm in norms]
    seen = 0
    network.eval()
    try:
        for images in batches:
            if len(images) * (images.shape[2] // STRIDE) * (images.shape[3] // STRIDE) < 2:
                raise DataError(
                    f"norm statistics: one photo of {STRIDE} x {STRIDE} pixels has no variance",
                    hint="take a larger one",
                )
            seen += len(images)
            for norm in norms:
                norm.train()
                # A share of 1 for the first batch forgets the old statistics; then the mean over all photos so far.
                norm.momentum = len(images) / seen
            network.raw(images)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for module, mode in modes:
            module.training = mode
    if not seen:
        raise DataError("norm statistics: no photo to estimate them on", hint="check the path and the split")
    return seen
